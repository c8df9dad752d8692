/**
 * Asks the enclaves behind a door whether they take connections.
 *
 * A check is a connect: the enclave's application is what answers it. With `everyone` all targets are asked at each
 * interval; otherwise only those that clients could not reach, until they answer, so that no client has to try.
 *
 * @module
 */
import type { Duplex } from "node:stream";
import { isTransportError } from "../../shared/errors/index.ts";
import type { Address } from "../../shared/transport/address.ts";
import type { Transport } from "../../shared/transport/transport.ts";
import type { Target, TargetSet } from "./targets.ts";

export interface CheckerOptions {
  readonly transport: Transport;
  readonly targets: TargetSet;
  readonly intervalMs: number;
  readonly timeoutMs: number;
  readonly everyone: boolean;
  /** What a check says before it leaves; an enclave that expects a PROXY header gets one. */
  readonly greeting?: Uint8Array | undefined;
  readonly onChange: (target: Target) => void;
}

/** Starts checking; the function that comes back ends it, checks under way too. */
export function startChecking(options: CheckerOptions): () => void {
  const { targets, intervalMs, everyone, onChange } = options;
  const underWay = new Set<Target>();
  const stopped = new AbortController();
  const check = async (target: Target): Promise<void> => {
    underWay.add(target);
    const answered = await answers(target.address, options, stopped.signal);
    underWay.delete(target);
    if (answered === undefined) return;
    if (!stopped.signal.aborted && targets.note(target, answered)) onChange(target);
  };
  const checkAll = (): void => {
    for (const target of targets.all) {
      if ((everyone || !target.healthy) && !underWay.has(target)) void check(target);
    }
  };
  const timer = setInterval(checkAll, intervalMs);
  if (everyone) checkAll();
  return () => {
    clearInterval(timer);
    stopped.abort();
  };
}

/** Undefined when nobody can tell. */
async function answers(address: Address, options: CheckerOptions, signal: AbortSignal): Promise<boolean | undefined> {
  const { transport, timeoutMs, greeting } = options;
  try {
    leave(await transport.connect(address, { timeoutMs, signal }), greeting, timeoutMs);
    return true;
  } catch (error) {
    // Any other reason does not matter: a client would not have got through either.
    return isOwnShortage(error) ? undefined : false;
  }
}

const SHORTAGES: ReadonlySet<string> = new Set(["EMFILE", "ENFILE", "ENOBUFS", "ENOMEM"]);

/** Whether a connect failed since this host has run out of something: that says nothing about the enclave. */
export function isOwnShortage(error: unknown): boolean {
  const reason = isTransportError(error) && "reason" in error.details ? error.details.reason : undefined;
  return reason !== undefined && SHORTAGES.has(reason);
}

/** Says the greeting, if there is one, and goes. */
function leave(socket: Duplex, greeting: Uint8Array | undefined, timeoutMs: number): void {
  if (!greeting) {
    socket.destroy();
    return;
  }
  const timer = setTimeout(() => socket.destroy(), timeoutMs);
  socket.once("close", () => clearTimeout(timer)).once("finish", () => socket.destroy());
  socket.end(greeting);
}
