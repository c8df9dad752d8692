/** Log lines to CloudWatch Logs: the SDK's client in front of a double of the service (`logs-double.ts`). */
import { CloudWatchLogs } from "@aws-sdk/client-cloudwatch-logs";
import { describe, expect, test } from "vitest";
import type { Line } from "../../../parent/observability/line-queue.ts";
import {
  batchLength,
  type CloudWatchLogsClient,
  type CloudWatchLogsOptions,
  toCloudWatchLogs,
} from "../../../parent/observability/to-cloudwatch-logs.ts";
import { cleanups, until } from "../fixture.ts";
import { type LogsDouble, startLogsDouble } from "./logs-double.ts";
import { Waits } from "./waits.ts";

const NAMES = { group: "/cloister/parent", stream: "i-0123" };
const record = (event: string) => ({ level: "info", event, fields: {}, truncated: false }) as const;

function clientOf(double: LogsDouble): CloudWatchLogs {
  const credentials = { accessKeyId: "AKIDEXAMPLE", secretAccessKey: "example" };
  const client = new CloudWatchLogs({ endpoint: double.endpoint, region: "eu-central-1", credentials, maxAttempts: 1 });
  cleanups.push(() => client.destroy());
  return client;
}

async function bed(options: Partial<CloudWatchLogsOptions> = {}) {
  const double = await startLogsDouble();
  cleanups.push(() => double[Symbol.asyncDispose]());
  const waits = new Waits();
  const client: CloudWatchLogsClient = clientOf(double);
  const clock = { now: 1_700_000_000_000 };
  const logs = toCloudWatchLogs({
    client,
    ...NAMES,
    sleep: waits.sleep,
    random: () => 0.5,
    now: () => clock.now,
    flushTimeoutMs: 5_000,
    ...options,
  });
  cleanups.push(() => logs.close());
  const batches = () => double.batches.get(`${NAMES.group}/${NAMES.stream}`) ?? [];
  const events = () =>
    batches().map((batch) => batch.map(({ message }) => (JSON.parse(message) as { event: string }).event));
  return { double, waits, logs, batches, events, clock };
}

describe("log lines to CloudWatch Logs", () => {
  test("a group and a stream that are not there are made, once, and nothing is lost", async () => {
    const under = await bed();
    under.logs.write(record("first"));
    under.clock.now += 5;
    under.logs.write(record("second"));
    await under.logs.flush();
    under.logs.write(record("third"));
    await under.logs.flush();
    expect(under.events()).toEqual([["first", "second"], ["third"]]);
    expect(under.batches()[0]?.map(({ timestamp }) => timestamp)).toEqual([1_700_000_000_000, 1_700_000_000_005]);
    expect(under.double.calls).toEqual([
      "PutLogEvents",
      "CreateLogGroup",
      "CreateLogStream",
      "PutLogEvents",
      "PutLogEvents",
    ]);
    expect(under.logs.dropped()).toBe(0);
  });

  test("a group that is there gets its stream", async () => {
    const under = await bed();
    await clientOf(under.double).createLogGroup({ logGroupName: NAMES.group });
    under.logs.write(record("e"));
    await under.logs.flush();
    expect(under.events()).toEqual([["e"]]);
  });

  test("nothing is made where that is switched off", async () => {
    const under = await bed({ createMissing: false, flushTimeoutMs: 50 });
    under.logs.write(record("e"));
    await until(() => under.waits.asked.length === 1);
    under.waits.end();
    await under.logs.close();
    expect(under.double.calls).not.toContain("CreateLogGroup");
    expect(under.logs.dropped()).toBe(1);
  });

  test.each(["ThrottlingException", "ServiceUnavailableException", "ExpiredTokenException", "cut"])(
    "%s: the batch goes later, whole and once",
    async (fault) => {
      const under = await bed({ lingerMs: 0 });
      under.double.faults.push(fault, fault);
      for (const event of ["a", "b"]) under.logs.write(record(event));
      await until(() => under.waits.asked.length === 1);
      under.waits.end();
      await until(() => under.waits.asked.length === 2);
      under.waits.end();
      await under.logs.flush();
      expect(under.waits.asked).toEqual([100, 200]);
      expect(under.events()).toEqual([["a", "b"]]);
      expect(under.logs.dropped()).toBe(0);
    },
  );

  test("an attempt that does not end, with a client that does not listen, is given up in time", async () => {
    const signals: (AbortSignal | undefined)[] = [];
    const putLogEvents: CloudWatchLogsClient["putLogEvents"] = (_, options) => {
      signals.push(options?.abortSignal);
      return signals.length === 1 ? new Promise(() => {}) : Promise.resolve({});
    };
    const client = { putLogEvents, createLogGroup: putLogEvents, createLogStream: putLogEvents } as never;
    const under = await bed({ client, lingerMs: 0, attemptTimeoutMs: 50 });
    under.logs.write(record("e"));
    await until(() => under.waits.asked.length === 1);
    expect(signals.map((signal) => signal?.aborted)).toEqual([true]);
    under.waits.end();
    await under.logs.flush();
    expect(signals.map((signal) => signal?.aborted)).toEqual([true, false]);
    expect(under.logs.dropped()).toBe(0);
  });

  test("a batch that is invalid is dropped and counted; the next one goes", async () => {
    const under = await bed();
    under.double.faults.push("InvalidParameterException");
    under.logs.write(record("a"));
    await under.logs.flush();
    expect(under.logs.dropped()).toBe(1);
    under.logs.write(record("b"));
    await under.logs.flush();
    expect(under.events()).toEqual([["b"]]);
  });

  test("a batch that arrived before counts as arrived", async () => {
    const under = await bed();
    under.double.faults.push("DataAlreadyAcceptedException");
    under.logs.write(record("a"));
    await under.logs.flush();
    expect(under.logs.dropped()).toBe(0);
  });

  test.each([
    [{ tooOldLogEventEndIndex: 2 }, 2],
    [{ tooNewLogEventStartIndex: 3 }, 2],
    [{ tooOldLogEventEndIndex: 1, expiredLogEventEndIndex: 2, tooNewLogEventStartIndex: 4 }, 3],
    [{ tooNewLogEventStartIndex: 0, tooOldLogEventEndIndex: 5 }, 5],
  ])("of five events %j rejects %i", async (rejected, dropped) => {
    const under = await bed();
    under.double.rejected = rejected;
    for (const event of ["a", "b", "c", "d", "e"]) under.logs.write(record(event));
    await under.logs.flush();
    expect(under.logs.dropped()).toBe(dropped);
  });

  test("what the service takes at most goes in as few batches, and the service accepts each", async () => {
    const under = await bed({ linesMax: 100_000, bytesMax: 64 * 1_048_576 });
    for (let i = 0; i < 10_001; i++) under.logs.write(record(`${i}`));
    const fields = { text: "x".repeat(200_000) };
    for (let i = 0; i < 12; i++) under.logs.write({ level: "info", event: `large ${i}`, fields, truncated: false });
    under.clock.now += 24 * 3_600_000;
    under.logs.write(record("a day later"));
    under.clock.now -= 3_600_000;
    under.logs.write(record("the clock went back"));
    await under.logs.close();
    expect(under.logs.dropped()).toBe(0);
    const sizes = under.events().map((batch) => batch.length);
    expect(sizes.reduce((sum, size) => sum + size, 0)).toBe(10_001 + 12 + 2);
    expect(sizes[0]).toBeGreaterThan(8_000);
    expect(sizes.length).toBeLessThanOrEqual(7);
    expect(under.events().flat().slice(-2)).toEqual(["a day later", "the clock went back"]);
  });

  test("drain: what waits is delivered before close ends, without the time that lines gather", async () => {
    const under = await bed({ lingerMs: 3_600_000 });
    under.logs.write(record("last words"));
    await under.logs.close();
    expect(under.events()).toEqual([["last words"]]);
  });

  test.each([
    ["group", "a b"],
    ["group", ""],
    ["group", "x".repeat(513)],
    ["stream", "a:b"],
    ["stream", "a*"],
    ["stream", ""],
  ])("a %s called %j is refused", (field, name) => {
    const client = {} as CloudWatchLogsClient;
    expect(() => toCloudWatchLogs({ client, ...NAMES, [field]: name })).toThrow(
      expect.objectContaining({ code: "ERR_CONFIG_FIELD_INVALID" }),
    );
  });
});

describe("the length of a batch", () => {
  const line = (bytes: number, atMs = 0): Line => ({ text: "", bytes, atMs });
  const day = 24 * 3_600_000;
  test.each<[string, readonly Line[], number]>([
    ["10 000 events", Array.from({ length: 10_000 }, () => line(1)), 10_000],
    ["10 001 events", Array.from({ length: 10_001 }, () => line(1)), 10_000],
    ["1 048 576 bytes", [line(524_262), line(524_262)], 2],
    ["1 048 577 bytes", [line(524_262), line(524_263)], 1],
    ["a millisecond less than a day", [line(1, 5), line(1, day + 4)], 2],
    ["a day", [line(1, 5), line(1, day + 5)], 1],
    ["the same moment", [line(1, 5), line(1, 5)], 2],
    ["a clock that went back", [line(1, 5), line(1, 4), line(1, 6)], 1],
  ])("%s", (_, lines, length) => {
    expect(batchLength(lines)).toBe(length);
  });
});
