/**
 * Plays a busy, a broken or an evil KMS behind valid TLS: what a careful client must wait out or refuse.
 *
 *   latency           the call waits before it is served
 *   connection-cut    the call is served, and its answer ends after `afterBytes`
 *   throttle, internal-error, service-unavailable
 *   all others        spoil an answer that carries CiphertextForRecipient, and wait for one: `faults/`
 *
 * Faults are queued by operation and used up in order; one of each kind can meet in one call. Those that come before an
 * operation, as they do at AWS, ask nobody who calls: a caller whom the policies then deny uses one up as well. Those of
 * an answer wait for a call that is answered.
 *
 * @module
 */
import { setTimeout as sleep } from "node:timers/promises";
import { AwsFault } from "../fault.ts";
import { readServiceModel } from "../model/service-model.ts";
import { ANSWER_FAULTS } from "./faults/answer.ts";
import { throttled } from "./quotas.ts";

/** A fault of the message by its row in the table, `M04`, or by its name, `M04-two-recipients`. */
export type MessageFault = `M${number}` | `M${number}-${string}`;

export type FaultAnswer =
  /** ThrottlingException. */
  | "throttle"
  /** KMSInternalException, 500. */
  | "internal-error"
  /** ServiceUnavailable, 503. */
  | "service-unavailable"
  | "latency"
  | "connection-cut"
  /** Carries Plaintext beside CiphertextForRecipient. */
  | "plaintext"
  /** Names another key. */
  | "foreign-key-id"
  /** The message is for another RSA key, and says so. */
  | "cms-for-another-key"
  /** The message opens with the right key and names another. */
  | "cms-foreign-recipient-id"
  | MessageFault;

/** The name of an operation, or `*` for any. */
export type FaultOperation = string;

export interface Fault {
  readonly operation: FaultOperation;
  readonly answer: FaultAnswer;
  /** How many answers it spoils. */
  readonly times: number;
  /** With `latency`: 1 to 600 000. */
  readonly latencyMs?: number;
  /** With `connection-cut`: bytes of the HTTP answer that still go out; none if absent. */
  readonly afterBytes?: number;
}

const REFUSALS: Readonly<Record<string, () => AwsFault>> = {
  throttle: throttled,
  "internal-error": () => new AwsFault("KMSInternalException", "", 500),
  "service-unavailable": () => new AwsFault("ServiceUnavailable", "", 503),
};
const LATENCY_MAX_MS = 600_000;
const TIMES_MAX = 1_000_000;
/** A thousand wait at most: each call looks through them. */
const QUEUE_MAX = 1_000;
const { operations: OPERATIONS } = readServiceModel(import.meta.url);
const RECIPIENT_OPERATIONS = [
  "Decrypt",
  "DeriveSharedSecret",
  "GenerateDataKey",
  "GenerateDataKeyPair",
  "GenerateRandom",
];
const FIELDS: readonly string[] = ["operation", "answer", "times", "latencyMs", "afterBytes"];

/** Every name that a fault can be asked for by; the ids of rows are among them. */
export const FAULT_ANSWERS: readonly FaultAnswer[] = [
  ...Object.keys(REFUSALS),
  ...["latency", "connection-cut"],
  ...new Set(ANSWER_FAULTS.flatMap((name) => (/^M\d\d-/.test(name) ? [name.slice(0, 3), name] : [name]))),
] as FaultAnswer[]; // names are data, and each is of the form that the type says

/** What is known of a call when it comes, and where its answer can be cut. */
export interface PlayedCall {
  readonly operation: string;
  readonly connection: {
    /** Lets so many bytes of the HTTP answer out and closes the connection; where the host can. */
    readonly cutAfter?: (bytes: number) => void;
  };
}

interface Queued {
  readonly operation: string;
  /** Played in turn. */
  readonly names: readonly string[];
  readonly latencyMs: number;
  readonly afterBytes: number;
  readonly times: number;
  played: number;
}

type Due = Pick<Queued, "latencyMs" | "afterBytes"> & { readonly name: string };

export class FaultQueue implements Disposable {
  readonly #ended = new AbortController();
  /** Of the latencies that run. */
  #cleared = new AbortController();
  #queue: Queued[] = [];
  #earlier: Uint8Array | undefined;

  /** @throws {RangeError} there is no such operation or fault, or it never comes with that operation, or a number */
  inject(fault: Fault): void {
    const { operation, answer, times, latencyMs = 0, afterBytes } = fault;
    for (const name of Object.keys(fault)) demand(FIELDS.includes(name), `a fault has no ${name}`);
    const names = ANSWER_FAULTS.filter((name) => name === answer || name.startsWith(`${answer}-`));
    const isOfAnswers = names.length > 0;
    const offered = isOfAnswers ? RECIPIENT_OPERATIONS : Object.keys(OPERATIONS);
    demand(FAULT_ANSWERS.includes(answer), `no fault is called ${answer}`);
    const isOffered = operation === "*" || (offered.includes(operation) && names.every(hasPlaceIn(operation)));
    demand(isOffered, `${answer} never comes with ${operation}`);
    demand(isCount(times, 1) && times <= TIMES_MAX, `times must be 1 to ${TIMES_MAX}, got ${times}`);
    const isCut = answer === "connection-cut";
    const areBytesKnown = afterBytes === undefined || (isCut && isCount(afterBytes, 0));
    demand(areBytesKnown, `afterBytes goes with connection-cut and is 0 or more, got ${afterBytes}`);
    const isLatency = answer === "latency";
    const isLatencyKnown = isLatency ? isCount(latencyMs, 1) && latencyMs <= LATENCY_MAX_MS : latencyMs === 0;
    demand(isLatencyKnown, `latencyMs goes with latency and is 1 to ${LATENCY_MAX_MS}, got ${latencyMs}`);
    const played = { names: isOfAnswers ? names : [answer], played: 0 };
    demand(this.#queue.length < QUEUE_MAX, `${QUEUE_MAX} faults wait already`);
    this.#queue.push({ operation, times, latencyMs, afterBytes: afterBytes ?? 0, ...played });
  }

  /** Drops what is still due, and ends the latencies that run: their calls are served. */
  clear(): void {
    this.#queue = [];
    this.#cleared.abort();
    this.#cleared = new AbortController();
    this.#earlier = undefined;
  }

  /** Before a call is served. @throws {AwsFault} `ThrottlingException`, `KMSInternalException`, `ServiceUnavailable` */
  async play({ operation, connection }: PlayedCall): Promise<void> {
    const latency = this.#take(operation, (name) => name === "latency");
    if (latency) await this.#wait(latency.latencyMs);
    const cut = this.#take(operation, (name) => name === "connection-cut");
    if (cut) connection.cutAfter?.(cut.afterBytes);
    this.throttle(operation);
  }

  /** @throws {AwsFault} as `play`, without what needs a connection */
  throttle(operation: string): void {
    const refusal = this.#take(operation, (name) => Object.hasOwn(REFUSALS, name));
    if (refusal) throw REFUSALS[refusal.name]?.();
  }

  /** The fault to play on an answer for a recipient, if one is due. */
  forRecipient(operation: string): string | undefined {
    const isDue = (name: string): boolean =>
      ANSWER_FAULTS.includes(name) && hasPlaceIn(operation)(name) && (name !== "M28" || this.#earlier !== undefined);
    return this.#take(operation, isDue)?.name;
  }

  /** The message of an honest answer, for a replay. */
  get earlier(): Uint8Array | undefined {
    return this.#earlier;
  }

  remember(message: Uint8Array): void {
    this.#earlier = message;
  }

  /** Ends the calls that wait. */
  [Symbol.dispose](): void {
    this.#ended.abort();
  }

  #take(operation: string, isWanted: (name: string) => boolean): Due | undefined {
    for (const fault of this.#queue) {
      const name = fault.names[fault.played % fault.names.length];
      if (name === undefined || !isWanted(name) || !["*", operation].includes(fault.operation)) continue;
      fault.played++;
      if (fault.played === fault.times) this.#queue = this.#queue.filter((queued) => queued !== fault);
      return { ...fault, name };
    }
    return undefined;
  }

  async #wait(latencyMs: number): Promise<void> {
    const { signal } = this.#ended;
    await sleep(latencyMs, undefined, { signal: AbortSignal.any([signal, this.#cleared.signal]) }).catch(
      () => undefined,
    );
    if (signal.aborted) throw REFUSALS["service-unavailable"]?.(); // nobody waits for the answer
  }
}

/** GenerateRandom's answer names no key. */
function hasPlaceIn(operation: string): (name: string) => boolean {
  return (name) => name !== "foreign-key-id" || operation !== "GenerateRandom";
}

function isCount(value: number, least: number): boolean {
  return Number.isSafeInteger(value) && value >= least;
}

function demand(holds: boolean, message: string): void {
  if (!holds) throw new RangeError(message);
}
