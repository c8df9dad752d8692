/**
 * Takes the enclaves' log events and gives them to the operator's sink, as data that cannot do harm.
 *
 *   rate     so many by sender and in all                 log-gate.ts
 *   shape    a level, a name, flat fields; cut, escaped   log-record.ts
 *   sink     a log destination, or what the operator does with a record
 *
 * Whatever a sender sends ends its own connection at worst.
 *
 * @module
 */
import type { Address } from "../../shared/transport/address.ts";
import { serveChannel } from "../../shared/transport/serve-channel.ts";
import type { Transport } from "../../shared/transport/transport.ts";
import type { Connection, Outcome } from "../listening/connection.ts";
import { type CidListeningService, listenService } from "../listening/service.ts";
import { type LogCounts, LogGate, type LogLimits, type LogSink } from "./log-gate.ts";
import type { ParentLog, Tap } from "./observe.ts";

export interface LogSinkOptions {
  readonly transport: Transport;
  readonly address: Address;
  /** Over vsock, the only peers that are served, by context id. */
  readonly allowedCids?: readonly number[] | undefined;
  readonly sink: LogSink;
  readonly log: ParentLog;
  readonly tap?: Tap | undefined;
  /** How many connections at once. Default 64. */
  readonly maxConnections?: number | undefined;
  /** How many of them may be of one context id. Default 16. */
  readonly maxConnectionsPerCid?: number | undefined;
  readonly limits?: LogLimits | undefined;
  /** A clock that only goes forward, in milliseconds. Default `performance.now`. */
  readonly monotonicMs?: (() => number) | undefined;
}

/** The log service once it runs. */
export interface LogService extends CidListeningService {
  /** How many records it took and dropped. */
  records(): LogCounts;
}

const FRAME_BYTES_MAX = 65_536;

/** @throws {TransportError} the address can not be bound */
export async function startLogSink(options: LogSinkOptions): Promise<LogService> {
  const { transport, address, allowedCids, sink, log, tap, limits } = options;
  const { maxConnections = 64, maxConnectionsPerCid = 16, monotonicMs = () => performance.now() } = options;
  const gate = new LogGate(sink, { now: monotonicMs, ...(limits && { limits }) });

  async function serve({ id, socket, cid, traffic }: Connection): Promise<Outcome> {
    const sender = gate.sender(cid);
    const channel = serveChannel(
      socket,
      { events: { log: (body) => gate.take(sender, body) } },
      {
        maxFrameBytes: FRAME_BYTES_MAX,
        tap: (direction, bytes) => {
          const received = direction === "received";
          traffic[received ? "bytesFromEnclave" : "bytesToEnclave"] += bytes.length;
          tap?.(id, received ? "from-enclave" : "to-enclave", bytes);
        },
      },
    );
    const fault = await channel.closed;
    gate.tell(sender);
    if (fault) throw fault;
    return "served";
  }

  const service = await listenService({
    service: "log",
    transport,
    address,
    allowedCids,
    log,
    maxConnections,
    maxConnectionsPerCid: Math.min(maxConnections, maxConnectionsPerCid),
    monotonicMs,
    serve,
  });
  return Object.assign(service, { records: () => gate.counts() });
}
