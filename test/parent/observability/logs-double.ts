/**
 * A double of CloudWatch Logs: no AWS, an HTTP server on loopback that speaks awsJson1_1 for three operations and
 * enforces the limits that the API reference states for PutLogEvents. Faults are queued by name.
 */
import { once } from "node:events";
import { createServer, type IncomingMessage } from "node:http";
import type { AddressInfo } from "node:net";

interface LogEvent {
  readonly timestamp: number;
  readonly message: string;
}

export interface LogsDouble extends AsyncDisposable {
  readonly endpoint: string;
  readonly calls: string[];
  /** The batches that were taken, by `group/stream`. */
  readonly batches: Map<string, LogEvent[][]>;
  /** Names of the faults that the next calls of PutLogEvents get; `cut` is a connection that ends. */
  readonly faults: string[];
  rejected: object | undefined;
}

const BATCH_BYTES_MAX = 1_048_576;
const DAY_MS = 24 * 3_600_000;

function violation(events: readonly LogEvent[]): string | undefined {
  if (events.length < 1 || events.length > 10_000) return "1 to 10 000 events";
  const sizes = events.map(({ message }) => Buffer.byteLength(message) + 26);
  if (sizes.reduce((sum, size) => sum + size, 0) > BATCH_BYTES_MAX) return "1 048 576 bytes";
  if (sizes.some((size) => size > 262_144)) return "256 KiB an event";
  const times = events.map(({ timestamp }) => timestamp);
  if (times.some((time, i) => time < (times[i - 1] ?? 0))) return "chronological order";
  return Math.max(...times) - Math.min(...times) > DAY_MS ? "24 hours" : undefined;
}

async function bodyOf(incoming: IncomingMessage): Promise<Record<string, unknown>> {
  const chunks: Buffer[] = [];
  for await (const chunk of incoming) chunks.push(chunk as Buffer);
  return JSON.parse(Buffer.concat(chunks).toString()) as Record<string, unknown>;
}

export async function startLogsDouble(): Promise<LogsDouble> {
  const groups = new Set<string>();
  const batches: LogsDouble["batches"] = new Map();
  const calls: string[] = [];
  const faults: string[] = [];
  const put = (key: string, events: LogEvent[]): object | string => {
    const fault = faults.shift();
    if (fault !== undefined) return fault;
    const taken = batches.get(key);
    if (!taken) return "ResourceNotFoundException";
    if (violation(events) !== undefined) return "InvalidParameterException";
    taken.push(events);
    return double.rejected === undefined ? {} : { rejectedLogEventsInfo: double.rejected };
  };
  const answer = (operation: string, input: Record<string, unknown>): object | string => {
    const group = String(input["logGroupName"]);
    const key = `${group}/${String(input["logStreamName"])}`;
    if (operation === "PutLogEvents") return put(key, input["logEvents"] as LogEvent[]);
    if (operation === "CreateLogGroup") {
      if (groups.has(group)) return "ResourceAlreadyExistsException";
      groups.add(group);
      return {};
    }
    if (operation !== "CreateLogStream") return "UnknownOperationException";
    if (!groups.has(group)) return "ResourceNotFoundException";
    if (batches.has(key)) return "ResourceAlreadyExistsException";
    batches.set(key, []);
    return {};
  };
  const server = createServer(async (incoming, outgoing) => {
    const operation = String(incoming.headers["x-amz-target"]).replace("Logs_20140328.", "");
    const result = answer(operation, await bodyOf(incoming));
    calls.push(operation);
    if (result === "cut") {
      incoming.socket.destroy();
      return;
    }
    outgoing.writeHead(typeof result === "string" ? 400 : 200, { "Content-Type": "application/x-amz-json-1.1" });
    outgoing.end(JSON.stringify(typeof result === "string" ? { __type: result, message: "" } : result));
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const double: LogsDouble = {
    endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    calls,
    batches,
    faults,
    rejected: undefined,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      server.close();
      await once(server, "close");
    },
  };
  return double;
}
