/**
 * Reaches an allowed target: resolve the name → classify every address → connect to one of those very addresses.
 *
 * The name is resolved once for each connection and never again by a lower layer, so what was checked is what is
 * dialled. Addresses that the target may not have are dropped; when none is left, the connection fails.
 *
 * @module
 */
import type { Duplex } from "node:stream";
import { TransportError } from "../../shared/errors/index.ts";
import { isIpv4Literal } from "../../shared/transport/target.ts";
import type { Transport } from "../../shared/transport/transport.ts";
import { createTcpTransport } from "../../transport/tcp.ts";
import { codeOf } from "../observability/observe.ts";
import { classifyAddress } from "./address-class.ts";
import type { AllowedTarget } from "./allowlist.ts";
import { type ConnectTo, connectFirst } from "./happy-eyeballs.ts";
import type { Resolve } from "./resolver.ts";

/** How many of a name's addresses are looked at: more is not a service. */
const ADDRESSES_MAX = 32;

/** What was asked of the network so far. */
export interface DialCounts {
  resolutions: number;
  resolutionFailures: number;
  connectFailures: number;
}

export interface DialOptions {
  readonly resolve: Resolve;
  /** For resolving and connecting together, in milliseconds. */
  readonly timeoutMs: number;
  /** Gives up, such as when nobody waits for the connection any more. */
  readonly signal?: AbortSignal | undefined;
  readonly counts: DialCounts;
  /** Default: TCP. */
  readonly connect?: ((address: string, port: number, signal: AbortSignal) => Promise<Duplex>) | undefined;
}

// The one place that leaves the host: which addresses are acceptable is decided here, address by address.
const tcp: Transport = createTcpTransport({ dangerouslyAllowNonLoopback: true });

/**
 * @throws {TransportError} `ERR_TRANSPORT_UNREACHABLE`; its `reason` is `ETIMEDOUT` when time ran out
 */
export async function dial(target: AllowedTarget, options: DialOptions): Promise<Duplex> {
  const { resolve, timeoutMs, signal, counts, connect = connectTcp } = options;
  const name = `${target.host}:${target.port}`;
  const end = new AbortController();
  const timer = setTimeout(() => end.abort(unreachable(name, "ETIMEDOUT")), timeoutMs);
  const onAbort = (): void => end.abort(unreachable(name, "ECONNABORTED"));
  signal?.addEventListener("abort", onAbort, { once: true });
  try {
    if (signal?.aborted) onAbort();
    const addresses = target.fixed ? [target.fixed.address] : await permitted(target, resolve, end.signal, counts);
    if (addresses.length === 0) throw unreachable(name, "ADDRESS_NOT_PERMITTED");
    const port = target.fixed?.port ?? target.port;
    const connectTo: ConnectTo = (address, given) => connect(address, port, given);
    return await connectFirst(addresses, connectTo, end.signal).catch((cause: unknown) => {
      counts.connectFailures++;
      throw end.signal.aborted ? end.signal.reason : unreachable(name, reasonOf(cause), cause);
    });
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener("abort", onAbort);
  }
}

function unreachable(address: string, reason: string, cause?: unknown): TransportError {
  return new TransportError("ERR_TRANSPORT_UNREACHABLE", { address, reason }, { cause });
}

function reasonOf(error: unknown): string {
  const inner = error instanceof TransportError && "reason" in error.details ? error.details.reason : undefined;
  return inner ?? codeOf(error);
}

function connectTcp(address: string, port: number, signal: AbortSignal): Promise<Duplex> {
  return tcp.connect({ kind: "tcp", host: address, port }, { signal });
}

async function permitted(
  target: AllowedTarget,
  resolve: Resolve,
  signal: AbortSignal,
  counts: DialCounts,
): Promise<readonly string[]> {
  // An address that is listed as it is written: no name server knows it, and none is to have a say in it.
  if (isIpv4Literal(target.host)) return acceptable([target.host], target);
  counts.resolutions++;
  let found: readonly string[];
  try {
    found = await untilAborted(async () => resolve(target.host), signal);
  } catch (cause) {
    counts.resolutionFailures++;
    throw signal.aborted ? signal.reason : unreachable(`${target.host}:${target.port}`, codeOf(cause), cause);
  }
  return acceptable(found.slice(0, ADDRESSES_MAX), target);
}

function acceptable(addresses: readonly string[], { allowPrivate }: AllowedTarget): readonly string[] {
  return addresses.filter((address) => {
    const class_ = classifyAddress(address);
    return class_ === "public" || (class_ === "private" && allowPrivate);
  });
}

/** What the work gives, or the signal's reason, whichever is first. */
function untilAborted<Value>(work: () => Promise<Value>, signal: AbortSignal): Promise<Value> {
  return new Promise((resolve, reject) => {
    if (signal.aborted) return reject(signal.reason);
    const onAbort = (): void => reject(signal.reason);
    signal.addEventListener("abort", onAbort, { once: true });
    work()
      .then(resolve, reject)
      .finally(() => signal.removeEventListener("abort", onAbort));
  });
}
