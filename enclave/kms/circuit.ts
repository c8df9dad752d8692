/**
 * Decides whether KMS is worth asking: after so many attempts in a row that reached nobody, calls are refused at once for
 * a while, and then one may find out.
 *
 *   closed      attempts pass; an answer, also a refusal, sets the count to 0
 *   open        `failures` attempts in a row failed: refused for `restMs`
 *   half open   one attempt passes: an answer closes, a failure opens again
 *
 * Being throttled is an answer.
 *
 * @module
 */
import { KmsError } from "../../shared/errors/index.ts";

export interface CircuitOptions {
  /** Attempts in a row that reached nobody, 1 or more; default 10. */
  readonly failures?: number;
  /** For how long calls are then refused, in milliseconds; default 5 000. */
  readonly restMs?: number;
}

/** `neither`: the attempt was given up on our side. */
export type AttemptEnd = "answered" | "failed" | "neither";

export class Circuit {
  readonly #failuresMax: number;
  readonly #restMs: number;
  readonly #monotonicMs: () => number;
  #failures = 0;
  #openUntilMs = Number.NEGATIVE_INFINITY;
  #isProbing = false;

  /** @throws {RangeError} an option */
  constructor({ failures = 10, restMs = 5_000 }: CircuitOptions, monotonicMs: () => number) {
    if (!Number.isInteger(failures) || failures < 1) {
      throw new RangeError(`circuit.failures is 1 or more, not ${failures}`);
    }
    if (!Number.isFinite(restMs) || restMs <= 0) throw new RangeError(`circuit.restMs is above 0, not ${restMs}`);
    this.#failuresMax = failures;
    this.#restMs = restMs;
    this.#monotonicMs = monotonicMs;
  }

  /** Says how the attempt that passes has ended. @throws {KmsError} `ERR_KMS_CIRCUIT_OPEN` */
  enter(operation: string): (end: AttemptEnd) => void {
    if (this.#failures < this.#failuresMax) return (end) => this.#learn(end);
    const retryInMs = Math.ceil(this.#openUntilMs - this.#monotonicMs());
    if (retryInMs > 0 || this.#isProbing) {
      throw new KmsError("ERR_KMS_CIRCUIT_OPEN", { operation, retryInMs: Math.max(0, retryInMs) });
    }
    this.#isProbing = true;
    return (end) => {
      this.#isProbing = false;
      this.#learn(end);
    };
  }

  #learn(end: AttemptEnd): void {
    if (end === "neither") return;
    this.#failures = end === "answered" ? 0 : this.#failures + 1;
    if (this.#failures >= this.#failuresMax) this.#openUntilMs = this.#monotonicMs() + this.#restMs;
  }
}
