/** Log lines to a file that rotates, on disks that fill up. */
import { execFileSync } from "node:child_process";
import {
  chmodSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import type { LogRecord } from "../../../parent/observability/log-record.ts";
import { type FileOptions, toFile } from "../../../parent/observability/to-file.ts";
import { isConfigError } from "../../../shared/errors/index.ts";
import { scratchFolder } from "../../transport/streams.ts";
import { until } from "../fixture.ts";
import { Waits } from "./waits.ts";

const root = scratchFolder();
let folders = 0;
const fresh = (): string => {
  const folder = join(root, `file-${++folders}`);
  mkdirSync(folder);
  return folder;
};
const record = (event: string): LogRecord => ({ level: "info", event, fields: {}, truncated: false });
const eventsIn = (path: string): string[] =>
  readFileSync(path, "utf8")
    .split("\n")
    .slice(0, -1)
    .map((line) => (JSON.parse(line) as { event: string }).event);

async function fill(path: string, { count, ...options }: FileOptions & { count: number }): Promise<void> {
  const file = toFile(path, options);
  for (let i = 0; i < count; i++) {
    file.write(record(`event ${i} ${"x".repeat(60)}`));
    if (i % 5 === 4) await file.flush();
  }
  await file.close();
  expect(file.dropped()).toBe(0);
}

describe("the log file", () => {
  test("one line a record, mode 0600, appended to what is there", async () => {
    const path = join(fresh(), "parent.log");
    writeFileSync(path, '{"event":"before"}\n');
    chmodSync(path, 0o644);
    await fill(path, { count: 3 });
    expect(eventsIn(path)).toHaveLength(4);
    expect(statSync(path).mode & 0o777).toBe(0o600);
  });

  test("it gives way before it grows beyond its size; the oldest goes; nothing is lost in between", async () => {
    const folder = fresh();
    const path = join(folder, "parent.log");
    await fill(path, { count: 200, maxBytes: 4_096, keep: 2 });
    expect(readdirSync(folder).sort()).toEqual(["parent.log", "parent.log.1", "parent.log.2"]);
    for (const name of readdirSync(folder)) {
      expect(statSync(join(folder, name)).size).toBeLessThanOrEqual(4_096);
      expect(statSync(join(folder, name)).mode & 0o777).toBe(0o600);
    }
    const numbers = [`${path}.2`, `${path}.1`, path].flatMap(eventsIn).map((event) => Number(event.split(" ")[1]));
    expect(numbers).toEqual(Array.from({ length: numbers.length }, (_, i) => 200 - numbers.length + i));
    expect(numbers.length).toBeGreaterThan(40);
  });

  test("no older files when none are to be kept", async () => {
    const folder = fresh();
    await fill(join(folder, "parent.log"), { count: 100, maxBytes: 4_096, keep: 0 });
    expect(readdirSync(folder)).toEqual(["parent.log"]);
  });

  test("a full disk: no line is torn or lost while it lasts, and what found no room is told", async () => {
    const path = join(fresh(), "parent.log");
    const waits = new Waits();
    const disk = { full: false };
    // Writes half of it, as a disk that fills up in the middle does.
    const writeBytes = async (descriptor: number, bytes: Uint8Array): Promise<number> => {
      if (!disk.full) return writeSync(descriptor, bytes);
      writeSync(descriptor, bytes.subarray(0, bytes.length / 2));
      throw Object.assign(new Error("no space"), { code: "ENOSPC" });
    };
    const file = toFile(path, { writeBytes, sleep: waits.sleep, linesMax: 3 });
    file.write(record("before"));
    await file.flush();
    disk.full = true;
    for (const event of ["a", "b", "c", "d", "e"]) file.write(record(event));
    await until(() => waits.asked.length === 1);
    expect(eventsIn(path)).toEqual(["before"]);
    disk.full = false;
    waits.end();
    await until(() => statSync(path).size > 0 && eventsIn(path).length === 5);
    expect(eventsIn(path)).toEqual(["before", "a", "b", "c", "log lines dropped"]);
    expect(file.dropped()).toBe(2);
    await file.close();
  });

  test("a file that can not be moved makes lines wait", async () => {
    const folder = fresh();
    const path = join(folder, "parent.log");
    const waits = new Waits();
    mkdirSync(`${path}.1`);
    writeFileSync(join(`${path}.1`, "occupied"), "");
    writeFileSync(path, "x".repeat(4_096));
    const file = toFile(path, { maxBytes: 4_096, keep: 1, sleep: waits.sleep, flushTimeoutMs: 50 });
    file.write(record("waits"));
    await until(() => waits.asked.length === 1);
    expect(statSync(path).size).toBe(4_096);
    await file.close();
    expect(file.dropped()).toBe(1);
  });

  test.each<[string, (path: string) => void, string]>([
    ["a link", (path) => symlinkSync("/dev/null", path), "ELOOP"],
    ["a folder", (path) => mkdirSync(path), "EISDIR"],
    ["a pipe that nobody reads", (path) => execFileSync("mkfifo", [path]), "ENXIO"],
    ["a place that is not there", (path) => symlinkSync("/nowhere", join(path, "..", "x")), ""],
  ])("%s at the path is refused", (_, make, reason) => {
    const path = join(fresh(), "parent.log");
    make(path);
    const target = reason === "" ? join(path, "..", "none", "parent.log") : path;
    let thrown: unknown;
    try {
      toFile(target);
    } catch (error) {
      thrown = error;
    }
    expect(isConfigError(thrown) && thrown.code === "ERR_CONFIG_FILE" && thrown.details.reason).toBe(
      reason || "ENOENT",
    );
  });

  test("/dev/full is a device and no log file", () => {
    expect(() => toFile("/dev/full")).toThrow(expect.objectContaining({ code: "ERR_CONFIG_FILE" }));
  });

  test.each([{ maxBytes: 4_095 }, { maxBytes: 1.5 }, { keep: -1 }])("%j is a mistake", (options) => {
    expect(() => toFile(join(fresh(), "parent.log"), options)).toThrow(RangeError);
  });
});
