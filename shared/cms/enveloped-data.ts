/**
 * Reads `CiphertextForRecipient`: the one CMS EnvelopedData that KMS makes, and no other.
 *
 *   version 2 · exactly one KeyTransRecipientInfo, version 2, named by a 32-byte subjectKeyIdentifier
 *   · RSAES-OAEP with SHA-256 and MGF1-SHA-256 · AES-256-CBC with a 16-byte IV · id-data
 *
 * Decrypts nothing. The message carries no authentication: whoever ends the TLS connection could have made it, so TLS
 * to KMS must end inside the enclave, and the plaintext is used only as a key for something that authenticates.
 *
 * Source: RFC 5652 §6; RFC 4055 §4.1; observed on genuine KMS answers (`docs/kms-recipient.md`).
 *
 * @module
 */
import { concat, equalBytes, fromHex } from "../bytes.ts";
import { EncodingError } from "../errors/encoding.ts";
import { type BerNode, readBer } from "./ber.ts";

export interface EnvelopedData {
  /** SHA-256 of the recipient's SubjectPublicKeyInfo, 32 bytes. */
  readonly recipient: Uint8Array;
  /** The content key under RSA-OAEP, 256 bytes for RSA-2048. */
  readonly encryptedKey: Uint8Array;
  /** 16 bytes. */
  readonly iv: Uint8Array;
  /** AES-256-CBC with PKCS #7 padding: a multiple of 16 bytes, 16 at least. */
  readonly ciphertext: Uint8Array;
}

export const MESSAGE_MAX = 65_536;

const ENVELOPED_DATA = fromHex("2a864886f70d010703");
const DATA = fromHex("2a864886f70d010701");
const RSAES_OAEP = fromHex("2a864886f70d010107");
const SHA256 = fromHex("608648016503040201");
const MGF1 = fromHex("2a864886f70d010108");
const AES256_CBC = fromHex("60864801650304012a");

function refuse(rule: string): EncodingError {
  return new EncodingError("ERR_ASN1_MALFORMED", { offset: 0, rule });
}

/** @throws {EncodingError} `ERR_ASN1_MALFORMED`; callers inside an enclave must not tell the parent which rule broke */
export function readEnvelopedData(message: Uint8Array): EnvelopedData {
  if (message.length > MESSAGE_MAX) throw refuse(`at most ${MESSAGE_MAX} bytes`);
  const [type, wrapped] = parts(readBer(message), 0x30, 2);
  oid(type, ENVELOPED_DATA);
  const [enveloped] = parts(wrapped, 0xa0, 1);
  const [version, recipients, content] = parts(enveloped, 0x30, 3);
  integer(version, 2);
  const [recipient] = parts(recipients, 0x31, 1);
  return { ...readRecipient(recipient), ...readContent(content) };
}

/** KeyTransRecipientInfo in its subjectKeyIdentifier form. */
function readRecipient(node: BerNode | undefined): Pick<EnvelopedData, "recipient" | "encryptedKey"> {
  const [version, identifier, algorithm, key] = parts(node, 0x30, 4);
  integer(version, 2);
  const recipient = primitive(identifier, 0x80);
  if (recipient.length !== 32) throw refuse("the subjectKeyIdentifier has 32 bytes");
  const [name, parameters] = parts(algorithm, 0x30, 2);
  oid(name, RSAES_OAEP);
  // RFC 4055 §4.1: pSourceAlgorithm left out is the empty label; anything else is not what was asked for.
  const [hash, mask] = parts(parameters, 0x30, 2);
  sha256(parts(hash, 0xa0, 1)[0]);
  const [maskName, maskHash] = parts(parts(mask, 0xa1, 1)[0], 0x30, 2);
  oid(maskName, MGF1);
  sha256(maskHash);
  return { recipient, encryptedKey: primitive(key, 0x04) };
}

function readContent(node: BerNode | undefined): Pick<EnvelopedData, "iv" | "ciphertext"> {
  const [type, algorithm, content] = parts(node, 0x30, 3);
  oid(type, DATA);
  const [name, parameter] = parts(algorithm, 0x30, 2);
  oid(name, AES256_CBC);
  const iv = primitive(parameter, 0x04);
  if (iv.length !== 16) throw refuse("the IV has 16 bytes");
  const ciphertext = readOctets(content);
  if (ciphertext.length === 0 || ciphertext.length % 16 !== 0) throw refuse("the ciphertext is whole blocks");
  return { iv, ciphertext };
}

/** `[0]` primitive, or constructed of OCTET STRINGs. */
function readOctets(node: BerNode | undefined): Uint8Array {
  if (node?.tag === 0x80) return node.content;
  if (node?.tag !== 0xa0) throw refuse("the encrypted content is present");
  return concat(...(node.children ?? []).map((chunk) => primitive(chunk, 0x04)));
}

function parts(node: BerNode | undefined, tag: number, count: number): readonly BerNode[] {
  if (node?.tag !== tag || node.children?.length !== count) {
    throw refuse(`expected tag 0x${tag.toString(16)} with ${count} values`);
  }
  return node.children;
}

function primitive(node: BerNode | undefined, tag: number): Uint8Array {
  if (node?.tag !== tag || node.children) throw refuse(`expected a primitive value of tag 0x${tag.toString(16)}`);
  return node.content;
}

function oid(node: BerNode | undefined, expected: Uint8Array): void {
  if (!equalBytes(primitive(node, 0x06), expected)) throw refuse("another object identifier was expected");
}

function integer(node: BerNode | undefined, expected: number): void {
  if (!equalBytes(primitive(node, 0x02), Uint8Array.of(expected))) throw refuse(`the version is ${expected}`);
}

/** AlgorithmIdentifier { id-sha256, NULL }. */
function sha256(node: BerNode | undefined): void {
  const [name, parameter] = parts(node, 0x30, 2);
  oid(name, SHA256);
  if (primitive(parameter, 0x05).length !== 0) throw refuse("NULL has no content");
}
