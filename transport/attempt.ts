/**
 * How an attempt to connect ends: by success, failure, deadline or signal, whichever comes first and only once.
 *
 * Every driver's `connect` goes through here, so a timeout means the same with each. What is given up is abandoned: the
 * driver releases what it holds.
 *
 * @module
 */
import { TransportError } from "../shared/errors/index.ts";
import { type Address, formatAddress } from "../shared/transport/address.ts";
import type { ConnectOptions } from "../shared/transport/transport.ts";

const CONNECT_TIMEOUT_MS = 10_000;

/** The two ways in which a driver ends its own attempt; only the first call counts. */
export interface Outcome<Value> {
  readonly succeed: (value: Value) => void;
  readonly fail: (error: unknown) => void;
}

/**
 * Runs one attempt. `start` gives the function that abandons it, called after a failure and never after success; it ends
 * the attempt in a later turn.
 * A signal that aborts rejects with the signal's reason.
 *
 * @throws {TransportError} `ERR_TRANSPORT_TIMEOUT`, or what the driver failed with
 * @throws {RangeError} `timeoutMs` is not a number of milliseconds that a timer can hold
 */
export async function attemptConnection<Value>(
  { address, signal, timeoutMs = CONNECT_TIMEOUT_MS }: ConnectOptions & { readonly address: Address },
  start: (outcome: Outcome<Value>) => () => void,
): Promise<Value> {
  if (!(timeoutMs > 0 && timeoutMs <= 0x7fff_ffff)) throw new RangeError(`timeoutMs must be 1 to 2^31-1: ${timeoutMs}`);
  signal?.throwIfAborted();
  return new Promise<Value>((resolve, reject) => {
    let abandon: (() => void) | undefined;
    let settled = false;
    const settle = (outcome: () => void): void => {
      if (settled) return;
      settled = true;
      clearTimeout(timer);
      signal?.removeEventListener("abort", onAbort);
      outcome();
    };
    const fail = (error: unknown): void =>
      settle(() => {
        abandon?.();
        reject(error);
      });
    const onAbort = (): void => fail(signal?.reason);
    const onTimeout = (): void =>
      fail(new TransportError("ERR_TRANSPORT_TIMEOUT", { address: formatAddress(address), timeoutMs }));
    const timer = setTimeout(onTimeout, timeoutMs);
    signal?.addEventListener("abort", onAbort, { once: true });
    try {
      abandon = start({ succeed: (value) => settle(() => resolve(value)), fail });
    } catch (error) {
      fail(error);
    }
  });
}

/** The system's name for what went wrong, such as `ECONNREFUSED`. */
function reasonOf(error: unknown): string {
  return error instanceof Error && "code" in error && typeof error.code === "string" ? error.code : "unknown";
}

/** The refusal that a system's error stands for. */
export function unreachable(address: Address, cause: unknown): TransportError {
  const details = { address: formatAddress(address), reason: reasonOf(cause) };
  return new TransportError("ERR_TRANSPORT_UNREACHABLE", details, { cause });
}

/** An error as the system would give it, where a driver finds the fact by other means. */
export function systemError(code: string, call: string): Error {
  return Object.assign(new Error(`${call} ${code}`), { code, syscall: call });
}
