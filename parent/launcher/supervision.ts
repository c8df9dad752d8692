/**
 * What a supervisor is told, and what it tells: options, states, events.
 *
 *   idle → starting → up → waiting → starting → …      while it is kept
 *                     failed | refused                 it gave up, and says why; `start` begins anew
 *                     stopped                          `stop`, or `release`, which leaves the enclave running
 *
 * @module
 */
import type { ExpectedImage } from "../../shared/eif/expected.ts";
import type { EifInspection } from "../../shared/eif/inspect.ts";
import type { EnclaveDescription, Launcher } from "../../shared/launcher.ts";
import type { Backoff } from "./backoff.ts";
import type { Clock } from "./clock.ts";
import type { SupervisedLaunch } from "./image.ts";
import type { EnclaveRecord } from "./record.ts";

export interface SupervisorOptions {
  readonly launcher: Launcher;
  readonly launch: SupervisedLaunch;
  /** Reads and measures the image file before each start, such as `inspectEifFile`. */
  readonly inspect: (eifPath: string) => Promise<EifInspection>;
  /** What the image must be; another one is not started. `"unchecked"` takes whatever lies there. */
  readonly expected: ExpectedImage | "unchecked";
  /**
   * Where the enclave's id is remembered, so that the next process adopts what still runs; held from `start` to the end
   * of `stop` or `release`. Default: nowhere.
   */
  readonly record?: EnclaveRecord;
  /**
   * Resolves when the enclave can be used; what it throws ends the enclave, and for good if trying again can not help
   * (`verdict.ts`). Default: it can as soon as it runs.
   */
  readonly ready?: (enclave: EnclaveDescription, signal: AbortSignal) => Promise<void>;
  /** How long `ready` may take, in milliseconds. Default 120 000. */
  readonly readyTimeoutMs?: number;
  /** How often the launcher is asked whether the enclave runs, in milliseconds. Default 1 000. */
  readonly pollMs?: number;
  readonly backoff?: Partial<Backoff>;
  /** It runs, not ready yet: let its context id in, for it may need the parent to come up. Awaited. */
  readonly onStarted?: (enclave: EnclaveDescription) => void | Promise<void>;
  /** It is ready: send it clients, at the context id and the peer that it has now. Awaited. */
  readonly onUp?: (enclave: EnclaveDescription) => void | Promise<void>;
  /** It is not to be used any more: once for each `onStarted`, before another one is started. Awaited. */
  readonly onDown?: (enclave: EnclaveDescription, reason: DownReason) => void | Promise<void>;
  readonly log: (event: SupervisorEvent) => void;
  readonly clock?: Clock;
  /** From 0 to below 1. Default `Math.random`: nothing secret depends on it. */
  readonly random?: () => number;
  /** For the validity of the image's signing certificate. Default: the system's time. */
  readonly now?: () => Date;
}

/** The code of what ended it, or that this side did. */
export type DownReason = "stopped" | "released" | (string & {});

export type SupervisorState =
  | { readonly kind: "idle" }
  | { readonly kind: "starting"; readonly failures: number; readonly enclave?: EnclaveDescription }
  | { readonly kind: "up"; readonly enclave: EnclaveDescription; readonly isAdopted: boolean }
  | { readonly kind: "waiting"; readonly failures: number; readonly delayMs: number; readonly error: Error }
  | { readonly kind: "failed"; readonly failures: number; readonly error: Error }
  | { readonly kind: "refused"; readonly error: Error }
  | { readonly kind: "stopped" };

/** Something that happened. Holds ids, codes, counts and times only. */
export interface SupervisorEvent {
  readonly event:
    | "started"
    | "adopted"
    | "up"
    | "down"
    | "waiting"
    | "refused"
    | "failed"
    | "stopped"
    /** The launcher could not be asked; the enclave is taken to run. */
    | "unwatched"
    /** Its id, or that there is none any more, could not be written down: the next process will not know. */
    | "unrecorded"
    /** A hook threw after the enclave was down. */
    | "hook-failed"
    /** It could not be terminated, and will be before another one starts. */
    | "not-terminated";
  readonly enclaveId?: string;
  readonly cid?: number;
  readonly code?: string;
  /** The code of what led to `code`, where something did. */
  readonly cause?: string;
  readonly failures?: number;
  readonly delayMs?: number;
  /** At `down`: how long it was up. */
  readonly upMs?: number;
}

export interface Supervisor extends AsyncDisposable {
  /**
   * Checks the image, then keeps an enclave running until `stop`. Resolves when the check is over: whether it comes up
   * is told by `onUp`, `state` and the log, never by a rejection.
   *
   * @throws {EifError | LauncherError | ConfigError} the image is refused, or another process keeps the record
   *   (`ERR_LAUNCHER_KEPT`); nothing was started
   * @throws {TypeError} it keeps one already
   */
  start(): Promise<void>;
  /** Terminates the enclave and waits until it is gone. @throws {LauncherError} it could not be terminated */
  stop(): Promise<void>;
  /** Ends without ending the enclave, which the next process adopts if there is a record. */
  release(): Promise<void>;
  /** Asks the launcher now: somebody saw a sign that the enclave is gone. */
  look(): void;
  state(): SupervisorState;
  /** How many enclaves were started since the beginning, those that were adopted not counted. */
  starts(): number;
}
