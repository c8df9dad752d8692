/**
 * Makes CiphertextForRecipient: CMS EnvelopedData that only the attested key opens, in the bytes KMS sends.
 *
 *   ContentInfo, EnvelopedData v2, EncryptedContentInfo      indefinite lengths
 *   one KeyTransRecipientInfo v2                             recipient by subjectKeyIdentifier = SHA-256 of the SPKI
 *   RSAES-OAEP, SHA-256 in hash and mask, empty label        a fresh AES-256 key
 *   AES-256-CBC, PKCS#7 padding                              [0] constructed, one OCTET STRING chunk
 *
 * Genuine messages up to 160 bytes have one chunk; what KMS does above is not known, this writes one.
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

const OID = {
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

export function sealForRecipient(plaintext: Uint8Array, { encryptTo, nameAs }: RecipientKeys): Uint8Array {
  const contentKey = randomBytes(32);
  const iv = randomBytes(16);
  const cipher = createCipheriv("aes-256-cbc", contentKey, iv);
  const content = Buffer.concat([cipher.update(plaintext), cipher.final()]);
  const encryptedKey = publicEncrypt(
    {
      key: createPublicKey({ key: Buffer.from(encryptTo), format: "der", type: "spki" }),
      padding: constants.RSA_PKCS1_OAEP_PADDING,
      oaepHash: "sha256",
    },
    contentKey,
  );
  contentKey.fill(0);
  return indefinite(
    TAG.sequence,
    objectIdentifier(OID.envelopedData),
    indefinite(
      contextConstructed(0),
      indefinite(
        TAG.sequence,
        smallInteger(2),
        element(TAG.set, recipientInfo(nameAs, encryptedKey)),
        indefinite(
          TAG.sequence,
          objectIdentifier(OID.data),
          element(TAG.sequence, objectIdentifier(OID.aes256Cbc), element(TAG.octetString, iv)),
          indefinite(contextConstructed(0), element(TAG.octetString, content)),
        ),
      ),
    ),
  );
}

function recipientInfo(publicKey: Uint8Array, encryptedKey: Uint8Array): Uint8Array {
  const sha256 = element(TAG.sequence, objectIdentifier(OID.sha256), element(TAG.null));
  const oaep = element(
    TAG.sequence,
    element(contextConstructed(0), sha256),
    element(contextConstructed(1), element(TAG.sequence, objectIdentifier(OID.mgf1), sha256)),
  );
  return element(
    TAG.sequence,
    smallInteger(2),
    element(contextPrimitive(0), createHash("sha256").update(publicKey).digest()),
    element(TAG.sequence, objectIdentifier(OID.rsaesOaep), oaep),
    element(TAG.octetString, encryptedKey),
  );
}
