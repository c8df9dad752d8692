import { type ChildProcessByStdio, spawn } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import type { Readable } from "node:stream";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { bundleProgram } from "../../../bench/guest/program.ts";
import { Database } from "../../../mock/aws/state/database.ts";
import { openSealedJournal } from "../../../mock/aws/state/sealed-journal.ts";
import { declare, deviations } from "./operations.ts";
import { journalFile, newDirectory, TOKEN } from "./testbed.ts";

const KILLS = 100;
/** Side by side, each with a state of its own. */
const LANES = 2;
/** Small enough that journals are replaced all the time. */
const OVERGROWN_BYTES = 1000;

type Child = ChildProcessByStdio<null, Readable, null>;

let folder = "";
let program = "";

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "killed-"));
  program = join(folder, "program.mjs");
  writeFileSync(program, await bundleProgram(fileURLToPath(new URL("killed-program.ts", import.meta.url))));
});

afterAll(() => rmSync(folder, { recursive: true, force: true }));

interface Run {
  readonly lines: readonly string[];
  readonly signal: NodeJS.Signals | null;
  readonly exitCode: number | null;
}

/** Runs until the child ends; `onLine` sees each line as it comes. */
async function watch(child: Child, onLine: (line: string, count: number) => void): Promise<Run> {
  const lines: string[] = [];
  createInterface({ input: child.stdout }).on("line", (line) => {
    lines.push(line);
    onLine(line, lines.length);
  });
  const [exitCode, signal] = await new Promise<[number | null, NodeJS.Signals | null]>((done) => {
    child.once("close", (code, by) => done([code, by]));
  });
  return { lines, signal, exitCode };
}

function start(directory: string, overgrownBytes: number): Child {
  return spawn(process.execPath, [program, directory, String(overgrownBytes)], {
    stdio: ["ignore", "pipe", "inherit"],
  });
}

/** Kills a child at a moment that `random`, 0 to 1, decides: while it starts, or after some acknowledgements. */
async function killAtRandom(directory: string): Promise<Run> {
  const child = start(directory, OVERGROWN_BYTES);
  const afterLines = Math.random() < 0.2 ? 1 : 3 + Math.floor(Math.random() * 120);
  const delayMs = Math.random() * 8;
  return watch(child, (_, count) => {
    if (count === afterLines) setTimeout(() => child.kill("SIGKILL"), delayMs);
  });
}

const acknowledgedIn = (lines: readonly string[]): number =>
  Math.max(0, ...lines.map(Number).filter((n) => Number.isInteger(n)));

/** Number of the last operation that is found; fails where the state is not that of all operations up to it. */
async function inspect(directory: string): Promise<number> {
  await using database = await Database.open(await openSealedJournal({ directory, secret: TOKEN }));
  const tables = declare(database);
  const n = tables.last.get("operation")?.n ?? 0;
  expect(deviations(tables, n)).toEqual([]);
  return n;
}

describe("a process that is killed", () => {
  test(`${KILLS} times has lost nothing that it acknowledged, and left nothing half-written`, async () => {
    let acknowledged = 0;
    let atStart = 0;
    const journals = new Set<string>();
    const lane = async (): Promise<void> => {
      const directory = newDirectory();
      let known = 0;
      for (let kill = 0; kill < KILLS / LANES; kill++) {
        const { lines, signal } = await killAtRandom(directory);
        expect(signal).toBe("SIGKILL");
        const highest = acknowledgedIn(lines);
        if (highest === 0) atStart += 1;
        const found = await inspect(directory);
        expect(found, `kill ${kill}`).toBeGreaterThanOrEqual(Math.max(highest, known));
        acknowledged += Math.max(0, highest - known);
        known = found;
        journals.add(readFileSync(journalFile(directory)).subarray(0, 200).toString("hex"));
        expect(readdirSync(directory)).toEqual(["journal"]);
      }
    };
    await Promise.all(Array.from({ length: LANES }, lane));
    console.log(`${KILLS} kills, ${atStart} of them before the first of ${acknowledged} acknowledgements`);
    // It was what it says: work was done, journals were replaced, and some died before they had begun.
    expect(acknowledged).toBeGreaterThan(KILLS);
    expect(journals.size).toBeGreaterThan(3);
    expect(atStart).toBeGreaterThan(0);
  }, 120_000);

  test("owns its directory until then, and no longer", async () => {
    const directory = newDirectory();
    const child = start(directory, OVERGROWN_BYTES);
    const refused = new Promise<unknown>((done) => {
      createInterface({ input: child.stdout }).on("line", (line) => {
        if (line === "opened") done(openSealedJournal({ directory, secret: TOKEN }).catch((error: unknown) => error));
      });
    });
    expect(await refused).toMatchObject({ code: "ERR_STATE_LOCKED", details: { path: directory, pid: child.pid } });
    const ended = new Promise((done) => child.once("exit", done));
    child.kill("SIGKILL");
    await ended;
    await inspect(directory);
  });
});

describe("a process whose disk is full", () => {
  test("acknowledges nothing more, says so, and has lost nothing", async () => {
    const directory = newDirectory();
    // A file may have 200 blocks of 512 bytes: the write that goes beyond is cut short, and the next one refused.
    const child = spawn(
      "/bin/sh",
      ["-c", 'ulimit -f 200; exec "$0" "$@"', process.execPath, program, directory, "1e9"],
      {
        stdio: ["ignore", "pipe", "inherit"],
      },
    );
    const { lines, exitCode } = await watch(child, () => {});
    expect([exitCode, lines.at(-1)]).toEqual([7, "failed ERR_STATE_FAILED EFBIG"]);
    const highest = acknowledgedIn(lines);
    expect(highest).toBeGreaterThan(10);
    expect(await inspect(directory)).toBeGreaterThanOrEqual(highest);
  });

  test("at the very start says so", async () => {
    const directory = newDirectory();
    const child = spawn("/bin/sh", ["-c", 'ulimit -f 0; exec "$0" "$@"', process.execPath, program, directory, "1e9"], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    const { lines } = await watch(child, () => {});
    expect(lines.at(-1)).toBe("failed ERR_STATE_FAILED EFBIG");
    expect(await inspect(directory)).toBe(0);
  });
});
