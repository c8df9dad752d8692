/**
 * The enclave's own TLS key: made at start, P-256, never leaves this process.
 *
 * The certificate around it is signed by itself. It proves nothing and need not: clients take the key from it and ask
 * for a document that vouches for that key (`attested-tls.ts`). A certificate from an authority can take its place for
 * clients that know only those (`acme.ts`); the key stays.
 *
 * @module
 */
import "reflect-metadata";
import type { webcrypto } from "node:crypto";
import { inspect } from "node:util";
import { X509CertificateGenerator } from "@peculiar/x509";

const KEY_ALGORITHM = { name: "ECDSA", namedCurve: "P-256" } as const;
export const SIGNATURE_ALGORITHM = { name: "ECDSA", hash: "SHA-256" } as const;
/** RFC 5280 §4.1.2.5: no end that would mean something. */
const NO_END = new Date("9999-12-31T23:59:59Z");
const BACKDATED_MS = 24 * 3_600_000;

export interface TlsIdentity {
  readonly keys: webcrypto.CryptoKeyPair;
  /** The private key in PKCS #8, PEM: the only form that Node's TLS takes. */
  readonly keyPem: string;
  /** SubjectPublicKeyInfo, DER. */
  readonly spki: Uint8Array;
  /** Self-signed. */
  readonly certificatePem: string;
}

export async function createTlsIdentity(now: Date): Promise<TlsIdentity> {
  const keys = await crypto.subtle.generateKey(KEY_ALGORITHM, true, ["sign", "verify"]);
  const certificate = await X509CertificateGenerator.createSelfSigned({
    name: "CN=enclave",
    // A clock that runs a little ahead of a client's must not make the certificate one of tomorrow.
    notBefore: new Date(now.getTime() - BACKDATED_MS),
    notAfter: NO_END,
    signingAlgorithm: SIGNATURE_ALGORITHM,
    keys,
  });
  const pkcs8 = Buffer.from(await crypto.subtle.exportKey("pkcs8", keys.privateKey));
  const keyPem = `-----BEGIN PRIVATE KEY-----\n${pkcs8.toString("base64")}\n-----END PRIVATE KEY-----\n`;
  pkcs8.fill(0);
  const spki = new Uint8Array(await crypto.subtle.exportKey("spki", keys.publicKey));
  const identity = { keys, keyPem, spki, certificatePem: certificate.toString("pem") };
  // Whoever prints a server prints its identity.
  const toJSON = (): never => {
    throw new TypeError("a TLS identity is no JSON");
  };
  return Object.defineProperties(identity, {
    [inspect.custom]: { value: () => "[TLS identity]" },
    toJSON: { value: toJSON },
  });
}
