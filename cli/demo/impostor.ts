/**
 * The parent as an impostor of KMS: a TLS server of its own, under the name of a region's KMS, and a message whose data key
 * it made itself. An enclave that talked to it would tell it everything.
 *
 * @module
 */
import "reflect-metadata";
import { randomBytes } from "node:crypto";
import { createServer } from "node:https";
import type { AddressInfo } from "node:net";
import { SubjectAlternativeNameExtension, X509CertificateGenerator } from "@peculiar/x509";
import { utf8 } from "../../shared/bytes.ts";
import { type KmsCalls, seal } from "../../shared/envelope/sealed.ts";
import { CARRIER, IMPOSTOR_REGION } from "./cast.ts";

export interface Impostor extends AsyncDisposable {
  readonly port: number;
  /** A key that exists nowhere, and data sealed as if it did. */
  readonly keyArn: string;
  readonly message: Uint8Array;
}

const P256 = { name: "ECDSA", namedCurve: "P-256" } as const;

export async function startImpostor(): Promise<Impostor> {
  const host = `kms.${IMPOSTOR_REGION}.amazonaws.com`;
  const server = createServer(await selfSigned(host), (_, response) => {
    response
      .writeHead(200, { "content-type": "application/x-amz-json-1.1" })
      .end(JSON.stringify({ KeyId: "impostor" }));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const keyArn = `arn:aws:kms:${IMPOSTOR_REGION}:${CARRIER.accountId}:key/00000000-0000-4000-8000-000000000000`;
  const message = await seal(utf8("bait"), { kms: madeUpKms(keyArn), keyArn, context: CARRIER.context });
  const close = (): Promise<void> =>
    new Promise((resolve) => {
      server.closeAllConnections();
      server.close(() => resolve());
    });
  return { port: (server.address() as AddressInfo).port, keyArn, message, [Symbol.asyncDispose]: close };
}

/** A certificate in order in every way, but for who vouches for it. */
async function selfSigned(host: string): Promise<{ cert: string; key: string }> {
  const keys = await crypto.subtle.generateKey(P256, true, ["sign", "verify"]);
  const certificate = await X509CertificateGenerator.createSelfSigned({
    serialNumber: "01",
    name: `CN=${host}`,
    notBefore: new Date(Date.now() - 60_000),
    notAfter: new Date(Date.now() + 86_400_000),
    keys,
    signingAlgorithm: { name: "ECDSA", hash: "SHA-256" },
    extensions: [new SubjectAlternativeNameExtension([{ type: "dns", value: host }])],
  });
  const pkcs8 = Buffer.from(await crypto.subtle.exportKey("pkcs8", keys.privateKey)).toString("base64");
  const key = `-----BEGIN PRIVATE KEY-----\n${pkcs8.replace(/.{64}/g, "$&\n")}\n-----END PRIVATE KEY-----\n`;
  return { cert: certificate.toString("pem"), key };
}

/** Data keys out of nothing. */
function madeUpKms(keyArn: string): KmsCalls {
  const refuse = async (): Promise<never> => {
    throw new TypeError("the impostor only makes data keys");
  };
  const generateDataKey: KmsCalls["generateDataKey"] = async () => ({
    $metadata: {},
    KeyId: keyArn,
    Plaintext: new Uint8Array(randomBytes(32)),
    CiphertextBlob: new Uint8Array(randomBytes(184)),
  });
  return { generateDataKey, encrypt: refuse, decrypt: refuse };
}
