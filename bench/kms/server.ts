/**
 * A KMS that does no more than it must: opens nothing, checks nothing, encrypts one secret to whatever key the document
 * carries, and says in a header how long that took.
 *
 *   node dist/bench/kms/server.js
 *
 * @module
 */
import { createServer } from "node:https";
import type { AddressInfo } from "node:net";
import { makeServerIdentity } from "../../mock/aws/certificates.ts";
import { sealForRecipient } from "../../mock/aws/kms/recipient-message.ts";
import { decodeAttestationUnverified } from "../../shared/attestation/inspect.ts";
import { SERVER_TIME } from "./names.ts";

interface Input {
  readonly KeyId: string;
  readonly Recipient?: { readonly AttestationDocument: string };
}

const secret = new Uint8Array(32).fill(7);
const identity = await makeServerIdentity(["localhost"], ["127.0.0.1"]);
const server = createServer({ key: identity.keyPem, cert: identity.certificatePem }, async (request, response) => {
  const start = process.hrtime.bigint();
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  const { KeyId, Recipient } = JSON.parse(Buffer.concat(chunks).toString()) as Input;
  const answer = { KeyId, EncryptionAlgorithm: "SYMMETRIC_DEFAULT", ...(Recipient ? sealed(Recipient) : inClear()) };
  const body = Buffer.from(JSON.stringify(answer));
  const microseconds = Number(process.hrtime.bigint() - start) / 1000;
  const headers = { "content-type": "application/x-amz-json-1.1", "content-length": body.length };
  response.writeHead(200, { ...headers, [SERVER_TIME]: microseconds }).end(body);
});

function sealed({ AttestationDocument }: NonNullable<Input["Recipient"]>): object {
  const { publicKey } = decodeAttestationUnverified(Uint8Array.from(Buffer.from(AttestationDocument, "base64")));
  if (!publicKey) throw new Error("a document without a key");
  const message = sealForRecipient(secret, { encryptTo: publicKey, nameAs: publicKey });
  return { CiphertextForRecipient: Buffer.from(message).toString("base64") };
}

function inClear(): object {
  return { Plaintext: Buffer.from(secret).toString("base64") };
}

server.listen(0, "127.0.0.1", () => {
  const { port } = server.address() as AddressInfo;
  process.stdout.write(`${JSON.stringify({ port, caCertificatePem: identity.caCertificatePem })}\n`);
});
process.stdin.on("end", () => process.exit(0)).resume();
