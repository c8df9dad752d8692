/**
 * Log lines to Amazon CloudWatch Logs, in batches that PutLogEvents takes.
 *
 *   batch    at most 10 000 events and 1 048 576 bytes, each event counted with 26 more; times that do not go back
 *            and lie within 24 hours
 *   event    at most 256 KiB with those 26 bytes: the limit is 1 MB in most regions by now, and this one in the others
 *   missing  a group or stream that is not there is made, once it is missed
 *   faults   throttling, a network that is down, credentials that ran out: later. A batch that is invalid: dropped
 *
 * The client is the operator's (`new CloudWatchLogs({})` of `@aws-sdk/client-cloudwatch-logs`), with its own region,
 * credentials and retries. It needs `logs:PutLogEvents`, and to make what is missing `logs:CreateLogStream` and
 * `logs:CreateLogGroup`. How long a group keeps its events, and under which key, is set at the group.
 *
 * Source: CloudWatch Logs API reference, PutLogEvents, CreateLogGroup, CreateLogStream, RejectedLogEventsInfo.
 *
 * @module
 */
import { ConfigError } from "../../shared/errors/index.ts";
import { type DeliveryOptions, deliverTo, type LogDestination, type Place, Undeliverable } from "./delivery.ts";
import type { Line } from "./line-queue.ts";

interface SendOptions {
  readonly abortSignal?: AbortSignal;
}

/** What is used of the SDK's client `CloudWatchLogs`. */
export interface CloudWatchLogsClient {
  putLogEvents(
    input: {
      logGroupName: string;
      logStreamName: string;
      logEvents: { timestamp: number; message: string }[];
    },
    options?: SendOptions,
  ): Promise<{
    readonly rejectedLogEventsInfo?:
      | {
          readonly tooNewLogEventStartIndex?: number | undefined;
          readonly tooOldLogEventEndIndex?: number | undefined;
          readonly expiredLogEventEndIndex?: number | undefined;
        }
      | undefined;
  }>;
  createLogGroup(input: { logGroupName: string }, options?: SendOptions): Promise<unknown>;
  createLogStream(input: { logGroupName: string; logStreamName: string }, options?: SendOptions): Promise<unknown>;
}

export interface CloudWatchLogsOptions extends DeliveryOptions {
  readonly client: CloudWatchLogsClient;
  readonly group: string;
  readonly stream: string;
  /** Whether a group or stream that is not there is made. Default true. */
  readonly createMissing?: boolean;
  /** How long lines gather before a batch that is not full goes, in milliseconds. Default 1 000. */
  readonly lingerMs?: number;
  /** How long one attempt may take, in milliseconds, with the client's own retries. Default 30 000. */
  readonly attemptTimeoutMs?: number;
}

const EVENTS_MAX = 10_000;
const BATCH_BYTES_MAX = 1_048_576;
const EVENT_OVERHEAD_BYTES = 26;
const EVENT_BYTES_MAX = 262_144;
const SPAN_MS = 24 * 3_600_000;

/** @throws {ConfigError} a name that CloudWatch Logs does not take */
export function toCloudWatchLogs(options: CloudWatchLogsOptions): LogDestination {
  const { client, group, stream, createMissing = true, lingerMs = 1_000, attemptTimeoutMs = 30_000, ...rest } = options;
  checkName("group", group, /^[.\-_/#A-Za-z0-9]{1,512}$/);
  checkName("stream", stream, /^[^:*\p{Cc}]{1,512}$/u);
  const names = { logGroupName: group, logStreamName: stream };

  const put = async (batch: readonly Line[], abortSignal: AbortSignal): Promise<number> => {
    const logEvents = batch.map(({ atMs, text }) => ({ timestamp: atMs, message: text }));
    const answer = await client.putLogEvents({ ...names, logEvents }, { abortSignal });
    return rejectedOf(answer.rejectedLogEventsInfo ?? {}, batch.length);
  };
  const deliver = async (batch: readonly Line[], abortSignal: AbortSignal): Promise<number> => {
    try {
      return await put(batch, abortSignal);
    } catch (error) {
      const name = nameOf(error);
      if (name === "DataAlreadyAcceptedException") return 0;
      if (name === "InvalidParameterException") throw new Undeliverable("the batch is invalid", { cause: error });
      if (name !== "ResourceNotFoundException" || !createMissing) throw error;
      await unlessThere(() => client.createLogGroup({ logGroupName: group }, { abortSignal }));
      await unlessThere(() => client.createLogStream(names, { abortSignal }));
      return put(batch, abortSignal);
    }
  };
  const place: Place = {
    lingerMs,
    lineBytesMax: EVENT_BYTES_MAX - EVENT_OVERHEAD_BYTES,
    cut: batchLength,
    deliver: (batch, signal) => withinTime({ signal, timeoutMs: attemptTimeoutMs }, (until) => deliver(batch, until)),
  };
  return deliverTo(place, rest);
}

/** How many lines of the head one request may carry. */
export function batchLength(lines: readonly Line[]): number {
  const first = lines[0]?.atMs ?? 0;
  let before = first;
  let bytes = 0;
  for (const [index, line] of lines.entries()) {
    bytes += line.bytes + EVENT_OVERHEAD_BYTES;
    const fits = index < EVENTS_MAX && bytes <= BATCH_BYTES_MAX;
    if (!fits || line.atMs < before || line.atMs - first >= SPAN_MS) return index;
    before = line.atMs;
  }
  return lines.length;
}

type Rejected = NonNullable<Awaited<ReturnType<CloudWatchLogsClient["putLogEvents"]>>["rejectedLogEventsInfo"]>;

/** Both ends of a batch may be rejected: what is too old or expired, and what is too new. */
function rejectedOf(info: Rejected, count: number): number {
  const head = Math.max(info.tooOldLogEventEndIndex ?? 0, info.expiredLogEventEndIndex ?? 0);
  const tail = count - (info.tooNewLogEventStartIndex ?? count);
  return Math.min(count, Math.max(0, head) + Math.max(0, tail));
}

async function unlessThere(create: () => Promise<unknown>): Promise<void> {
  try {
    await create();
  } catch (error) {
    if (nameOf(error) !== "ResourceAlreadyExistsException") throw error;
  }
}

interface TimeLimit {
  readonly signal: AbortSignal;
  readonly timeoutMs: number;
}

/** Settles when the attempt does, when time is up or when the signal aborts: whether or not the client listens. */
async function withinTime<T>(limit: TimeLimit, attempt: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const { signal, timeoutMs } = limit;
  const own = new AbortController();
  const stop = (): void => own.abort();
  const stopped = new Promise<never>((_, reject) => {
    own.signal.addEventListener("abort", () => reject(new Error("the attempt was given up")), { once: true });
  });
  const timer = setTimeout(stop, timeoutMs);
  signal.addEventListener("abort", stop, { once: true });
  if (signal.aborted) stop();
  try {
    return await Promise.race([stopped, attempt(own.signal)]);
  } finally {
    clearTimeout(timer);
    signal.removeEventListener("abort", stop);
  }
}

function nameOf(error: unknown): string {
  return error instanceof Error ? error.name : "";
}

function checkName(field: string, name: string, form: RegExp): void {
  if (typeof name === "string" && form.test(name)) return;
  const actual = typeof name === "string" ? `${name.length} characters` : typeof name;
  throw new ConfigError("ERR_CONFIG_FIELD_INVALID", { field, expected: `a name that matches ${form.source}`, actual });
}
