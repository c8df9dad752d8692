/**
 * The proxy for some minutes while everything around it fails, at moments that a seed decides (`bench/proxy/soak.ts`).
 *
 * `SOAK_MINUTES` and `SOAK_SEED` change what is run; half an hour is `make soak`.
 */
import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { text } from "node:stream/consumers";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";

const program = fileURLToPath(new URL("../../dist/bench/proxy/soak.js", import.meta.url));
const { SOAK_MINUTES: minutes = "3", SOAK_SEED: seed = "1" } = process.env;

interface Report {
  readonly whole: number;
  readonly wrong: number;
  readonly faults: number;
  readonly descriptorsLeft: number;
  readonly upstreamSocketsLeft: number;
  readonly growthMiB: number;
  readonly isAlive: boolean;
  readonly wrongs: readonly string[];
}

test.skipIf(!existsSync(program))(
  `R32: a soak of ${minutes} minutes, seed ${seed}: streams whole, nothing left open, memory flat (needs the build)`,
  async () => {
    const child = spawn(process.execPath, [program, minutes, seed], { stdio: ["ignore", "pipe", "pipe"] });
    const [output, errors] = await Promise.all([text(child.stdout), text(child.stderr)]);
    console.log(`soak: ${output.trim()}`);
    expect(errors).toBe("");
    const report = JSON.parse(output) as Report;
    expect(report).toMatchObject({ wrongs: [], wrong: 0, isAlive: true, upstreamSocketsLeft: 0 });
    expect(Math.abs(report.descriptorsLeft)).toBeLessThanOrEqual(2);
    expect(report.growthMiB).toBeLessThanOrEqual(24);
    expect(report.whole).toBeGreaterThan(100);
    expect(report.faults).toBeGreaterThan(0);
  },
  (Number(minutes) + 2) * 60_000,
);
