/**
 * Attestation documents for KMS: one for each recipient key, used again while it is young.
 *
 * KMS is told nothing by a document but who asks and where to encrypt to, so one may serve many calls. It is reused until
 * `maxAgeMs` after NSM was asked for it and never beyond, by a clock that only goes forward; and never for the attempt
 * after one that failed: that one has a newer document.
 *
 * `user_data` says `{"purpose":"kms","digest":SHA-384 of the public key}`: it is refused wherever another purpose is asked.
 *
 * @module
 */
import { createHash } from "node:crypto";
import { readMonotonic } from "../../shared/attestation/monotonic.ts";
import { encodeUserData } from "../../shared/attestation/user-data.ts";
import type { NsmDevice } from "../../shared/nsm/device.ts";
import type { RecipientKey } from "./recipient.ts";

/** The purpose that documents for KMS name. */
export const KMS_PURPOSE = "kms";

/** Below the five minutes that KMS is reported to accept, with room for a slow call. */
const MAX_AGE_LIMIT_MS = 240_000;

export interface DocumentOptions {
  /** How old a document may be when it is sent, in milliseconds, 0 to 240 000; default 60 000. 0: one for each attempt. */
  readonly maxAgeMs?: number;
}

export interface KmsDocument {
  readonly bytes: Uint8Array;
}

export interface Documents {
  /**
   * A document for this key, other than `unlike`.
   *
   * @throws {NsmError}
   */
  documentFor(key: RecipientKey, unlike?: KmsDocument): Promise<KmsDocument>;
}

interface Made {
  readonly document: Promise<KmsDocument>;
  readonly askedAtMs: number;
  /** Once NSM has answered. */
  settled?: KmsDocument;
}

export interface DocumentsOptions extends DocumentOptions {
  readonly nsm: Pick<NsmDevice, "attest">;
  readonly monotonicMs: () => number;
}

/** @throws {RangeError} an age beyond what KMS accepts */
export function createDocuments({ nsm, monotonicMs, maxAgeMs = 60_000 }: DocumentsOptions): Documents {
  if (!(maxAgeMs >= 0 && maxAgeMs <= MAX_AGE_LIMIT_MS)) {
    throw new RangeError(`documents.maxAgeMs is 0 to ${MAX_AGE_LIMIT_MS}, not ${maxAgeMs}`);
  }
  const latest = new WeakMap<RecipientKey, Made>();
  return {
    documentFor(key, unlike) {
      const now = readMonotonic(monotonicMs);
      const made = latest.get(key);
      const isOther = unlike === undefined || made?.settled !== unlike;
      if (made && isOther && now - made.askedAtMs < maxAgeMs) return made.document;
      const fresh: Made = { document: ask(nsm, key), askedAtMs: now };
      latest.set(key, fresh);
      fresh.document.then(
        (document) => {
          fresh.settled = document;
        },
        () => latest.get(key) === fresh && latest.delete(key), // whoever waits sees the failure
      );
      return fresh.document;
    },
  };
}

async function ask(nsm: Pick<NsmDevice, "attest">, { publicKey }: RecipientKey): Promise<KmsDocument> {
  const digest = createHash("sha384").update(publicKey).digest();
  return { bytes: await nsm.attest({ publicKey, userData: encodeUserData({ purpose: KMS_PURPOSE, digest }) }) };
}
