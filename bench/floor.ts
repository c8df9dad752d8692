/**
 * The floor: what no verifier that checks every signature with WebCrypto can go below.
 *
 * A genuine document has five signatures: four in its chain, its own. The floor reads nothing and decides nothing; it
 * imports the five keys and checks the five signatures one after the other, all prepared beforehand.
 *
 * @module
 */
import { decodeAttestationUnverified } from "../shared/attestation/inspect.ts";
import { readSign1 } from "../shared/cose/sign1.ts";
import { readCertificate } from "../shared/der/certificate.ts";

/** How a key is handed to WebCrypto: as SubjectPublicKeyInfo, or as the bare point. */
export type KeyForm = "spki" | "raw";

export type SignatureCheck = Readonly<Record<KeyForm | "signature" | "signed", Uint8Array<ArrayBuffer>>>;

const ECDSA_P384 = { name: "ECDSA", namedCurve: "P-384" } as const;
const ECDSA_SHA384 = { name: "ECDSA", hash: "SHA-384" } as const;

function importKey(form: KeyForm, bytes: Uint8Array<ArrayBuffer>): ReturnType<typeof crypto.subtle.importKey> {
  return crypto.subtle.importKey(form, bytes, ECDSA_P384, true, ["verify"]);
}

/** The checks of one document, root first. */
export function checksOf(document: Uint8Array): Promise<SignatureCheck[]> {
  const certificates = decodeAttestationUnverified(document).chain.map(readCertificate);
  const own = readSign1(document);
  return Promise.all(
    certificates.map(async ({ publicKey }, index) => {
      const next = certificates[index + 1];
      const raw = Uint8Array.from(publicKey);
      return {
        raw,
        spki: new Uint8Array(await crypto.subtle.exportKey("spki", await importKey("raw", raw))),
        signature: Uint8Array.from((next ?? own).signature),
        signed: Uint8Array.from(next ? next.tbs : own.signed),
      };
    }),
  );
}

export async function checkOneByOne(checks: readonly SignatureCheck[], form: KeyForm): Promise<void> {
  for (const { [form]: bytes, signature, signed } of checks) {
    const key = await importKey(form, bytes);
    if (!(await crypto.subtle.verify(ECDSA_SHA384, key, signature, signed))) throw new Error("the floor must hold");
  }
}

/** The keys alone, as bare points. */
export async function importAll(checks: readonly SignatureCheck[]): Promise<void> {
  for (const { raw } of checks) await importKey("raw", raw);
}
