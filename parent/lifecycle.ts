/**
 * The parent's life as a process of the system: told to reload, told to stop, watched while it runs.
 *
 *   SIGHUP            read the configuration again; a bad one changes nothing and is reported
 *   SIGTERM, SIGINT   stop accepting, let connections end until the deadline, then end them; exit code 0
 *   the second one    end them now
 *   the third one     end the process, whatever still closes
 *   sd_notify         READY=1 when it serves, RELOADING=1, STOPPING=1, and WATCHDOG=1 while its own word is that it lives
 *
 * Signals, clocks and the way to systemd are values handed in. No deadline here is computed from the time of day: a
 * clock that is set does not end or prolong anything.
 *
 * Source: systemd.exec(5), sd_notify(3); systemd.service(5) for `Type=notify-reload`.
 *
 * @module
 */
import { isToolkitError } from "../shared/errors/index.ts";
import { codeOf } from "./observability/observe.ts";
import type { Notify } from "./systemd/notify.ts";

/** Something that happened to the process. Holds codes, places and counts only. */
export interface LifecycleEvent {
  readonly event: "ready" | "reloaded" | "reload-refused" | "stopping" | "stopped" | "stopping-now" | "left";
  readonly signal?: string;
  readonly code?: string;
  /** What was wrong with the new configuration, and where. */
  readonly reason?: string;
  /** At `stopped`: how many connections did not end by themselves. */
  readonly forced?: number;
}

export interface LifecycleOptions {
  /** Where signals come from: `process`. */
  readonly signals: SignalSource;
  /** Reads the configuration again and puts it in force, whole or not at all. */
  readonly reload: () => Promise<void>;
  /** Stops accepting and waits for the connections that are open; ends them at the deadline. */
  readonly drain: (deadlineMs: number) => Promise<{ readonly forced: number }>;
  /** Ends everything that is left. */
  readonly close: () => Promise<void>;
  /** How long draining may take, asked when it begins. */
  readonly drainMs: () => number;
  /** Whether the process still does its work; while not, the watchdog is not told. */
  readonly isLive: () => boolean;
  readonly notify: Notify;
  readonly log: (event: LifecycleEvent) => void;
}

export interface SignalSource {
  on(signal: LifecycleSignal, listener: (signal: LifecycleSignal) => void): unknown;
  off(signal: LifecycleSignal, listener: (signal: LifecycleSignal) => void): unknown;
}

export type LifecycleSignal = "SIGTERM" | "SIGINT" | "SIGHUP";

/**
 * Resolves when the parent has been told to stop and everything is over. What closes last may be an enclave, which takes
 * as long as its launcher allows; `left` when a third signal came first, and the process is to end with that.
 *
 * @throws what `close` threw: something is left
 */
export async function liveUntilStopped(options: LifecycleOptions): Promise<"stopped" | "left"> {
  const { signals, notify, log, drain, drainMs, isLive } = options;
  const reloads = new Reloads(options);
  const stop = stopSignals(signals);
  const onHangup = (): void => reloads.ask();
  signals.on("SIGHUP", onHangup);
  const watchdog = notify.watchdogMs === undefined ? undefined : setInterval(beat, notify.watchdogMs / 2);
  function beat(): void {
    if (isLive()) notify.send("WATCHDOG=1");
  }
  try {
    notify.send("READY=1");
    log({ event: "ready" });
    const first = await stop.first;
    notify.send("STOPPING=1");
    log({ event: "stopping", signal: first });
    const hurry = new AbortController();
    const hurried = stop.second.then(() => hurry.abort());
    // What is being read when the process is told to stop is put in force first, or not at all.
    const drainLast = reloads.end().then(() => (hurry.signal.aborted ? undefined : drain(drainMs())));
    drainLast.catch(() => {});
    const drained = (await Promise.race([drainLast, hurried])) ?? undefined;
    if (drained === undefined) log({ event: "stopping-now" });
    const closed = options.close().then(() => "closed" as const);
    closed.catch(() => {});
    const end = (await Promise.race([closed, stop.third])) === "closed" ? "stopped" : "left";
    log({ event: end, ...(drained && { forced: drained.forced }) });
    return end;
  } finally {
    clearInterval(watchdog);
    signals.off("SIGHUP", onHangup);
    stop.release();
    await notify.flush();
  }
}

interface StopSignals {
  readonly first: Promise<LifecycleSignal>;
  readonly second: Promise<LifecycleSignal>;
  readonly third: Promise<LifecycleSignal>;
  release(): void;
}

function stopSignals(signals: SignalSource): StopSignals {
  const waiting: ((signal: LifecycleSignal) => void)[] = [];
  const next = (): Promise<LifecycleSignal> => new Promise((resolve) => waiting.push(resolve));
  const [first, second, third] = [next(), next(), next()];
  const onSignal = (signal: LifecycleSignal): void => waiting.shift()?.(signal);
  for (const name of ["SIGTERM", "SIGINT"] as const) signals.on(name, onSignal);
  const release = (): void => {
    for (const name of ["SIGTERM", "SIGINT"] as const) signals.off(name, onSignal);
  };
  return { first, second, third, release };
}

/** One reload at a time; what was asked for meanwhile is one more. */
class Reloads {
  readonly #options: LifecycleOptions;
  #running: Promise<void> | undefined;
  #isAsked = false;
  #hasEnded = false;

  constructor(options: LifecycleOptions) {
    this.#options = options;
  }

  ask(): void {
    this.#isAsked = true;
    this.#running ??= this.#run().finally(() => {
      this.#running = undefined;
    });
  }

  async end(): Promise<void> {
    this.#hasEnded = true;
    await this.#running;
  }

  async #run(): Promise<void> {
    const { notify, reload, log } = this.#options;
    while (this.#isAsked && !this.#hasEnded) {
      this.#isAsked = false;
      notify.send(`RELOADING=1\nMONOTONIC_USEC=${notify.monotonicUs()}`);
      try {
        await reload();
        log({ event: "reloaded" });
      } catch (error) {
        const reason = isToolkitError(error) ? error.message : "internal error";
        log({ event: "reload-refused", code: codeOf(error), reason });
      }
      notify.send("READY=1");
    }
  }
}
