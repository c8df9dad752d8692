/** Log lines to a stream whose reader may be slow or gone. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { PassThrough, Writable } from "node:stream";
import { describe, expect, test } from "vitest";
import { toStdout } from "../../../parent/observability/to-stdout.ts";
import { until } from "../fixture.ts";

const record = { level: "info", event: "e", fields: { text: "x".repeat(1_000) }, truncated: false } as const;

describe("log lines to standard output", () => {
  test("one JSON object a line", async () => {
    const stream = new PassThrough();
    const stdout = toStdout({ stream, now: () => 0 });
    stdout.write({ level: "info", event: "started", fields: { n: 1 }, truncated: false });
    stdout.write({
      service: "egress",
      event: "refused",
      connectionId: "egress-1",
      code: "ERR_X",
      target: "a.test:443",
    });
    await stdout.close();
    const time = "1970-01-01T00:00:00.000Z";
    expect(
      String(stream.read())
        .trimEnd()
        .split("\n")
        .map((line) => JSON.parse(line) as unknown),
    ).toEqual([
      { time, from: "enclave", level: "info", event: "started", fields: { n: 1 } },
      {
        time,
        from: "parent",
        level: "warn",
        service: "egress",
        event: "refused",
        connectionId: "egress-1",
        target: "a.test:443",
        code: "ERR_X",
      },
    ]);
  });

  test("a reader that does not read: a bounded number waits, the rest is counted, close ends", async () => {
    const stream = new Writable({ write: () => {} });
    const stdout = toStdout({ stream, linesMax: 100, flushTimeoutMs: 20 });
    for (let i = 0; i < 1_000; i++) stdout.write(record);
    expect(stdout.dropped()).toBe(900);
    await stdout.close();
    expect(stdout.dropped()).toBeGreaterThanOrEqual(1_000);
    expect(stream.writableLength).toBeLessThanOrEqual(65_536);
  });

  test.each<[string, () => Promise<Writable>]>([
    [
      "is away already",
      async () => {
        const reader = spawn("true");
        await once(reader, "close");
        return reader.stdin;
      },
    ],
    [
      "goes in the middle",
      async () =>
        new Writable({ write: (_chunk, _encoding, done) => done(Object.assign(new Error("gone"), { code: "EPIPE" })) }),
    ],
  ])("a reader that %s ends the destination and not the process", async (_, open) => {
    const stdout = toStdout({ stream: await open(), flushTimeoutMs: 1_000 });
    stdout.write(record);
    await until(() => stdout.dropped() === 1);
    stdout.write(record);
    await stdout.close();
    expect(stdout.dropped()).toBe(2);
  });
});
