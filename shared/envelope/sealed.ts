/**
 * Seals data in the AWS Encryption SDK message format, and opens it: any Encryption SDK in any language reads it.
 *
 *   algorithm suite 0x0578 (AES-256-GCM, HKDF, key commitment, ECDSA P-384 signature) · one encrypted data key
 *   · the KMS key named by its full ARN · an encryption context that opening demands again
 *
 * The KMS client is a value: outside the enclave a plain one, inside an attested one, so that the data key is released
 * to measured code only. Nothing of the plaintext is given out before the message's signature has been verified.
 * What does not fit in memory: `sealStream`, `openStream`.
 *
 * Source: AWS Encryption SDK Developer Guide, "Message format reference", "Commitment policy".
 *
 * @module
 */
import { concat } from "../bytes.ts";
import { openStream } from "./open-stream.ts";
import type { OpenOptions } from "./reading.ts";
import { type SealOptions, sealStream } from "./seal-stream.ts";

export type { EncryptionContext } from "./context.ts";
export type { KeyAccess, KmsCalls, MaterialsSource } from "./materials.ts";
export type { OpenOptions } from "./reading.ts";
export type { SealOptions } from "./seal-stream.ts";

/** @throws the KMS client's own exceptions */
export async function seal(plaintext: Uint8Array, options: SealOptions): Promise<Uint8Array> {
  const pieces: Uint8Array[] = [];
  const stream = { suite: "signed", plaintextBytes: plaintext.length } as const;
  for await (const piece of sealStream([plaintext], { ...options, ...stream })) pieces.push(piece);
  return concat(...pieces);
}

/**
 * Opens a message that was sealed with the same key and context.
 *
 * @throws {DataError} `ERR_DATA_NOT_OPENED`, one code whatever is wrong with the message
 * @throws what the KMS client threw, when KMS did not release the data key
 */
export async function open(message: Uint8Array, options: OpenOptions): Promise<Uint8Array> {
  const pieces: Uint8Array[] = [];
  // Message and plaintext are in memory anyway.
  const limits = { suite: "signed", maxHeldBytes: message.length, maxFrameBytes: 0xffff_ffff } as const;
  for await (const piece of openStream([message], { ...options, ...limits })) pieces.push(piece);
  const plaintext = concat(...pieces);
  for (const piece of pieces) piece.fill(0);
  return plaintext;
}
