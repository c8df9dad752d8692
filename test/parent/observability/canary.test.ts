/**
 * Secrets that pass through the parent, or that its parts choke on, searched in every place it writes to: the log file,
 * standard output, CloudWatch Logs, metrics, health, traces, and its events as `util.inspect` shows them.
 */
import { mkdirSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { PassThrough } from "node:stream";
import { inspect } from "node:util";
import { describe, expect, test } from "vitest";
import { startCredentials } from "../../../parent/credentials/credentials.ts";
import type { LogDestination } from "../../../parent/observability/delivery.ts";
import { type LogEntry, levelOf } from "../../../parent/observability/log-line.ts";
import { startLogSink } from "../../../parent/observability/log-sink.ts";
import { createMetrics } from "../../../parent/observability/metrics.ts";
import type { ParentEvent } from "../../../parent/observability/observe.ts";
import { toCloudWatchLogs } from "../../../parent/observability/to-cloudwatch-logs.ts";
import { toFile } from "../../../parent/observability/to-file.ts";
import { toStdout } from "../../../parent/observability/to-stdout.ts";
import { createTraces } from "../../../parent/observability/traces.ts";
import { addressOf } from "../../../shared/transport/address.ts";
import { openChannel } from "../../../shared/transport/channel.ts";
import { CREDENTIALS_PORT, LOG_PORT } from "../../../shared/transport/ports.ts";
import { collect, scratchFolder } from "../../transport/streams.ts";
import { cleanups, connect, echo, freshPeer, proxy, transport, until } from "../fixture.ts";

const CANARY = "0f3c9a51d7e2486b8c0d5e7f91a2b4c6";

/** The forms in which a secret hides; halves stand for pieces. */
function formsOf(secret: string): readonly string[] {
  const bytes = Buffer.from(secret);
  const base64 = [0, 1, 2].map((shift) =>
    Buffer.concat([Buffer.alloc(shift), bytes])
      .toString("base64")
      .slice(4, -4),
  );
  return [
    secret,
    secret.slice(0, 16),
    secret.slice(16),
    [...secret].reverse().join(""),
    bytes.toString("hex"),
    ...base64,
    ...base64.map((text) => text.replaceAll("+", "-").replaceAll("/", "_")),
    bytes.toString("utf16le"),
    [...bytes].join(","),
  ].flatMap((form) => [form, form.toUpperCase()]);
}

interface Sinks {
  readonly log: (event: ParentEvent) => void;
  readonly destinations: readonly LogDestination[];
  readonly events: ParentEvent[];
  /** All that was written anywhere. */
  readonly written: () => Promise<string>;
}

async function allSinks(): Promise<Sinks> {
  const folder = join(scratch, `${Math.random()}`);
  mkdirSync(folder);
  const stream = new PassThrough();
  const sent: unknown[] = [];
  const spans: unknown[] = [];
  const keep = async (input: unknown): Promise<object> => {
    sent.push(input);
    return {};
  };
  const client = { putLogEvents: keep, createLogGroup: keep, createLogStream: keep };
  const destinations = [
    toFile(join(folder, "parent.log")),
    toStdout({ stream }),
    toCloudWatchLogs({ client, group: "g", stream: "s" }),
  ];
  const metrics = await createMetrics();
  const traces = createTraces({
    startSpan: (...given) => {
      spans.push(given);
      return { setAttributes: (given) => spans.push(given), setStatus: (given) => spans.push(given), end: () => {} };
    },
  });
  const events: ParentEvent[] = [];
  const log = (event: ParentEvent): void => {
    events.push(event);
    metrics.log(event);
    traces(event);
    for (const destination of destinations) destination.write(event);
  };
  const written = async (): Promise<string> => {
    await Promise.all(destinations.map((destination) => destination.close()));
    const files = readdirSync(folder).map((name) => readFileSync(join(folder, name), "utf8"));
    const shown = inspect([events, sent, spans, destinations, metrics], { showHidden: true, depth: Infinity });
    return [...files, String(stream.read()), JSON.stringify(sent), await metrics.text(), shown].join("\n");
  };
  return { log, destinations, events, written };
}

const scratch = scratchFolder();

function expectClean(text: string): void {
  for (const form of formsOf(CANARY)) expect(text.includes(form), form).toBe(false);
}

describe("secrets in what the parent writes", () => {
  test("G12: the search finds each form of a secret", () => {
    const bytes = Buffer.from(CANARY);
    const hiding = [bytes.toString("hex"), bytes.toString("base64"), bytes.toString("base64url"), bytes.join(",")];
    hiding.push(`x${Buffer.from(`ab${CANARY}`).toString("base64")}`, CANARY.toUpperCase(), CANARY.slice(16));
    for (const text of [CANARY, ...hiding]) expect(() => expectClean(`before ${text} after`)).toThrow();
    expect(() => expectClean("nothing here")).not.toThrow();
  });

  test("G05 G06: credentials that are handed out, and a provider that chokes on them", async () => {
    const sinks = await allSinks();
    const parent = freshPeer();
    let fail = false;
    const service = await startCredentials({
      transport,
      address: addressOf(parent, CREDENTIALS_PORT),
      log: sinks.log,
      provide: () => {
        if (fail) throw Object.assign(new Error(`token ${CANARY} expired`), { authorization: CANARY });
        return { AccessKeyId: "AKID", SecretAccessKey: CANARY, Token: CANARY, Expiration: "2030-01-01T00:00:00Z" };
      },
    });
    cleanups.push(() => service.close());
    const ask = async (): Promise<unknown> => {
      const socket = await transport.connect(addressOf(parent, CREDENTIALS_PORT));
      const channel = openChannel(socket, { peer: "parent" });
      try {
        return await channel.request("credentials", {});
      } finally {
        await channel.close();
      }
    };
    expect(inspect(await ask())).toContain(CANARY);
    fail = true;
    await expect(ask()).rejects.toThrow();
    await until(() => sinks.events.filter(({ event }) => event === "closed").length === 2);
    const written = await sinks.written();
    expect(written).toContain('"service":"credentials"');
    expectClean(written);
  });

  test("R29 G01 G02: payload bytes, and requests that can not be read", async () => {
    const sinks = await allSinks();
    const port = await echo();
    const hosts = { [`echo.test:${port}`]: `127.0.0.1:${port}` };
    const under = await proxy({ allowlist: [`echo.test:${port}`], hosts, log: sinks.log });
    const socket = await under.through("echo.test", port);
    socket.end(CANARY);
    expect((await collect(socket)).toString()).toBe(CANARY);
    await under.raw(`GET /${CANARY} HTTP/1.1\r\n\r\n`);
    await under.raw(connect("a.test:443", `Proxy-Authorization: Basic ${CANARY}\r\n`));
    await under.raw(`CONNECT ${CANARY}@a.test:443 HTTP/1.1\r\n\r\n`);
    await under.raw(Buffer.from(`${CANARY}\xff\xfe\r\n\r\n`, "latin1"));
    await until(() => sinks.events.filter(({ event }) => event === "closed").length === 5);
    const written = await sinks.written();
    expect(written).toContain(`echo.test:${port}`);
    expectClean(written);
  });

  test("G02: log frames that can not be read, and records that are none", async () => {
    const sinks = await allSinks();
    const records: LogEntry[] = [];
    const parent = freshPeer();
    const address = addressOf(parent, LOG_PORT);
    const service = await startLogSink({
      transport,
      address,
      log: sinks.log,
      sink: (record) => void records.push(record),
    });
    cleanups.push(() => service.close());
    const json = Buffer.from(`{"name":"log","body":{"level":"info","event":"${CANARY}`);
    const frame = Buffer.alloc(9);
    frame.writeUInt32BE(json.length + 5, 0);
    for (const bytes of [Buffer.from(CANARY), Buffer.concat([frame, json])]) {
      const socket = await transport.connect(address);
      socket.on("error", () => {});
      socket.end(bytes);
      await collect(socket).catch(() => undefined);
    }
    const channel = openChannel(await transport.connect(address), { peer: "parent" });
    channel.event("log", { level: CANARY, event: CANARY, fields: { [CANARY]: CANARY } });
    await channel.close();
    await until(() => sinks.events.filter(({ event }) => event === "closed").length === 3);
    expect(service.records().dropped.shape).toBe(1);
    expect(sinks.events.filter((event) => levelOf(event) === "warn").length).toBeGreaterThanOrEqual(1);
    expectClean(inspect(records, { depth: Infinity }));
    expectClean(await sinks.written());
  });
});
