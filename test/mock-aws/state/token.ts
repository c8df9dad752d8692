/**
 * A stand-in for a token's AES key: wraps and authenticates, in no time.
 *
 * @module
 */
import { createCipheriv, createDecipheriv } from "node:crypto";
import type { KeyWrapper } from "../../../mock/aws/state/data-key.ts";

export function tokenOf(number: number): KeyWrapper {
  const key = Buffer.alloc(32, number);
  const nonce = Buffer.alloc(12);
  return {
    wrap: async (plain) => {
      const cipher = createCipheriv("aes-256-gcm", key, nonce);
      return Buffer.concat([cipher.update(plain), cipher.final(), cipher.getAuthTag()]);
    },
    unwrap: async (wrapped) => {
      const decipher = createDecipheriv("aes-256-gcm", key, nonce, { authTagLength: 16 });
      decipher.setAuthTag(wrapped.subarray(-16));
      return Buffer.concat([decipher.update(wrapped.subarray(0, -16)), decipher.final()]);
    },
  };
}
