/**
 * Opens `CiphertextForRecipient` with the enclave's own key.
 *
 * One error whatever is wrong, and the same work on every path: a message that does not parse is replaced by a decoy,
 * a content key that does not decrypt by a random one, and the end decides. So a parent that could feed messages learns
 * nothing about which step failed. Node promises no constant time beneath that.
 *
 * A key may serve several calls; what KMS encrypted to it opens once. OAEP is randomised and can not be re-randomised by
 * who holds no key, so a content key that comes a second time, in whatever message, is a replay.
 *
 * Source: RFC 5652 §6; RFC 8017 §7.1 (OAEP); RFC 3218 §2.3.2 (continue with a random key).
 *
 * @module
 */
import { constants, createDecipheriv, createHash, type KeyObject, privateDecrypt, randomBytes } from "node:crypto";
import { equalBytes } from "../../shared/bytes.ts";
import { type EnvelopedData, readEnvelopedData } from "../../shared/cms/enveloped-data.ts";
import { KmsError } from "../../shared/errors/index.ts";

/** An RSA-2048 key pair whose public half went into an attestation document. */
export interface RecipientKey {
  readonly privateKey: KeyObject;
  /** DER SubjectPublicKeyInfo. */
  readonly publicKey: Uint8Array;
}

const RSA_BYTES = 256;
const KEY_BYTES = 32;

/**
 * @returns the plaintext; only ever use it as a key for something that authenticates, the message does not
 * @throws {KmsError} `ERR_KMS_RECIPIENT_UNOPENABLE`
 */
export function openRecipientMessage(message: Uint8Array, key: RecipientKey): Uint8Array {
  return open(message, key).plaintext;
}

/** What has been opened, for as long as its key lives: SHA-256 of encrypted content keys. */
const opened = new WeakMap<KeyObject, Set<string>>();

/** As `openRecipientMessage`, but a content key that this RSA key has opened before is refused, likewise. */
export function openOnce(message: Uint8Array, key: RecipientKey): Uint8Array {
  const { plaintext, encryptedKey } = open(message, key);
  const name = createHash("sha256").update(encryptedKey).digest("base64");
  const names = opened.get(key.privateKey) ?? new Set();
  if (names.has(name)) {
    plaintext.fill(0);
    throw new KmsError("ERR_KMS_RECIPIENT_UNOPENABLE", {});
  }
  opened.set(key.privateKey, names.add(name));
  return plaintext;
}

function open(message: Uint8Array, key: RecipientKey): Pick<EnvelopedData, "encryptedKey"> & { plaintext: Uint8Array } {
  const parsed = tryRead(message);
  const envelope = parsed ?? decoy();
  const isForThisKey = equalBytes(envelope.recipient, createHash("sha256").update(key.publicKey).digest());
  const contentKey = tryDecryptKey(envelope.encryptedKey, key.privateKey);
  const plaintext = tryDecryptContent(envelope, contentKey ?? randomBytes(KEY_BYTES));
  contentKey?.fill(0);
  if (parsed && isForThisKey && contentKey && plaintext) return { plaintext, encryptedKey: envelope.encryptedKey };
  plaintext?.fill(0);
  throw new KmsError("ERR_KMS_RECIPIENT_UNOPENABLE", {});
}

function tryRead(message: Uint8Array): EnvelopedData | undefined {
  try {
    const envelope = readEnvelopedData(message);
    return envelope.encryptedKey.length === RSA_BYTES ? envelope : undefined;
  } catch {
    return undefined; // not a verdict: the caller goes on with a decoy and refuses at the end
  }
}

function decoy(): EnvelopedData {
  return {
    recipient: randomBytes(32),
    encryptedKey: Uint8Array.from({ length: RSA_BYTES }, (_, index) => (index === 0 ? 0 : 0xa5)),
    iv: randomBytes(16),
    ciphertext: randomBytes(48),
  };
}

function tryDecryptKey(encrypted: Uint8Array, privateKey: KeyObject): Uint8Array | undefined {
  try {
    const padding = { padding: constants.RSA_PKCS1_OAEP_PADDING, oaepHash: "sha256" };
    const contentKey = privateDecrypt({ key: privateKey, ...padding }, encrypted);
    return contentKey.length === KEY_BYTES ? contentKey : undefined;
  } catch {
    return undefined;
  }
}

function tryDecryptContent({ iv, ciphertext }: EnvelopedData, contentKey: Uint8Array): Uint8Array | undefined {
  const decipher = createDecipheriv("aes-256-cbc", contentKey, iv);
  try {
    const head = decipher.update(ciphertext);
    const tail = decipher.final();
    const plaintext = new Uint8Array(head.length + tail.length);
    plaintext.set(head);
    plaintext.set(tail, head.length);
    head.fill(0);
    tail.fill(0);
    return plaintext;
  } catch {
    return undefined;
  }
}
