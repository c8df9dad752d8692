/**
 * What the attacks start from.
 *
 * @module
 */
import type { EnclavePolicy } from "../../client/result.ts";
import type { SignedResultJson } from "../../shared/result/signed-result.ts";
import type { Story } from "./story.ts";
import type { RunningEnclave, World } from "./world.ts";

/** Everything that was just accepted. */
export interface Scene {
  readonly world: World;
  readonly story: Story;
  readonly policy: EnclavePolicy;
  /** The carrier's sealed data, its key, and the genuine enclave and image. */
  readonly sealed: Uint8Array;
  readonly keyArn: string;
  readonly enclave: RunningEnclave;
  readonly eifPath: string;
  /** An answer that was verified, with the challenge it answered. */
  readonly answer: SignedResultJson;
  readonly question: string;
  readonly nonce: Uint8Array;
}

export const TEN_MINUTES_MS = 600_000;
