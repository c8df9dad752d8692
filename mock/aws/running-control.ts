/**
 * A running mock AWS as methods over JSON, for whoever may talk to its control socket.
 *
 *   status · explain · trail · follow, next · seed · advanceClock · quotas · faults · reset
 *
 * `follow` begins to collect records for this connection, `next` waits for one of them. Credentials that a seed generated
 * are in its answer; nothing else here tells a secret.
 *
 * @module
 */
import { ConfigError } from "../../shared/errors/index.ts";
import type { ControlHandlers } from "../../transport/control.ts";
import { injectFault, invalid } from "./control-values.ts";
import type { MockAws } from "./emulator.ts";
import type { QuotaOption } from "./kms/quotas.ts";
import type { MockAwsSeed } from "./seed-file.ts";
import type { TrailRecord } from "./trail.ts";
import type { TrailQuery } from "./trail-log.ts";

/** What one connection is served by, until it ends. */
export interface ConnectionControl {
  readonly handlers: ControlHandlers;
  end(): void;
}

/** `seed`: what it was started with; `reset` goes back to it. */
export function runningControl(aws: MockAws, seed: MockAwsSeed = {}): () => ConnectionControl {
  const first = aws.snapshot();
  const reset = async (): Promise<void> => {
    aws.reset();
    aws.restore(first);
    await aws.seed(seed); // its roots and quotas; the keys are there
  };
  return () => {
    const ended = new AbortController();
    let following: AsyncIterator<TrailRecord> | undefined;
    const handlers: ControlHandlers = {
      status: () => aws.status(),
      explain: (params) => findRecord(aws.trail(), params) ?? null,
      trail: ({ query }) => aws.trail(readQuery(query)),
      follow: ({ query }) => {
        following = aws.followTrail(readQuery(query), ended.signal)[Symbol.asyncIterator]();
        return null;
      },
      next: async () => {
        if (!following)
          throw new ConfigError("ERR_CONFIG_FIELD_MISSING", { field: "follow", expected: "called first" });
        const { value, done } = await following.next();
        return done ? null : value;
      },
      seed: ({ seed: given }) => aws.seed(given as MockAwsSeed), // checked there, field by field
      advanceClock: ({ ms }) => {
        if (typeof ms !== "number" || !(ms >= 0)) throw invalid("ms", "0 or more milliseconds", String(typeof ms));
        advance(aws, ms);
        return { now: aws.status().now };
      },
      quotas: async ({ quotas }) => {
        await aws.seed({ quotas: quotas as QuotaOption });
        return null;
      },
      faults: ({ fault }) => injectFault(aws, fault),
      reset,
    };
    return { handlers, end: () => ended.abort() };
  };
}

function advance(aws: MockAws, ms: number): void {
  try {
    aws.advanceClock(ms);
  } catch (cause) {
    if (!(cause instanceof RangeError)) throw cause;
    throw invalid("ms", "a time that the clock can tell", "another");
  }
}

/** The record of a request id, the last denied one, or the last of all. */
function findRecord(
  records: readonly TrailRecord[],
  { requestId, lastDenied }: Readonly<Record<string, unknown>>,
): TrailRecord | undefined {
  if (requestId !== undefined) return records.find(({ event }) => event.requestID === requestId);
  return lastDenied === true ? records.findLast(isDenied) : records.at(-1);
}

/** By a policy, or because its attestation document was refused. */
function isDenied({ event, explanation }: TrailRecord): boolean {
  return event.errorCode === "AccessDenied" || explanation.attestation.kind === "refused";
}

const QUERY_FIELDS = ["eventName", "eventSource", "errorCode", "principal", "resource", "recipientAccountId"] as const;

function readQuery(value: unknown = {}): TrailQuery {
  if (typeof value !== "object" || value === null) throw invalid("query", "an object", typeof value);
  for (const [name, given] of Object.entries(value)) {
    if (!QUERY_FIELDS.some((field) => field === name))
      throw new ConfigError("ERR_CONFIG_FIELD_UNKNOWN", { field: `query.${name}`, known: QUERY_FIELDS });
    if (typeof given !== "string") throw invalid(`query.${name}`, "a text", typeof given);
  }
  return value;
}
