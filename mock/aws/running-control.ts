/**
 * A running mock AWS as methods over JSON, for whoever may talk to its control socket.
 *
 *   status · explain · trail · follow, next · seed · advanceClock · quotas · faults · reset
 *
 * `follow` begins to collect records for this connection, `next` waits for one of them. Credentials that a seed generated
 * are in its answer; nothing else here tells a secret. What changes the state comes one at a time, in the order it came.
 *
 * @module
 */
import { ConfigError } from "../../shared/errors/index.ts";
import type { ControlHandlers } from "../../transport/control.ts";
import { invalidField } from "./config-field.ts";
import { assertFields, injectFault } from "./control-values.ts";
import type { MockAws } from "./emulator.ts";
import type { QuotaOption } from "./kms/quotas.ts";
import { Turns } from "./kms/turns.ts";
import { givenKeys, type SeedOutcome } from "./seed.ts";
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
  const turns = new Turns();
  const change = <Result>(work: () => Promise<Result>): Promise<Result> => turns.take("state", work);
  const reset = async (): Promise<void> => {
    await aws.seed({}); // after those that did not come through here
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
        if (following) throw invalidField("follow", "called once a connection", "called again");
        following = aws.followTrail(readQuery(query), ended.signal)[Symbol.asyncIterator]();
        return null;
      },
      next: async () => {
        if (!following)
          throw new ConfigError("ERR_CONFIG_FIELD_MISSING", { field: "follow", expected: "called first" });
        const { value, done } = await following.next();
        return done ? null : value;
      },
      seed: ({ seed: given }) => change(async () => told(await aws.seed(given as MockAwsSeed), given as MockAwsSeed)),
      advanceClock: ({ ms }) => change(() => advance(aws, ms)),
      quotas: ({ quotas }) =>
        change(async () => {
          if (quotas === undefined)
            throw new ConfigError("ERR_CONFIG_FIELD_MISSING", { field: "quotas", expected: QUOTAS });
          await aws.seed({ quotas: quotas as QuotaOption });
        }),
      faults: ({ fault }) => injectFault(aws, fault),
      reset: () => change(reset),
    };
    return { handlers, end: () => ended.abort() };
  };
}

const QUOTAS = '"off", "aws", or requests per second by name of the quota';

/** Without the secrets that the asker brought. The seed was checked, field by field, when it was applied. */
function told(outcome: SeedOutcome, { accounts = [] }: MockAwsSeed): SeedOutcome {
  const given = new Set(accounts.flatMap(givenKeys));
  return { ...outcome, credentials: outcome.credentials.filter(({ accessKeyId }) => !given.has(accessKeyId)) };
}

async function advance(aws: MockAws, ms: unknown): Promise<{ readonly now: string }> {
  if (typeof ms !== "number" || !(ms >= 0)) throw invalidField("ms", "0 or more milliseconds", typeof ms);
  try {
    aws.advanceClock(ms);
  } catch (cause) {
    if (!(cause instanceof RangeError)) throw cause;
    throw invalidField("ms", "a time that the clock can tell, a hundred years ahead at most", "another", { cause });
  }
  await aws.flush();
  return { now: aws.status().now };
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
  if (typeof value !== "object" || value === null) throw invalidField("query", "an object", typeof value);
  assertFields(value, QUERY_FIELDS, "query");
  for (const [name, given] of Object.entries(value)) {
    if (typeof given !== "string") throw invalidField(`query.${name}`, "a text", typeof given);
  }
  return value;
}
