/**
 * Forges a document below genuine certificates: root, regional, zonal and instance are the real ones of this run, the
 * leaf and its key are the attacker's. Names, dates and extensions are right; only the issuer did not sign.
 *
 * @module
 */
import "reflect-metadata";
import { X509Certificate, X509CertificateGenerator } from "@peculiar/x509";
import { signDocument } from "../../mock/nsm/document.ts";
import { decodeAttestationUnverified } from "../../shared/attestation/inspect.ts";

const P384 = { name: "ECDSA", namedCurve: "P-384" } as const;

/** A document that says what `genuine` says, but for the attacker's public key. */
export async function forgeLeaf(genuine: Uint8Array, publicKey: Uint8Array): Promise<Uint8Array> {
  const { chain, moduleId, pcrs } = decodeAttestationUnverified(genuine);
  const [issuerDer, leafDer] = chain.slice(-2);
  if (!issuerDer || !leafDer) throw new TypeError("a document has a chain");
  const [issuer, leaf] = [
    new X509Certificate(Uint8Array.from(issuerDer)),
    new X509Certificate(Uint8Array.from(leafDer)),
  ];
  const keys = await crypto.subtle.generateKey(P384, false, ["sign", "verify"]);
  const certificate = await X509CertificateGenerator.create({
    serialNumber: "01",
    issuer: issuer.subjectName,
    subject: leaf.subjectName,
    notBefore: leaf.notBefore,
    notAfter: leaf.notAfter,
    publicKey: keys.publicKey,
    signingKey: keys.privateKey,
    signingAlgorithm: { name: "ECDSA", hash: "SHA-384" },
    extensions: leaf.extensions,
  });
  const claims = { moduleId, timestamp: new Date(), pcrs, publicKey, userData: null, nonce: null };
  const issued = {
    certificate: new Uint8Array(certificate.rawData),
    cabundle: chain.slice(0, -1),
    signingKey: keys.privateKey,
    notAfter: leaf.notAfter,
  };
  return signDocument(claims, issued);
}
