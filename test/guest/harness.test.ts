/** The harness itself: its verdicts are vitest's, and nothing that goes wrong in a suite is lost. */
import { execFileSync, spawn, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Transport } from "../../shared/transport/transport.ts";
import { createTransport } from "../../transport/create.ts";
import { collect } from "../transport/streams.ts";

interface Line {
  readonly event: string;
  readonly suite: string;
  readonly test: string;
  readonly state: string;
  readonly errors?: readonly { readonly message: string; readonly code?: string }[];
  readonly reason?: string;
  readonly [count: string]: unknown;
}

const folder = mkdtempSync(join(tmpdir(), "cl-"));
const program = join(folder, "fixtures.mjs");
const parse = (text: string): Line[] =>
  text
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line) as Line);

beforeAll(() => {
  const [bundler, entry] = ["bundle.mjs", "fixtures/main.ts"].map((name) =>
    fileURLToPath(new URL(name, import.meta.url)),
  );
  execFileSync(process.execPath, [bundler ?? "", "--entry", entry ?? "", "--out", program]);
});
afterAll(() => rmSync(folder, { recursive: true }));

function run(suites: string, env: NodeJS.ProcessEnv = {}): { readonly status: number | null; readonly lines: Line[] } {
  const settings = { PATH: process.env["PATH"], GUEST_SUITES: suites, GUEST_TIMEOUT_MS: "5000", ...env };
  const { status, stdout } = spawnSync(process.execPath, [program], { env: settings, encoding: "utf8", cwd: folder });
  return { status, lines: parse(stdout) };
}

const verdicts = (lines: Line[]): (readonly [string, string])[] =>
  lines.filter(({ event }) => event === "result").map((line) => [line.test, line.state]);
const messageOf = (lines: Line[], name: string): string =>
  lines
    .find((line) => line.test === name)
    ?.errors?.map(({ message }) => message)
    .join() ?? "";

describe("the harness", () => {
  test("a sound suite passes: hooks, tables, skips, matchers, timers", () => {
    const { status, lines } = run("sound");
    expect(verdicts(lines)).toEqual([
      ["outer > inner > first", "passed"],
      ["outer > hooks run from outside in and back", "passed"],
      ["row a", "passed"],
      ["row b", "passed"],
      ["object x", "passed"],
      ["skipped to see that the harness counts it", "skipped"],
      ["skipped to see that the harness counts it > by its group", "skipped"],
      ["matchers are vitest's", "passed"],
      ["timers are the test's", "passed"],
    ]);
    expect(lines.at(-1)).toMatchObject({ event: "summary", suites: 1, passed: 7, failed: 0, skipped: 2 });
    expect(status).toBe(0);
  });

  test("each test that goes wrong is that test's failure, and the rest still runs", () => {
    const { status, lines } = run("wrong,sound");
    expect(verdicts(lines.filter(({ suite }) => suite === "wrong"))).toEqual([
      ["broken", "failed"],
      ["never ends", "failed"],
      ["leaves a rejection", "failed"],
      ["throws in a callback", "failed"],
      ["hooks > cleans up badly", "failed"],
      ["crashes", "failed"],
      ["blocks the event loop", "failed"],
      ["leaves the process", "failed"],
      ["is well", "passed"],
    ]);
    expect(messageOf(lines, "never ends")).toContain("did not end in 50 ms");
    expect(messageOf(lines, "crashes")).toContain("SIGSEGV");
    expect(messageOf(lines, "blocks the event loop")).toContain("event loop");
    expect(messageOf(lines, "leaves the process")).toContain("exit code 0");
    expect(lines.find((line) => line.test === "leaves a rejection")?.errors?.[0]?.code).toBe("LEFT");
    expect(lines.at(-1)).toMatchObject({ event: "summary", suites: 2, passed: 8, failed: 8, skipped: 2 });
    expect(status).toBe(1);
  });

  test.each([
    ["throws", "(outside of a test)"],
    ["empty", "(the suite has no tests)"],
    ["vanishes", "(between tests)"],
    ["no such suite", "(outside of a test)"],
  ])("the suite '%s' is one failure", (name, where) => {
    const { status, lines } = run(name);
    expect(verdicts(lines)).toEqual([[where, "failed"]]);
    expect(status).toBe(1);
  });

  test("a suite for another machine is skipped by name, with the reason", () => {
    const { status, lines } = run("elsewhere");
    expect(lines[0]).toMatchObject({ suite: "elsewhere", state: "skipped", reason: "it needs another machine" });
    expect(status).toBe(0);
  });

  test("without a choice every suite runs, and the summary is the last line", () => {
    const { lines } = run("sound,throws,empty,elsewhere");
    expect(lines.at(-1)).toMatchObject({ event: "summary", suites: 4, failed: 2, skipped: 3 });
  });
});

describe("the sink", () => {
  const transport: Transport = createTransport();

  async function through(suite: string): Promise<{ readonly status: number | null; readonly lines: Line[] }> {
    let took: Promise<Buffer> | undefined;
    await using listener = await transport.listen({ kind: "unix", path: join(folder, "sink") }, (socket) => {
      took = collect(socket).finally(() => socket.end());
    });
    const url = `unix://${listener.address.kind === "unix" ? listener.address.path : ""}`;
    const child = spawn(process.execPath, [program], {
      env: { PATH: process.env["PATH"], GUEST_SUITES: suite, GUEST_SINK: url },
      stdio: "ignore",
    });
    const status = await new Promise<number | null>((resolve) => child.once("close", resolve));
    return { status, lines: parse(String(await took)) };
  }

  test("lines arrive over a transport, all before the end", async () => {
    const { status, lines } = await through("sound");
    expect(lines).toHaveLength(10);
    expect(lines.at(-1)).toMatchObject({ event: "summary", failed: 0 });
    expect(status).toBe(0);
  });

  test("a sink that is not there is a failure, and the lines go to standard output", () => {
    const { status, lines } = run("sound", { GUEST_SINK: `unix://${join(folder, "nobody")}` });
    expect(lines.at(-1)).toMatchObject({ event: "summary", failed: 0 });
    expect(status).toBe(1);
  });
});
