/**
 * Replaces values: by tokens, which are the same for the same value and have no way back, or sealed, which have one.
 *
 *   token    HMAC-SHA-256 of column and value, 128 bits of it; equal values stay equal, so that tables can be joined
 *   sealed   AES-256-GCM of the value, bound to its column, under a nonce that is drawn anew
 *
 * Both keys are derived from one data key. Random nonces of 96 bits are good for 2^32 values of it.
 *
 * @module
 */
import { createCipheriv, createDecipheriv, createHmac, hkdfSync, randomBytes } from "node:crypto";

export type Treatment = "token" | "seal";

const [NONCE, TAG] = [12, 16];

export class Vault {
  readonly #tokenKey: Buffer;
  readonly #sealKey: Buffer;

  /** @param dataKey 32 bytes; the caller overwrites them */
  constructor(dataKey: Uint8Array) {
    this.#tokenKey = Buffer.from(hkdfSync("sha256", dataKey, "", "token", 32));
    this.#sealKey = Buffer.from(hkdfSync("sha256", dataKey, "", "seal", 32));
  }

  replace(treatment: Treatment, column: string, value: string): string {
    return treatment === "token" ? this.token(column, value) : this.seal(column, value);
  }

  token(column: string, value: string): string {
    const text = JSON.stringify([column, value]);
    return createHmac("sha256", this.#tokenKey).update(text).digest().subarray(0, 16).toString("base64url");
  }

  seal(column: string, value: string): string {
    const nonce = randomBytes(NONCE);
    const cipher = createCipheriv("aes-256-gcm", this.#sealKey, nonce).setAAD(Buffer.from(column));
    return Buffer.concat([nonce, cipher.update(value, "utf8"), cipher.final(), cipher.getAuthTag()]).toString(
      "base64url",
    );
  }

  /** `undefined` for what was not sealed here, or for another column. */
  open(column: string, sealed: string): string | undefined {
    const bytes = Buffer.from(sealed, "base64url");
    if (bytes.length < NONCE + TAG) return undefined;
    const decipher = createDecipheriv("aes-256-gcm", this.#sealKey, bytes.subarray(0, NONCE));
    decipher.setAAD(Buffer.from(column)).setAuthTag(bytes.subarray(-TAG));
    const plaintext = decipher.update(bytes.subarray(NONCE, -TAG));
    try {
      return Buffer.concat([plaintext, decipher.final()]).toString("utf8");
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== undefined) throw error;
      return undefined;
    }
  }
}
