/**
 * The roots of the moment that attestation documents may start at, the verifier under them, and what it last found
 * authentic.
 *
 * @module
 */
import type { AttestedClaims, VerifyDocument } from "./kms/recipient.ts";

/** Parses a document and authenticates it under the given roots; rejects with `AttestationError`. */
export type AuthenticateDocument = (
  document: Uint8Array,
  roots: readonly Uint8Array[],
  now: Date,
) => Promise<AttestedClaims>;

export class Trust {
  #roots: readonly Uint8Array[] = [];
  #lastDocument: Uint8Array | undefined;
  readonly #authenticate: AuthenticateDocument;

  constructor(roots: readonly Uint8Array[], authenticate: AuthenticateDocument) {
    this.#authenticate = authenticate;
    this.replace(roots);
  }

  replace(roots: readonly Uint8Array[]): void {
    this.#roots = roots.map((root) => Uint8Array.from(root));
  }

  get roots(): readonly Uint8Array[] {
    return this.#roots;
  }

  readonly verify: VerifyDocument = async (document, now) => {
    const claims = await this.#authenticate(document, this.#roots, now);
    this.#lastDocument = Uint8Array.from(document);
    return claims;
  };

  lastDocument(): Uint8Array | undefined {
    return this.#lastDocument && Uint8Array.from(this.#lastDocument);
  }
}
