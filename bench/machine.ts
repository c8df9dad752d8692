/**
 * Where a measurement was taken: without it a figure says nothing.
 *
 * @module
 */
import { execFileSync } from "node:child_process";
import { cpus, loadavg } from "node:os";

export function machine(): string {
  const [{ model } = { model: "unknown" }] = cpus();
  const load = loadavg()[0]?.toFixed(2);
  const date = new Date().toISOString().slice(0, 10);
  return `${date}, commit ${commit()}, node ${process.version}, ${cpus().length} × ${model}, load ${load} at the start`;
}

function commit(): string {
  const git = (...args: string[]): string => execFileSync("git", args, { encoding: "utf8", stdio: "pipe" }).trim();
  try {
    return (
      git("rev-parse", "--short", "HEAD") + (git("status", "--porcelain", "shared", "bench") ? " with changes" : "")
    );
  } catch {
    return "unknown";
  }
}
