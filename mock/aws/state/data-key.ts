/**
 * The key that a state is sealed under, wrapped by a passphrase or by a key that stays in a token.
 *
 *   passphrase   log2 N · r · p · 16-byte salt · 12-byte nonce · AES-256-GCM { data key } under scrypt(passphrase)
 *   token        whatever its `KeyWrapper` makes of the data key
 *
 * The data key is random and made once. The parameters of scrypt are stored, and refused below those of today.
 *
 * Source: RFC 7914; OWASP's minimum for scrypt (N = 2^17, r = 8, p = 1: 128 MiB, about half a second here).
 *
 * @module
 */
import { createCipheriv, createDecipheriv, randomBytes, type ScryptOptions, scrypt } from "node:crypto";
import { concat, utf8 } from "../../../shared/bytes.ts";
import { ConfigError } from "../../../shared/errors/config.ts";

/** A key that wraps another, e.g. an AES key of a PKCS#11 token. `unwrap` rejects what another key has wrapped. */
export interface KeyWrapper {
  wrap(key: Uint8Array): Promise<Uint8Array>;
  unwrap(wrapped: Uint8Array): Promise<Uint8Array>;
}

/** What opens a state. */
export type StateSecret =
  | { readonly kind: "passphrase"; readonly passphrase: string }
  | { readonly kind: "token"; readonly wrapper: KeyWrapper };

export const DATA_KEY_BYTES = 32;
const PASSPHRASE_MIN = 8;
const SALT_BYTES = 16;
const NONCE_BYTES = 12;
const TAG_BYTES = 16;
const PARAMETERS_BYTES = 3 + SALT_BYTES;
const COST = { log2N: 17, r: 8, p: 1 } as const;
/** Beyond these a changed header could keep the machine busy before it is found to be wrong. */
const COST_MAX = { log2N: 20, r: 8, p: 4 } as const;

/** @throws {ConfigError} `ERR_CONFIG_FIELD_INVALID` a short passphrase */
export function keyWrapperOf(secret: StateSecret): KeyWrapper {
  if (secret.kind === "token") return secret.wrapper;
  const { passphrase } = secret;
  if (passphrase.length < PASSPHRASE_MIN) {
    const expected = `at least ${PASSPHRASE_MIN} characters`;
    const actual = `${passphrase.length} characters`;
    throw new ConfigError("ERR_CONFIG_FIELD_INVALID", { field: "passphrase", expected, actual });
  }
  return { wrap: (key) => wrapUnder(passphrase, key), unwrap: (wrapped) => unwrapUnder(passphrase, wrapped) };
}

async function wrapUnder(passphrase: string, key: Uint8Array): Promise<Uint8Array> {
  const parameters = concat(Uint8Array.of(COST.log2N, COST.r, COST.p), randomBytes(SALT_BYTES));
  const nonce = randomBytes(NONCE_BYTES);
  const cipher = createCipheriv("aes-256-gcm", await deriveKey(passphrase, parameters), nonce).setAAD(parameters);
  return concat(parameters, nonce, cipher.update(key), cipher.final(), cipher.getAuthTag());
}

async function unwrapUnder(passphrase: string, wrapped: Uint8Array): Promise<Uint8Array> {
  if (wrapped.length !== PARAMETERS_BYTES + NONCE_BYTES + DATA_KEY_BYTES + TAG_BYTES) throw new Error("no wrapped key");
  const parameters = wrapped.subarray(0, PARAMETERS_BYTES);
  const nonce = wrapped.subarray(PARAMETERS_BYTES, PARAMETERS_BYTES + NONCE_BYTES);
  const sealed = wrapped.subarray(PARAMETERS_BYTES + NONCE_BYTES, -TAG_BYTES);
  const key = await deriveKey(passphrase, parameters);
  const decipher = createDecipheriv("aes-256-gcm", key, nonce, { authTagLength: TAG_BYTES });
  decipher.setAAD(parameters).setAuthTag(wrapped.subarray(-TAG_BYTES));
  return concat(decipher.update(sealed), decipher.final());
}

function deriveKey(passphrase: string, parameters: Uint8Array): Promise<Uint8Array> {
  const [log2N = 0, r = 0, p = 0] = parameters;
  const within = (value: number, name: keyof typeof COST): boolean => COST[name] <= value && value <= COST_MAX[name];
  if (!within(log2N, "log2N") || !within(r, "r") || !within(p, "p")) throw new Error("scrypt's parameters");
  // One text in two spellings of Unicode is one passphrase.
  const password = utf8(passphrase.normalize("NFC"));
  const options: ScryptOptions = { N: 2 ** log2N, r, p, maxmem: 2 * 128 * r * 2 ** log2N };
  return new Promise((resolve, reject) => {
    scrypt(password, parameters.subarray(3), 32, options, (error, key) => (error ? reject(error) : resolve(key)));
  });
}
