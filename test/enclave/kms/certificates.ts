/**
 * A certificate authority whose servers may be wrong in one way each.
 *
 * @module
 */
import "reflect-metadata";
import { webcrypto } from "node:crypto";
import * as x509 from "@peculiar/x509";

x509.cryptoProvider.set(webcrypto);
const ALGORITHM = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" };
const HOUR_MS = 3_600_000;

export interface Server {
  readonly key: string;
  readonly cert: string;
}

export interface Authority {
  /** PEM. */
  readonly root: string;
  /** Valid from an hour ago until `endsInMs` from now. */
  issue(host: string, endsInMs?: number): Promise<Server>;
}

export async function makeAuthority(name: string): Promise<Authority> {
  const keys = await webcrypto.subtle.generateKey(ALGORITHM, true, ["sign", "verify"]);
  const root = await x509.X509CertificateGenerator.createSelfSigned({
    ...{ ...validity(HOUR_MS), serialNumber: "01", name: `CN=${name}`, keys, signingAlgorithm: ALGORITHM },
    extensions: [
      new x509.BasicConstraintsExtension(true, 1, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign, true),
    ],
  });
  return {
    root: root.toString("pem"),
    issue: async (host, endsInMs = HOUR_MS) => {
      const own = await webcrypto.subtle.generateKey(ALGORITHM, true, ["sign", "verify"]);
      const certificate = await x509.X509CertificateGenerator.create({
        ...{ ...validity(endsInMs), serialNumber: "02", subject: `CN=${host}`, issuer: root.subject },
        ...{ publicKey: own.publicKey, signingKey: keys.privateKey, signingAlgorithm: ALGORITHM },
        extensions: namesOf(host),
      });
      return { key: await pemOf(own.privateKey), cert: certificate.toString("pem") };
    },
  };
}

export async function selfSigned(host: string): Promise<Server> {
  const keys = await webcrypto.subtle.generateKey(ALGORITHM, true, ["sign", "verify"]);
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    ...{ ...validity(HOUR_MS), serialNumber: "03", name: `CN=${host}`, keys, signingAlgorithm: ALGORITHM },
    extensions: namesOf(host),
  });
  return { key: await pemOf(keys.privateKey), cert: certificate.toString("pem") };
}

function validity(endsInMs: number) {
  return { notBefore: new Date(Date.now() - HOUR_MS), notAfter: new Date(Date.now() + endsInMs) };
}

function namesOf(host: string): x509.Extension[] {
  return [
    new x509.BasicConstraintsExtension(false),
    new x509.SubjectAlternativeNameExtension([{ type: "dns", value: host }]),
  ];
}

async function pemOf(key: webcrypto.CryptoKey): Promise<string> {
  const pkcs8 = Buffer.from(await webcrypto.subtle.exportKey("pkcs8", key)).toString("base64");
  return `-----BEGIN PRIVATE KEY-----\n${pkcs8}\n-----END PRIVATE KEY-----\n`;
}
