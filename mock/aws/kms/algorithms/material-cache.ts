/**
 * Keeps what was parsed out of key material, so that a request pays for the cryptography only.
 *
 * Reading a PKCS#8 key costs OpenSSL 0.5 ms, ten times a P-256 signature. Entries are found by a digest of the material,
 * never by a copy of it, and the one used longest ago makes room.
 *
 * @module
 */
import { createHash } from "node:crypto";

/** About 10 MB of OpenSSL keys. */
const MAX_ENTRIES = 1000;

export class MaterialCache<Parsed> {
  readonly #entries = new Map<string, Parsed>();
  readonly #parse: (material: Uint8Array) => Parsed;
  readonly #max: number;

  constructor(parse: (material: Uint8Array) => Parsed, max: number = MAX_ENTRIES) {
    this.#parse = parse;
    this.#max = max;
  }

  get size(): number {
    return this.#entries.size;
  }

  /** What `parse` makes of the material; its errors are passed on and not kept. */
  get(material: Uint8Array): Parsed {
    const digest = createHash("sha256").update(material).digest("base64");
    const known = this.#entries.get(digest);
    const parsed = known ?? this.#parse(material);
    this.#entries.delete(digest);
    this.#entries.set(digest, parsed);
    if (this.#entries.size > this.#max) {
      for (const oldest of this.#entries.keys()) {
        this.#entries.delete(oldest);
        break;
      }
    }
    return parsed;
  }
}
