/**
 * Keys, certificates and signature sections for tests: right unless an edit says otherwise.
 *
 * @module
 */
import { generateKeyPairSync, type KeyObject, sign } from "node:crypto";
import { concat, fromHex, utf8 } from "../../shared/bytes.ts";
import { type CborValue, encodeCbor } from "../../shared/cbor/encode.ts";
import { bits, ECDSA_SHA384, integer, name, sequence, text, time, tlv } from "../attestation/der-writer.ts";

export const NOW = new Date("2026-06-01T12:00:00Z");

export interface Identity {
  readonly privateKey: KeyObject;
  readonly der: Uint8Array;
  readonly pem: Uint8Array;
}

export interface IdentityEdit {
  readonly curve?: "P-256" | "P-384" | "P-521" | "secp256k1" | "rsa";
  readonly notBefore?: Date;
  readonly notAfter?: Date;
  /** Default 1, as `openssl x509 -req` makes them. */
  readonly version?: 1 | 3;
  readonly spki?: (spki: Uint8Array) => Uint8Array;
  /** In both places, unless the outer one is another. */
  readonly algorithm?: Uint8Array;
  readonly outerAlgorithm?: Uint8Array;
  /** The issuer's signature, that nobody checks. */
  readonly issuerSignature?: Uint8Array;
}

export function makeIdentity(edit: IdentityEdit = {}): Identity {
  const { curve = "P-384", version = 1, spki = (bytes) => bytes } = edit;
  const { algorithm = ECDSA_SHA384, outerAlgorithm = algorithm } = edit;
  const { issuerSignature = Uint8Array.of(1, 2, 3) } = edit;
  const { notBefore = new Date(NOW.getTime() - 1000), notAfter = new Date(NOW.getTime() + 1000) } = edit;
  const { privateKey, publicKey } =
    curve === "rsa"
      ? generateKeyPairSync("rsa", { modulusLength: 2048 })
      : generateKeyPairSync("ec", { namedCurve: curve });
  const tbs = sequence(
    ...(version === 3 ? [tlv(0xa0, integer(2))] : []),
    integer(7),
    algorithm,
    name("CN=test"),
    sequence(time(notBefore), time(notAfter)),
    name("CN=test"),
    spki(new Uint8Array(publicKey.export({ type: "spki", format: "der" }))),
    ...(version === 3 ? [tlv(0xa3, sequence(sequence(text("x"))))] : []),
  );
  const der = sequence(tbs, outerAlgorithm, bits(issuerSignature));
  return { privateKey, der, pem: pemOf(der) };
}

export function pemOf(der: Uint8Array): Uint8Array {
  const lines =
    Buffer.from(der)
      .toString("base64")
      .match(/.{1,64}/g) ?? [];
  return utf8(`-----BEGIN CERTIFICATE-----\n${lines.join("\n")}\n-----END CERTIFICATE-----\n`);
}

export interface MessageEdit {
  readonly protectedHeader?: Uint8Array;
  readonly index?: number;
  readonly payload?: Uint8Array;
  readonly hash?: string;
  /** Changes r ‖ s after signing. */
  readonly signature?: (signature: Uint8Array) => Uint8Array;
}

/** COSE_Sign1 over PCR0, as AWS's tools make it. */
export function signMessage({ privateKey }: Identity, pcr0: Uint8Array, edit: MessageEdit = {}): Uint8Array {
  const { protectedHeader = fromHex("a1013822"), index = 0, hash = "sha384" } = edit;
  const info = new Map<string, CborValue>([
    ["register_index", index],
    ["register_value", [...pcr0]],
  ]);
  const { payload = encodeCbor(info) } = edit;
  const signed = encodeCbor(["Signature1", protectedHeader, new Uint8Array(0), payload]);
  const signature = new Uint8Array(sign(hash, signed, { key: privateKey, dsaEncoding: "ieee-p1363" }));
  return encodeCbor([protectedHeader, new Map(), payload, edit.signature?.(signature) ?? signature]);
}

/** One entry of the section: byte strings are arrays of numbers, as AWS's tools write them. */
export function entry(pem: Uint8Array, message: Uint8Array): CborValue {
  return new Map<string, CborValue>([
    ["signing_certificate", [...pem]],
    ["signature", [...message]],
  ]);
}

export function sectionOf(...entries: readonly CborValue[]): Uint8Array {
  return encodeCbor(entries);
}

/** A section that is well-formed; what it signs is another matter. */
export function anySignature(): Uint8Array {
  const identity = makeIdentity();
  return sectionOf(entry(identity.pem, signMessage(identity, new Uint8Array(48))));
}

/** (r, n − s) of (r, s): as valid as the first, by ECDSA's nature. */
export function twin(signature: Uint8Array): Uint8Array {
  const n = BigInt(
    "0xffffffffffffffffffffffffffffffffffffffffffffffffc7634d81f4372ddf581a0db248b0a77aecec196accc52973",
  );
  const s = BigInt(`0x${Buffer.from(signature.subarray(48)).toString("hex")}`);
  return concat(signature.subarray(0, 48), fromHex((n - s).toString(16).padStart(96, "0")));
}
