/**
 * A Node HTTPS server that does the cryptography of KMS and nothing else: no signatures of requests, no policies, no
 * audit, no checks. What no emulator in Node can be faster than.
 *
 *   node dist/bench/aws/bare-server.js        reads its attestation document from the first line of its input
 *
 * @module
 */
import {
  constants,
  createCipheriv,
  createDecipheriv,
  createHmac,
  createPublicKey,
  publicEncrypt,
  randomBytes,
} from "node:crypto";
import { createServer } from "node:https";
import type { AddressInfo } from "node:net";
import { createInterface } from "node:readline";
import { makeServerIdentity } from "../../mock/aws/certificates.ts";
import { checkOneByOne, checksOf, type SignatureCheck } from "../floor.ts";

interface Input {
  readonly Plaintext?: string;
  readonly CiphertextBlob?: string;
  readonly Recipient?: object;
}

const material = randomBytes(32);
const [first] = await createInterface({ input: process.stdin })
  [Symbol.asyncIterator]()
  .next()
  .then(({ value }) => [String(value)]);
const { document, spki } = JSON.parse(first ?? "") as { document: string; spki: string };
const checks: readonly SignatureCheck[] = await checksOf(Uint8Array.from(Buffer.from(document, "base64")));

/** As KMS's ciphertext: a key of its own from the material and a nonce, AES-256-GCM. */
function seal(plaintext: Buffer): Buffer {
  const nonce = randomBytes(16);
  const iv = randomBytes(12);
  const key = createHmac("sha256", material).update(nonce).digest();
  const cipher = createCipheriv("aes-256-gcm", key, iv);
  return Buffer.concat([nonce, iv, cipher.update(plaintext), cipher.final(), cipher.getAuthTag()]);
}

function open(blob: Buffer): Buffer {
  const key = createHmac("sha256", material).update(blob.subarray(0, 16)).digest();
  const decipher = createDecipheriv("aes-256-gcm", key, blob.subarray(16, 28), { authTagLength: 16 });
  decipher.setAuthTag(blob.subarray(-16));
  return Buffer.concat([decipher.update(blob.subarray(28, -16)), decipher.final()]);
}

async function forRecipient(plaintext: Buffer): Promise<string> {
  await checkOneByOne(checks, "raw");
  const contentKey = randomBytes(32);
  const cipher = createCipheriv("aes-256-cbc", contentKey, randomBytes(16));
  const content = Buffer.concat([cipher.update(plaintext), cipher.final()]);
  const key = createPublicKey({ key: Buffer.from(spki, "base64"), format: "der", type: "spki" });
  const wrapped = publicEncrypt({ key, padding: constants.RSA_PKCS1_OAEP_PADDING, oaepHash: "sha256" }, contentKey);
  return Buffer.concat([wrapped, content]).toString("base64");
}

async function answer(operation: string, input: Input): Promise<object> {
  if (operation === "Encrypt")
    return { CiphertextBlob: seal(Buffer.from(input.Plaintext ?? "", "base64")).toString("base64") };
  if (operation === "GenerateDataKey") {
    const key = randomBytes(32);
    return { Plaintext: key.toString("base64"), CiphertextBlob: seal(key).toString("base64") };
  }
  const plaintext = open(Buffer.from(input.CiphertextBlob ?? "", "base64"));
  return input.Recipient
    ? { CiphertextForRecipient: await forRecipient(plaintext) }
    : { Plaintext: plaintext.toString("base64") };
}

const identity = await makeServerIdentity(["localhost"], ["127.0.0.1"]);
const server = createServer({ key: identity.keyPem, cert: identity.certificatePem }, async (request, response) => {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  const operation = String(request.headers["x-amz-target"]).split(".")[1] ?? "";
  const body = Buffer.from(
    JSON.stringify(await answer(operation, JSON.parse(Buffer.concat(chunks).toString()) as Input)),
  );
  response.writeHead(200, { "content-type": "application/x-amz-json-1.1", "content-length": body.length }).end(body);
});
server.listen(0, "127.0.0.1", () => {
  const { port } = server.address() as AddressInfo;
  process.stdout.write(`${JSON.stringify({ port, caCertificatePem: identity.caCertificatePem })}\n`);
});
process.stdin.on("end", () => process.exit(0));
