/**
 * The messages of the Nitro Secure Module: requests and responses, and the CBOR they travel in.
 *
 * The form is serde's: a variant without fields is its name as text, one with fields is a map of one entry,
 * `{"ExtendPCR": {"index": 16, "data": h'…'}}`. Absent optional fields are written as null.
 * Here are the types and the writer; `parse.ts` reads.
 *
 * Source: aws-nitro-enclaves-nsm-api, `src/api/mod.rs`.
 *
 * @module
 */
import { type CborValue, encodeCbor } from "../cbor/encode.ts";

export type NsmRequest =
  | { readonly kind: "DescribeNSM" }
  | { readonly kind: "GetRandom" }
  | {
      readonly kind: "Attestation";
      readonly userData: Uint8Array | null;
      readonly nonce: Uint8Array | null;
      readonly publicKey: Uint8Array | null;
    }
  | { readonly kind: "DescribePCR"; readonly index: number }
  | { readonly kind: "ExtendPCR"; readonly index: number; readonly data: Uint8Array }
  | { readonly kind: "LockPCR"; readonly index: number }
  | { readonly kind: "LockPCRs"; readonly range: number };

/** Why the device refuses; the list is closed. */
export const NSM_ERROR_CODES = [
  "InvalidArgument",
  "InvalidIndex",
  "InvalidResponse",
  "ReadOnlyIndex",
  "InvalidOperation",
  "BufferTooSmall",
  "InputTooLarge",
  "InternalError",
] as const;
export type NsmErrorCode = (typeof NSM_ERROR_CODES)[number];

export const NSM_DIGESTS = ["SHA256", "SHA384", "SHA512"] as const;
export type NsmDigest = (typeof NSM_DIGESTS)[number];

export type NsmResponse =
  | {
      readonly kind: "DescribeNSM";
      readonly versionMajor: number;
      readonly versionMinor: number;
      readonly versionPatch: number;
      readonly moduleId: string;
      readonly maxPcrs: number;
      readonly lockedPcrs: readonly number[];
      readonly digest: NsmDigest;
    }
  | { readonly kind: "GetRandom"; readonly random: Uint8Array }
  | { readonly kind: "Attestation"; readonly document: Uint8Array }
  | { readonly kind: "DescribePCR"; readonly lock: boolean; readonly data: Uint8Array }
  | { readonly kind: "ExtendPCR"; readonly data: Uint8Array }
  | { readonly kind: "LockPCR" }
  | { readonly kind: "LockPCRs" }
  | { readonly kind: "Error"; readonly code: NsmErrorCode };

function variant(name: string, fields: Readonly<Record<string, CborValue>>): Uint8Array {
  return encodeCbor(new Map([[name, new Map(Object.entries(fields))]]));
}

export function encodeNsmRequest(request: NsmRequest): Uint8Array {
  switch (request.kind) {
    case "DescribeNSM":
    case "GetRandom":
      return encodeCbor(request.kind);
    case "Attestation":
      return variant(request.kind, {
        user_data: request.userData,
        nonce: request.nonce,
        public_key: request.publicKey,
      });
    case "DescribePCR":
    case "LockPCR":
      return variant(request.kind, { index: request.index });
    case "ExtendPCR":
      return variant(request.kind, { index: request.index, data: request.data });
    case "LockPCRs":
      return variant(request.kind, { range: request.range });
    default:
      throw new TypeError(`not an NSM request: ${request satisfies never}`);
  }
}

export function encodeNsmResponse(response: NsmResponse): Uint8Array {
  switch (response.kind) {
    case "LockPCR":
    case "LockPCRs":
      return encodeCbor(response.kind);
    case "DescribeNSM":
      return variant(response.kind, {
        version_major: response.versionMajor,
        version_minor: response.versionMinor,
        version_patch: response.versionPatch,
        module_id: response.moduleId,
        max_pcrs: response.maxPcrs,
        locked_pcrs: response.lockedPcrs,
        digest: response.digest,
      });
    case "GetRandom":
      return variant(response.kind, { random: response.random });
    case "Attestation":
      return variant(response.kind, { document: response.document });
    case "DescribePCR":
      return variant(response.kind, { lock: response.lock, data: response.data });
    case "ExtendPCR":
      return variant(response.kind, { data: response.data });
    case "Error":
      return encodeCbor(new Map([["Error", response.code]]));
    default:
      throw new TypeError(`not an NSM response: ${response satisfies never}`);
  }
}
