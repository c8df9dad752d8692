/**
 * Reaches an allowed target: resolve the name → classify every address → connect to one of those very addresses.
 *
 * The name is resolved once for each connection and never again by a lower layer, so what was checked is what is
 * dialled. Addresses that the target may not have are dropped; when none is left, the connection fails.
 *
 * @module
 */
import { lookup } from "node:dns/promises";
import type { Duplex } from "node:stream";
import { TransportError } from "../shared/errors/index.ts";
import type { Transport } from "../shared/transport/transport.ts";
import { createTcpTransport } from "../transport/tcp.ts";
import { classifyAddress } from "./address-class.ts";
import type { AllowedTarget } from "./allowlist.ts";
import { codeOf } from "./observe.ts";

/** The addresses of a name, as text. */
export type Resolve = (host: string) => Promise<readonly string[]>;

/** How many of a name's addresses are looked at: more is not a service. */
const ADDRESSES_MAX = 32;

export interface DialOptions {
  readonly resolve?: Resolve | undefined;
  /** For resolving and connecting together, in milliseconds. */
  readonly timeoutMs: number;
}

export const resolveBySystem: Resolve = async (host) => {
  const found = await lookup(host, { all: true, verbatim: true });
  return found.map(({ address }) => address);
};

// The one place that leaves the host: which addresses are acceptable is decided here, address by address.
const tcp: Transport = createTcpTransport({ dangerouslyAllowNonLoopback: true });

/**
 * @throws {TransportError} `ERR_TRANSPORT_UNREACHABLE`; its `reason` is `ETIMEDOUT` when time ran out
 */
export async function dial(target: AllowedTarget, options: DialOptions): Promise<Duplex> {
  const { resolve = resolveBySystem, timeoutMs } = options;
  const name = `${target.host}:${target.port}`;
  const late = unreachable(name, "ETIMEDOUT");
  const deadline = new AbortController();
  const timer = setTimeout(() => deadline.abort(late), timeoutMs);
  try {
    if (target.fixed) return await connect(target.fixed.address, target.fixed.port, deadline.signal);
    const addresses = await permitted(target, resolve, deadline.signal);
    let failure = unreachable(name, "ADDRESS_NOT_PERMITTED");
    for (const address of addresses) {
      try {
        return await connect(address, target.port, deadline.signal);
      } catch (cause) {
        if (deadline.signal.aborted) throw late;
        failure = unreachable(name, reasonOf(cause), cause);
      }
    }
    throw failure;
  } finally {
    clearTimeout(timer);
  }
}

function unreachable(address: string, reason: string, cause?: unknown): TransportError {
  return new TransportError("ERR_TRANSPORT_UNREACHABLE", { address, reason }, { cause });
}

function reasonOf(error: unknown): string {
  const inner = error instanceof TransportError && "reason" in error.details ? error.details.reason : undefined;
  return inner ?? codeOf(error);
}

function connect(address: string, port: number, signal: AbortSignal): Promise<Duplex> {
  return tcp.connect({ kind: "tcp", host: address, port }, { signal });
}

async function permitted(target: AllowedTarget, resolve: Resolve, signal: AbortSignal): Promise<readonly string[]> {
  let found: readonly string[];
  try {
    found = await Promise.race([resolve(target.host), rejection(signal)]);
  } catch (cause) {
    if (signal.aborted) throw cause;
    throw unreachable(`${target.host}:${target.port}`, codeOf(cause), cause);
  }
  return found.slice(0, ADDRESSES_MAX).filter((address) => {
    const class_ = classifyAddress(address);
    return class_ === "public" || (class_ === "private" && target.allowPrivate);
  });
}

function rejection(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason), { once: true }));
}
