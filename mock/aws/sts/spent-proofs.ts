/**
 * Which proofs have been used that count once: MFA codes, and assertions that say so of themselves.
 *
 * Each is kept for as long as it could be shown again. Where there is no room for one more it is refused, not forgotten.
 *
 * @module
 */
import { AwsFault } from "../fault.ts";

const DEFAULT_MAX = 10_000;

export class SpentProofs {
  /** Proof → when it runs out, in milliseconds since 1970. */
  readonly #until = new Map<string, number>();
  readonly #max: number;

  constructor(max: number = DEFAULT_MAX) {
    this.#max = max;
  }

  /** Whether it is the proof's first use. @throws {AwsFault} `ThrottlingException`: no room, and none has run out */
  spend(proof: string, { untilMs, nowMs }: { readonly untilMs: number; readonly nowMs: number }): boolean {
    const known = this.#until.get(proof);
    if (known !== undefined && known > nowMs) return false;
    if (this.#until.size >= this.#max) this.#dropEnded(nowMs);
    if (this.#until.size >= this.#max) throw new AwsFault("ThrottlingException", "Rate exceeded");
    this.#until.set(proof, untilMs);
    return true;
  }

  clear(): void {
    this.#until.clear();
  }

  #dropEnded(nowMs: number): void {
    for (const [proof, untilMs] of this.#until) if (untilMs <= nowMs) this.#until.delete(proof);
  }
}
