/**
 * Keeps derived signing keys for the day they are good for: four HMACs fewer on each request.
 *
 * Bounded: at the limit the oldest goes. A key is found by the secret it came from, so a changed secret finds none.
 *
 * @module
 */
import { type CredentialScope, scopeText, signingKey } from "./canonical.ts";

const MAX_KEYS = 1_000;

export class SigningKeys {
  readonly #keys = new Map<string, Uint8Array>();

  /** As `signingKey`, remembered. */
  readonly keyFor = (secretAccessKey: string, scope: CredentialScope): Uint8Array => {
    const name = `${scopeText(scope)}\n${secretAccessKey}`;
    const known = this.#keys.get(name);
    if (known) return known;
    const key = signingKey(secretAccessKey, scope);
    const oldest = this.#keys.size < MAX_KEYS ? undefined : this.#keys.keys().next().value;
    if (oldest !== undefined) this.#keys.delete(oldest);
    this.#keys.set(name, key);
    return key;
  };
}
