/**
 * The TLS identity of one run: a certificate authority of its own, and one server certificate for all names.
 *
 * Both are made when the emulator starts and live as long as it does; the authority's key signs once and is dropped.
 * Valid by the machine's clock, which is the one TLS clients use, whatever time the emulator plays.
 *
 * @module
 */
import "reflect-metadata";
import { webcrypto } from "node:crypto";
import {
  BasicConstraintsExtension,
  ExtendedKeyUsage,
  ExtendedKeyUsageExtension,
  KeyUsageFlags,
  KeyUsagesExtension,
  SubjectAlternativeNameExtension,
  SubjectKeyIdentifierExtension,
  X509CertificateGenerator,
} from "@peculiar/x509";

export interface ServerIdentity {
  readonly keyPem: string;
  readonly certificatePem: string;
  readonly caCertificatePem: string;
  readonly caCertificateDer: Uint8Array;
}

const EC = { name: "ECDSA", namedCurve: "P-256" } as const;
const SIGNING = { name: "ECDSA", hash: "SHA-256" } as const;
const DAY_MS = 86_400_000;
const LIFETIME_DAYS = 90;

/** The certificate is good for the names, for `localhost` and for the addresses. */
export async function makeServerIdentity(
  hostNames: readonly string[],
  addresses: readonly string[] = ["127.0.0.1"],
): Promise<ServerIdentity> {
  const notBefore = new Date(Date.now() - DAY_MS);
  const notAfter = new Date(Date.now() + LIFETIME_DAYS * DAY_MS);
  const [ca, server] = await Promise.all([newKeyPair(), newKeyPair()]);
  const caCertificate = await X509CertificateGenerator.createSelfSigned({
    name: "CN=Cloister mock AWS root, OU=not AWS",
    keys: ca,
    notBefore,
    notAfter,
    signingAlgorithm: SIGNING,
    extensions: [
      new BasicConstraintsExtension(true, 0, true),
      new KeyUsagesExtension(KeyUsageFlags.keyCertSign, true),
      await SubjectKeyIdentifierExtension.create(ca.publicKey),
    ],
  });
  const certificate = await X509CertificateGenerator.create({
    subject: "CN=mock AWS",
    issuer: caCertificate.subject,
    signingKey: ca.privateKey,
    publicKey: server.publicKey,
    notBefore,
    notAfter,
    signingAlgorithm: SIGNING,
    extensions: [
      new BasicConstraintsExtension(false, undefined, true),
      new KeyUsagesExtension(KeyUsageFlags.digitalSignature, true),
      new ExtendedKeyUsageExtension([ExtendedKeyUsage.serverAuth]),
      new SubjectAlternativeNameExtension([
        ...hostNames.map((value) => ({ type: "dns", value }) as const),
        { type: "dns", value: "localhost" },
        ...addresses.map((value) => ({ type: "ip", value }) as const),
      ]),
    ],
  });
  const pkcs8 = await webcrypto.subtle.exportKey("pkcs8", server.privateKey);
  return {
    keyPem: `-----BEGIN PRIVATE KEY-----\n${Buffer.from(pkcs8).toString("base64")}\n-----END PRIVATE KEY-----\n`,
    certificatePem: certificate.toString("pem"),
    caCertificatePem: caCertificate.toString("pem"),
    caCertificateDer: new Uint8Array(caCertificate.rawData),
  };
}

function newKeyPair(): Promise<webcrypto.CryptoKeyPair> {
  return webcrypto.subtle.generateKey(EC, true, ["sign", "verify"]);
}
