/**
 * Writes an attestation document in the bytes that NSM emits today.
 *
 * Untagged COSE_Sign1, protected header `a1013822` (ES384), nothing unprotected, a payload map of indefinite length in
 * NSM's key order with null for what was not given, and a 96-byte signature r ‖ s.
 *
 * Source: nsm-api docs/attestation_process.md §3; RFC 9052 §4.4; genuine documents since mid-2025.
 *
 * @module
 */
import { fromHex, utf8 } from "../../shared/bytes.ts";
import { type CborValue, encodeCbor, IndefiniteMap } from "../../shared/cbor/encode.ts";
import type { IssuedLeaf } from "./pki.ts";

export interface DocumentClaims {
  readonly moduleId: string;
  readonly timestamp: Date;
  /** The locked registers, by index. */
  readonly pcrs: ReadonlyMap<number, Uint8Array>;
  readonly publicKey: Uint8Array | null;
  readonly userData: Uint8Array | null;
  readonly nonce: Uint8Array | null;
}

const PROTECTED = fromHex("a1013822");
const EMPTY = utf8("");

export async function signDocument(claims: DocumentClaims, leaf: IssuedLeaf): Promise<Uint8Array> {
  const payload = encodeCbor(
    new IndefiniteMap(
      new Map<string, CborValue>([
        ["module_id", claims.moduleId],
        ["digest", "SHA384"],
        ["timestamp", BigInt(claims.timestamp.getTime())],
        ["pcrs", claims.pcrs],
        ["certificate", leaf.certificate],
        ["cabundle", leaf.cabundle],
        ["public_key", claims.publicKey],
        ["user_data", claims.userData],
        ["nonce", claims.nonce],
      ]),
    ),
  );
  const toBeSigned = encodeCbor(["Signature1", PROTECTED, EMPTY, payload]);
  const algorithm = { name: "ECDSA", hash: "SHA-384" };
  const signature = new Uint8Array(await crypto.subtle.sign(algorithm, leaf.signingKey, toBeSigned));
  return encodeCbor([PROTECTED, new Map(), payload, signature]);
}
