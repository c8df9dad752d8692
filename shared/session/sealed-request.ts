/**
 * Seals a request to a key that an enclave's document vouches for, and the answer to whoever sealed the request.
 *
 * For clients that have no say in their TLS, browsers above all. HPKE (RFC 9180) in base mode: DHKEM(P-384, HKDF-SHA384),
 * HKDF-SHA384, AES-256-GCM; the answer is keyed from the exporter as Oblivious HTTP does.
 *
 *   request   0x01 ‖ key id, 8 bytes ‖ enc, 97 bytes ‖ ciphertext      info "cloister/request/v1", aad the first 9 bytes
 *   answer    nonce, 32 bytes ‖ ciphertext                             AES-256-GCM, key and IV from
 *             HKDF-SHA384( exporter "cloister/answer/v1" of 32 bytes, salt enc ‖ nonce ), info "key" and "nonce"
 *
 *   GET /.well-known/attestation/request-key?nonce=   document: nonce, public_key, {"purpose":"request"} over that key
 *   POST /.well-known/sealed-request                  a request, and its answer
 *
 * Source: RFC 9180 §5, §6.1; RFC 9458 §4.4.
 *
 * @module
 */
import { Aes256Gcm, CipherSuite, DhkemP384HkdfSha384, HkdfSha384 } from "@hpke/core";
import { concat, utf8 } from "../bytes.ts";
import { SessionError } from "../errors/session.ts";
import { transcriptDigest } from "./transcript.ts";

export const REQUEST_PURPOSE = "request";
export const REQUEST_KEY_PATH = "/.well-known/attestation/request-key";
export const SEALED_REQUEST_PATH = "/.well-known/sealed-request";
export const SEALED_TYPE = "application/vnd.cloister.sealed";

export const REQUEST_KEY_ALGORITHM = { name: "ECDH", namedCurve: "P-384" } as const;
export const KEY_ID_BYTES = 8;

type Key = Awaited<ReturnType<typeof crypto.subtle.importKey>>;
/** Made under `REQUEST_KEY_ALGORITHM`; the private half need not be extractable. */
export interface RequestKeyPair {
  readonly publicKey: Key;
  readonly privateKey: Key;
}

const VERSION = 1;
const HEAD_BYTES = 1 + KEY_ID_BYTES;
const ENC_BYTES = 97;
const ANSWER_NONCE_BYTES = 32;
const INFO = Uint8Array.from(utf8("cloister/request/v1")).buffer;
const ANSWER = Uint8Array.from(utf8("cloister/answer/v1")).buffer;
const suite = new CipherSuite({ kem: new DhkemP384HkdfSha384(), kdf: new HkdfSha384(), aead: new Aes256Gcm() });

/** What the `user_data` of a key's document vouches for. */
export function requestKeyDigest(spki: Uint8Array): Promise<Uint8Array> {
  return transcriptDigest("cloister/request/v1", [spki]);
}

/** Names a key in a request; says nothing of who has it. */
export async function requestKeyId(spki: Uint8Array): Promise<Uint8Array> {
  return new Uint8Array(await crypto.subtle.digest("SHA-256", Uint8Array.from(spki))).subarray(0, KEY_ID_BYTES);
}

/** @throws {SessionError} `ERR_SESSION_NOT_OPENED` */
export type OpenAnswer = (answer: Uint8Array) => Promise<Uint8Array>;

export interface SealedRequest {
  readonly message: Uint8Array;
  readonly openAnswer: OpenAnswer;
}

/** @param spki a P-384 key that a verified document vouches for */
export async function sealRequest(plaintext: Uint8Array, spki: Uint8Array): Promise<SealedRequest> {
  const recipientPublicKey = await crypto.subtle.importKey(
    "spki",
    Uint8Array.from(spki),
    REQUEST_KEY_ALGORITHM,
    true,
    [],
  );
  const sender = await suite.createSenderContext({ recipientPublicKey, info: INFO });
  const head = concat(Uint8Array.of(VERSION), await requestKeyId(spki));
  const enc = new Uint8Array(sender.enc);
  const ciphertext = await sender.seal(ownBuffer(plaintext), ownBuffer(head));
  const secret = await sender.export(ANSWER, ANSWER_NONCE_BYTES);
  return {
    message: concat(head, enc, new Uint8Array(ciphertext)),
    async openAnswer(answer) {
      const nonce = answer.subarray(0, ANSWER_NONCE_BYTES);
      try {
        const { key, iv } = await answerKey(secret, concat(enc, nonce));
        const sealed = ownBuffer(answer.subarray(ANSWER_NONCE_BYTES));
        return new Uint8Array(await crypto.subtle.decrypt({ name: "AES-GCM", iv }, key, sealed));
      } catch (cause) {
        throw new SessionError("ERR_SESSION_NOT_OPENED", { message: "answer" }, { cause });
      }
    },
  };
}

export interface OpenedRequest {
  readonly plaintext: Uint8Array;
  /** Differs between any two requests that were sealed. */
  readonly enc: Uint8Array;
  sealAnswer(plaintext: Uint8Array): Promise<Uint8Array>;
}

/** The key that a message names; `undefined` where it is no message of this version. */
export function keyIdOf(message: Uint8Array): Uint8Array | undefined {
  const isWhole = message.length > HEAD_BYTES + ENC_BYTES && message[0] === VERSION;
  return isWhole ? message.subarray(1, HEAD_BYTES) : undefined;
}

/**
 * @throws {SessionError} `ERR_SESSION_NOT_OPENED`, one code whatever is wrong
 */
export async function openRequest(message: Uint8Array, keys: RequestKeyPair): Promise<OpenedRequest> {
  const head = message.subarray(0, HEAD_BYTES);
  const enc = message.slice(HEAD_BYTES, HEAD_BYTES + ENC_BYTES);
  try {
    const recipient = await suite.createRecipientContext({ recipientKey: keys, enc: ownBuffer(enc), info: INFO });
    const sealed = ownBuffer(message.subarray(HEAD_BYTES + ENC_BYTES));
    const plaintext = new Uint8Array(await recipient.open(sealed, ownBuffer(head)));
    const secret = await recipient.export(ANSWER, ANSWER_NONCE_BYTES);
    return { plaintext, enc, sealAnswer: (answer) => sealAnswer(answer, { secret, enc }) };
  } catch (cause) {
    throw new SessionError("ERR_SESSION_NOT_OPENED", { message: "request" }, { cause });
  }
}

async function sealAnswer(
  plaintext: Uint8Array,
  { secret, enc }: { readonly secret: ArrayBuffer; readonly enc: Uint8Array },
): Promise<Uint8Array> {
  const nonce = crypto.getRandomValues(new Uint8Array(ANSWER_NONCE_BYTES));
  const { key, iv } = await answerKey(secret, concat(enc, nonce));
  const sealed = await crypto.subtle.encrypt({ name: "AES-GCM", iv }, key, ownBuffer(plaintext));
  return concat(nonce, new Uint8Array(sealed));
}

async function answerKey(
  secret: ArrayBuffer,
  salt: Uint8Array,
): Promise<{ readonly key: Key; readonly iv: Uint8Array<ArrayBuffer> }> {
  const material = await crypto.subtle.importKey("raw", secret, "HKDF", false, ["deriveKey", "deriveBits"]);
  const hkdf = (info: string) => ({
    ...{ name: "HKDF", hash: "SHA-384", salt: ownBuffer(salt), info: ownBuffer(utf8(info)) },
  });
  const usage: readonly ("encrypt" | "decrypt")[] = ["encrypt", "decrypt"];
  const aes = { name: "AES-GCM", length: 256 };
  const key = await crypto.subtle.deriveKey(hkdf("key"), material, aes, false, [...usage]);
  const iv = new Uint8Array(await crypto.subtle.deriveBits(hkdf("nonce"), material, 96));
  return { key, iv };
}

/** A buffer that holds these bytes and no others: their own where it does, or a copy. */
function ownBuffer(bytes: Uint8Array): ArrayBuffer {
  const { buffer } = bytes;
  return buffer instanceof ArrayBuffer && buffer.byteLength === bytes.length ? buffer : new Uint8Array(bytes).buffer;
}
