/**
 * Step 1: the bytes are the shape NSM emits.
 *
 * Size cap first, then COSE_Sign1, then the payload map; all linear in the input, no signature yet. Accepted as genuine
 * documents have it: payload map of definite or indefinite length, optional fields absent or null or empty, keys in any
 * order, unknown fields with a simple value. Refused: everything else.
 *
 * Source: AWS attestation_process.md §3.1–3.2, and what genuine documents show where that page contradicts itself
 * (`docs/attestation.md`).
 *
 * @module
 */
import { type Cbor, decodeCbor } from "../cbor/decode.ts";
import { at, readSign1 } from "../cose/sign1.ts";
import { AttestationError } from "../errors/attestation.ts";
import type { AttestationKind, ParsedAttestation } from "./document.ts";

/** Twice the 16 KiB that the payload may have. */
export const DOCUMENT_MAX = 32_768;
const CERTIFICATE_MAX = 1024;
/** With the leaf: root, regional, zonal, instance, leaf in every genuine document; six bound the signature checks. */
const CHAIN_MAX = 6;
const FIELD_MAX = 1024;
const PCR_BYTES = 48;

const REGISTERS: Readonly<Record<AttestationKind, { readonly field: string; readonly count: number }>> = {
  nsm: { field: "pcrs", count: 32 },
  nitrotpm: { field: "nitrotpm_pcrs", count: 24 },
};
const KNOWN = new Set([
  "module_id",
  "digest",
  "timestamp",
  "pcrs",
  "nitrotpm_pcrs",
  "certificate",
  "cabundle",
  "public_key",
  "user_data",
  "nonce",
]);

type Payload = ReadonlyMap<string | number, Cbor>;

function malformed(path: string, expected: string): AttestationError {
  return new AttestationError("ERR_ATTESTATION_MALFORMED", { path, expected });
}

/**
 * @param document COSE_Sign1 bytes; the caller's buffer is copied
 * @throws {AttestationError} `ERR_ATTESTATION_SIZE`, `ERR_ATTESTATION_MALFORMED`, `ERR_ATTESTATION_ALGORITHM`
 */
export function parse(document: Uint8Array): ParsedAttestation {
  if (!(document instanceof Uint8Array)) throw new TypeError("an attestation document is a Uint8Array");
  if (document.length === 0 || document.length > DOCUMENT_MAX) {
    throw new AttestationError("ERR_ATTESTATION_SIZE", { maximum: DOCUMENT_MAX, actual: document.length });
  }
  if (document.every(isPrintable)) throw malformed("document", "bytes: decode base64, hex or PEM first");
  const sign1 = readSign1(Uint8Array.from(document));
  const payload = at("payload", () => decodeCbor(sign1.payload, { maxDepth: 3, indefinite: true }));
  if (!(payload instanceof Map)) throw malformed("payload", "a map");
  const kind = readKind(payload);
  return {
    sign1,
    kind,
    moduleId: readModuleId(payload),
    timestamp: readTimestamp(payload),
    pcrs: readPcrs(payload, kind),
    issuers: readIssuers(payload),
    leaf: readCertificate(payload.get("certificate"), "payload.certificate"),
    ...readOptional(payload),
    unknownFields: readUnknown(payload),
  };
}

/** No document consists of printable ASCII and line ends alone: its first byte is 84 or d2. */
function isPrintable(byte: number): boolean {
  return (byte >= 0x20 && byte < 0x7f) || byte === 0x0a || byte === 0x0d;
}

function readKind(payload: Payload): AttestationKind {
  const hasNsm = payload.has("pcrs");
  if (hasNsm === payload.has("nitrotpm_pcrs")) throw malformed("payload", "a map with one of pcrs and nitrotpm_pcrs");
  if (payload.get("digest") !== "SHA384") throw malformed("payload.digest", "SHA384");
  return hasNsm ? "nsm" : "nitrotpm";
}

function readModuleId(payload: Payload): string {
  const value = payload.get("module_id");
  // Printable ASCII: NSM writes instance and enclave ids, and people read them on terminals.
  if (typeof value !== "string" || !/^[ -~]{1,1024}$/.test(value)) {
    throw malformed("payload.module_id", "1 to 1024 printable ASCII characters");
  }
  return value;
}

function readTimestamp(payload: Payload): Date {
  const field = payload.get("timestamp");
  const value = typeof field === "bigint" ? Number(field) : field;
  // The largest moment that a Date holds is 8.64e15 ms.
  if (typeof value !== "number" || value <= 0 || value > 8.64e15) {
    throw malformed("payload.timestamp", "milliseconds since 1970");
  }
  return new Date(value);
}

function readPcrs(payload: Payload, kind: AttestationKind): ReadonlyMap<number, Uint8Array> {
  const { field, count } = REGISTERS[kind];
  const path = `payload.${field}`;
  const value = payload.get(field);
  if (!(value instanceof Map) || value.size === 0 || value.size > count) {
    throw malformed(path, `a map of 1 to ${count} registers`);
  }
  const pcrs = new Map<number, Uint8Array>();
  for (const [index, digest] of value) {
    if (typeof index !== "number" || index < 0 || index >= count) {
      throw malformed(path, `numbered 0 to ${count - 1}`);
    }
    if (!(digest instanceof Uint8Array) || digest.length !== PCR_BYTES) {
      throw malformed(`${path}[${index}]`, `${PCR_BYTES} bytes`);
    }
    pcrs.set(index, digest);
  }
  return pcrs;
}

function readIssuers(payload: Payload): ParsedAttestation["issuers"] {
  const bundle = payload.get("cabundle");
  if (!Array.isArray(bundle) || bundle.length === 0 || bundle.length >= CHAIN_MAX) {
    throw malformed("payload.cabundle", `an array of 1 to ${CHAIN_MAX - 1} certificates`);
  }
  const [root, ...others] = bundle;
  return [
    readCertificate(root, "payload.cabundle[0]"),
    ...others.map((entry, index) => readCertificate(entry, `payload.cabundle[${index + 1}]`)),
  ];
}

function readCertificate(value: Cbor | undefined, path: string): Uint8Array {
  if (!(value instanceof Uint8Array) || value.length === 0 || value.length > CERTIFICATE_MAX) {
    throw malformed(path, `a certificate of 1 to ${CERTIFICATE_MAX} bytes`);
  }
  return value;
}

function readOptional(payload: Payload): Pick<ParsedAttestation, "publicKey" | "userData" | "nonce"> {
  const read = (field: string): Uint8Array | undefined => {
    const value = payload.get(field);
    if (value === undefined || value === null) return undefined;
    if (!(value instanceof Uint8Array) || value.length > FIELD_MAX) {
      throw malformed(`payload.${field}`, `null or at most ${FIELD_MAX} bytes`);
    }
    return value;
  };
  const [publicKey, userData, nonce] = [read("public_key"), read("user_data"), read("nonce")];
  return { ...(publicKey && { publicKey }), ...(userData && { userData }), ...(nonce && { nonce }) };
}

function readUnknown(payload: Payload): string[] {
  const unknown: string[] = [];
  for (const [key, value] of payload) {
    if (typeof key !== "string") throw malformed("payload", "a map with text keys");
    if (KNOWN.has(key)) continue;
    if (Array.isArray(value) || value instanceof Map) throw malformed("payload", "free of unknown fields that nest");
    unknown.push(key);
  }
  return unknown;
}
