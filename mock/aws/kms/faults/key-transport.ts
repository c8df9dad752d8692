/**
 * Messages whose content key comes in another way than RSAES-OAEP with SHA-256 of 32 bytes for this recipient.
 *
 *   M07 PKCS#1 v1.5 · M08 another hash, mask hash or label · M09 size of what is encrypted · M10 size of the key
 *   M24 the key of somebody else
 *
 * Source: RFC 4055 §4.1; RFC 8017 §7.1, §7.2.
 *
 * @module
 */
import { constants, createPublicKey, generateKeyPairSync, publicEncrypt, randomBytes } from "node:crypto";
import { concat, utf8 } from "../../../../shared/bytes.ts";
import { contextConstructed, element, TAG } from "../ber.ts";
import { algorithm, OID, sealForRecipient } from "../recipient-message.ts";
import type { HonestMessage, MessageMutation, MutationTable } from "./message.ts";
import { type OaepChoices, oaepEncrypt } from "./oaep.ts";

const RSA_ENCRYPTION = "1.2.840.113549.1.1.1";
const SPECIFIED = "1.2.840.113549.1.1.9";
const HASHES = { sha1: "1.3.14.3.2.26", sha256: OID.sha256, sha384: "2.16.840.1.101.3.4.2.2" } as const;

export const KEY_TRANSPORT_FAULTS: MutationTable = {
  M07: (message) => {
    const key = createPublicKey({ key: Buffer.from(message.publicKey), format: "der", type: "spki" });
    return message.withRecipient({
      algorithm: algorithm(RSA_ENCRYPTION, element(TAG.null)),
      encryptedKey: publicEncrypt({ key, padding: constants.RSA_PKCS1_PADDING }, message.content.key),
    });
  },
  // RFC 4055 §4.1: every default is SHA-1, so empty parameters say SHA-1 throughout.
  "M08-sha1-by-default": (message) =>
    message.withRecipient({
      algorithm: algorithm(OID.rsaesOaep, element(TAG.sequence)),
      encryptedKey: oaepEncrypt(message.content.key, message.publicKey, { hash: "sha1", maskHash: "sha1" }),
    }),
  "M08-sha384": oaepBy({ hash: "sha384" }),
  "M08-mask-sha1": oaepBy({ maskHash: "sha1" }),
  "M08-label": oaepBy({ label: utf8("label") }),
  "M09-0-bytes": (message) => message.withRecipient({ encryptedKey: new Uint8Array(0) }),
  "M09-255-bytes": (message) => message.withRecipient({ encryptedKey: withoutItsFirstByte(message) }),
  // A zero in front changes nothing of the number.
  "M09-257-bytes": (message) =>
    message.withRecipient({
      encryptedKey: concat(Uint8Array.of(0), oaepEncrypt(message.content.key, message.publicKey)),
    }),
  "M09-modulus": (message) => message.withRecipient({ encryptedKey: modulusOf(message.publicKey) }),
  "M10-0-byte-key": transporting((key) => key.subarray(0, 0)),
  "M10-16-byte-key": transporting((key) => key.subarray(0, 16)),
  "M10-31-byte-key": transporting((key) => key.subarray(0, 31)),
  "M10-33-byte-key": transporting((key) => concat(key, randomBytes(1))),
  M24: ({ plaintext }) => {
    const stranger = strangersKey();
    return sealForRecipient(plaintext, { encryptTo: stranger, nameAs: stranger });
  },
};

/** DER SubjectPublicKeyInfo of a key that nobody has. */
export function strangersKey(): Uint8Array {
  return generateKeyPairSync("rsa", { modulusLength: 2048 }).publicKey.export({ format: "der", type: "spki" });
}

/** Says what it does: an opener that follows the parameters gets the key. */
function oaepBy(choices: OaepChoices): MessageMutation {
  const { hash = "sha256", maskHash = "sha256", label } = choices;
  const hashed = (name: keyof typeof HASHES): Uint8Array => algorithm(HASHES[name], element(TAG.null));
  const source = label && algorithm(SPECIFIED, element(TAG.octetString, label));
  const parameters = element(
    TAG.sequence,
    element(contextConstructed(0), hashed(hash)),
    element(contextConstructed(1), algorithm(OID.mgf1, hashed(maskHash))),
    ...(source ? [element(contextConstructed(2), source)] : []),
  );
  return (message) =>
    message.withRecipient({
      algorithm: algorithm(OID.rsaesOaep, parameters),
      encryptedKey: oaepEncrypt(message.content.key, message.publicKey, choices),
    });
}

/** The content is encrypted under the whole key; what is transported is what `cut` makes of it. */
function transporting(cut: (key: Uint8Array) => Uint8Array): MessageMutation {
  return (message) => message.withRecipient({ encryptedKey: oaepEncrypt(cut(message.content.key), message.publicKey) });
}

/** A zero in front would not be missed: the number is the same without it. */
function withoutItsFirstByte(message: HonestMessage): Uint8Array {
  const whole = oaepEncrypt(message.content.key, message.publicKey);
  return whole[0] === 0 ? withoutItsFirstByte(message) : whole.subarray(1);
}

/** 256 bytes, the smallest number that is no ciphertext. */
function modulusOf(spki: Uint8Array): Uint8Array {
  const { n = "" } = createPublicKey({ key: Buffer.from(spki), format: "der", type: "spki" }).export({ format: "jwk" });
  return Buffer.from(n, "base64url");
}
