/**
 * Makes CiphertextForRecipient: CMS EnvelopedData that only the attested key opens, in the bytes KMS sends.
 *
 *   ContentInfo, EnvelopedData v2, EncryptedContentInfo      indefinite lengths
 *   one KeyTransRecipientInfo v2                             recipient by subjectKeyIdentifier = SHA-256 of the SPKI
 *   RSAES-OAEP, SHA-256 in hash and mask, empty label        a fresh AES-256 key
 *   AES-256-CBC, PKCS#7 padding                              [0] constructed, one OCTET STRING chunk
 *
 * Genuine messages up to 160 bytes have one chunk; what KMS does above is not known, this writes one. The message is
 * put together from parts, so that a fault can change one of them.
 *
 * Source: RFC 5652 §6; RFC 8017 §A.2.1; five genuine messages.
 *
 * @module
 */
import { constants, createCipheriv, createHash, createPublicKey, publicEncrypt, randomBytes } from "node:crypto";
import {
  contextConstructed,
  contextPrimitive,
  element,
  indefinite,
  objectIdentifier,
  smallInteger,
  TAG,
} from "./ber.ts";

export const OID = {
  data: "1.2.840.113549.1.7.1",
  envelopedData: "1.2.840.113549.1.7.3",
  rsaesOaep: "1.2.840.113549.1.1.7",
  mgf1: "1.2.840.113549.1.1.8",
  sha256: "2.16.840.1.101.3.4.2.1",
  aes256Cbc: "2.16.840.1.101.3.4.1.42",
} as const;

export interface RecipientKeys {
  /** DER SubjectPublicKeyInfo that the content key is encrypted to. */
  readonly encryptTo: Uint8Array;
  /** DER SubjectPublicKeyInfo that the recipient is named by. The same, unless a fault is played. */
  readonly nameAs: Uint8Array;
}

/** What a message is made of, each part written already. */
export interface MessageParts {
  readonly contentType: Uint8Array;
  readonly version: Uint8Array;
  /** KMS sends none. */
  readonly originatorInfo?: Uint8Array;
  readonly recipientInfos: readonly Uint8Array[];
  readonly dataType: Uint8Array;
  readonly cipher: Uint8Array;
  readonly encryptedContent?: Uint8Array;
  /** KMS sends none. */
  readonly unprotectedAttributes?: Uint8Array;
}

/** The key and IV that the content is encrypted under. */
export interface ContentKey {
  /** 32 bytes. */
  readonly key: Uint8Array;
  /** 16 bytes. */
  readonly iv: Uint8Array;
}

export function sealForRecipient(plaintext: Uint8Array, keys: RecipientKeys): Uint8Array {
  const content = newContentKey();
  const encryptedKey = encryptKey(content.key, keys.encryptTo);
  const message = writeMessage({
    ...partsOf(encryptContent(plaintext, content), content.iv),
    recipientInfos: [keyTransport({ ...transportOf(keys.nameAs), encryptedKey })],
  });
  content.key.fill(0);
  return message;
}

export function newContentKey(): ContentKey {
  return { key: randomBytes(32), iv: randomBytes(16) };
}

/** AES-256-CBC with PKCS#7 padding. */
export function encryptContent(plaintext: Uint8Array, { key, iv }: ContentKey): Uint8Array {
  const cipher = createCipheriv("aes-256-cbc", key, iv);
  return Buffer.concat([cipher.update(plaintext), cipher.final()]);
}

/** Every part but the recipients, around a ciphertext in one chunk. */
export function partsOf(ciphertext: Uint8Array, iv: Uint8Array): Omit<MessageParts, "recipientInfos"> {
  return {
    contentType: objectIdentifier(OID.envelopedData),
    version: smallInteger(2),
    dataType: objectIdentifier(OID.data),
    cipher: algorithm(OID.aes256Cbc, element(TAG.octetString, iv)),
    encryptedContent: indefinite(contextConstructed(0), element(TAG.octetString, ciphertext)),
  };
}

/** `outer` writes the layers around the recipients: KMS leaves their lengths open, DER does not. */
export function writeMessage(parts: MessageParts, outer: typeof element = indefinite): Uint8Array {
  const { originatorInfo, encryptedContent, unprotectedAttributes } = parts;
  const content = [parts.dataType, parts.cipher, ...present(encryptedContent)];
  const enveloped = outer(
    TAG.sequence,
    parts.version,
    ...present(originatorInfo),
    element(TAG.set, ...parts.recipientInfos),
    outer(TAG.sequence, ...content),
    ...present(unprotectedAttributes),
  );
  return outer(TAG.sequence, parts.contentType, outer(contextConstructed(0), enveloped));
}

/** What a KeyTransRecipientInfo is made of, each part written already but for the key. */
export interface TransportParts {
  readonly version: Uint8Array;
  readonly recipientId: Uint8Array;
  readonly algorithm: Uint8Array;
  readonly encryptedKey: Uint8Array;
}

/** How KMS names a recipient and says RSAES-OAEP. */
export function transportOf(publicKey: Uint8Array): Omit<TransportParts, "encryptedKey"> {
  const sha256 = algorithm(OID.sha256, element(TAG.null));
  const parameters = element(
    TAG.sequence,
    element(contextConstructed(0), sha256),
    element(contextConstructed(1), algorithm(OID.mgf1, sha256)),
  );
  return {
    version: smallInteger(2),
    recipientId: element(contextPrimitive(0), createHash("sha256").update(publicKey).digest()),
    algorithm: algorithm(OID.rsaesOaep, parameters),
  };
}

/** KeyTransRecipientInfo. */
export function keyTransport({ version, recipientId, algorithm, encryptedKey }: TransportParts): Uint8Array {
  return element(TAG.sequence, version, recipientId, algorithm, element(TAG.octetString, encryptedKey));
}

/** AlgorithmIdentifier. */
export function algorithm(oid: string, ...parameters: readonly Uint8Array[]): Uint8Array {
  return element(TAG.sequence, objectIdentifier(oid), ...parameters);
}

function encryptKey(contentKey: Uint8Array, spki: Uint8Array): Uint8Array {
  const key = createPublicKey({ key: Buffer.from(spki), format: "der", type: "spki" });
  return publicEncrypt({ key, padding: constants.RSA_PKCS1_OAEP_PADDING, oaepHash: "sha256" }, contentKey);
}

function present(part: Uint8Array | undefined): readonly Uint8Array[] {
  return part ? [part] : [];
}
