/**
 * Makes the TLS identity of the example's servers: one certificate for their names, which is its own root.
 *
 * @module
 */
import "reflect-metadata";
import { webcrypto } from "node:crypto";
import { BasicConstraintsExtension, SubjectAlternativeNameExtension, X509CertificateGenerator } from "@peculiar/x509";

export interface Identity {
  /** PEM. */
  readonly certificate: string;
  /** PEM. */
  readonly key: string;
}

const EC = { name: "ECDSA", namedCurve: "P-256" } as const;
const DAY_MS = 86_400_000;

export async function makeIdentity(hostNames: readonly string[]): Promise<Identity> {
  const keys = await webcrypto.subtle.generateKey(EC, true, ["sign", "verify"]);
  const names = hostNames.map((value) => ({ type: "dns", value }) as const);
  const certificate = await X509CertificateGenerator.createSelfSigned({
    ...{ name: "CN=the example's servers", keys, signingAlgorithm: { name: "ECDSA", hash: "SHA-256" } },
    ...{ notBefore: new Date(Date.now() - DAY_MS), notAfter: new Date(Date.now() + DAY_MS) },
    extensions: [
      new BasicConstraintsExtension(true, 0, true),
      new SubjectAlternativeNameExtension([...names, { type: "ip", value: "127.0.0.1" }]),
    ],
  });
  const pkcs8 = Buffer.from(await webcrypto.subtle.exportKey("pkcs8", keys.privateKey)).toString("base64");
  const key = `-----BEGIN PRIVATE KEY-----\n${pkcs8}\n-----END PRIVATE KEY-----\n`;
  return { certificate: certificate.toString("pem"), key };
}
