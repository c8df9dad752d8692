/**
 * A demo that is stopped in the middle leaves neither processes nor folders behind.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, describe, expect, test } from "vitest";

const main = fileURLToPath(new URL("../../dist/cli/main.js", import.meta.url));
let folder: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "int-"));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

function startDemo(): ChildProcess {
  return spawn(process.execPath, [main, "demo"], { env: { ...process.env, TMPDIR: folder }, detached: true });
}

/** Resolves when the demo has said so much. */
async function said(child: ChildProcess, text: string): Promise<void> {
  let output = "";
  await new Promise<void>((resolve, reject) => {
    child.stdout?.on("data", (chunk: Buffer) => {
      output += chunk.toString();
      if (output.includes(text)) resolve();
    });
    child.once("close", () => reject(new Error(`ended before it said ${text}`)));
  });
}

const ended = (child: ChildProcess): Promise<number | null> => new Promise((resolve) => child.once("close", resolve));

describe("a demo that is interrupted", () => {
  test.each(["SIGINT", "SIGTERM"] as const)(
    "by %s to the whole group cleans up",
    { timeout: 60_000 },
    async (signal) => {
      const demo = startDemo();
      await said(demo, "the mock hypervisor measures the image file");
      process.kill(-(demo.pid ?? 0), signal);
      expect(await ended(demo)).toBe(signal === "SIGINT" ? 130 : 143);
      await expect.poll(() => readdirSync(folder), { timeout: 10_000 }).toEqual([]);
      expect(() => process.kill(-(demo.pid ?? 0), 0)).toThrow(/ESRCH/);
    },
  );

  test("by a reader that stops reading cleans up", { timeout: 60_000 }, async () => {
    const demo = startDemo();
    await said(demo, "each owner makes a KMS key");
    demo.stdout?.destroy();
    expect(await ended(demo)).toBe(143);
    await expect.poll(() => readdirSync(folder), { timeout: 10_000 }).toEqual([]);
  });
});
