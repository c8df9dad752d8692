/**
 * The proxies that are compared, each a process of its own between a Unix socket and one TCP server on loopback.
 *
 * @module
 */
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import type { Door } from "./client.ts";

export interface Contestant {
  readonly name: string;
  readonly door: Door;
  /** Absent for no proxy at all. */
  readonly child?: ChildProcess;
}

const started: ChildProcess[] = [];

/** A Node program of this folder; `ask` sends a line and gives the JSON of the next. */
export interface Program {
  readonly child: ChildProcess;
  readonly ready: Readonly<Record<string, unknown>>;
  ask<Answer>(line?: string): Promise<Answer>;
}

export async function startProgram(script: string, options?: object, limit?: number): Promise<Program> {
  const path = fileURLToPath(new URL(script, import.meta.url));
  const own = [process.execPath, path] as const;
  const [program, ...args] = limit === undefined ? own : ["sh", "-c", `ulimit -n ${limit}; exec "$@"`, "sh", ...own];
  const child = spawn(program, args, { stdio: ["pipe", "pipe", "inherit"] });
  started.push(child);
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const next = async (): Promise<Record<string, unknown>> => {
    const { value, done } = await lines.next();
    if (done) throw new Error(`${script} ended`);
    return JSON.parse(value) as Record<string, unknown>;
  };
  if (options) child.stdin.write(`${JSON.stringify(options)}\n`);
  const ready = await next();
  const ask = async <Answer>(line = ""): Promise<Answer> => {
    child.stdin.write(`${line}\n`);
    return (await next()) as Answer;
  };
  return { child, ready, ask };
}

export interface Setting {
  /** How many files the process may have open. */
  readonly descriptors?: number;
  readonly resolver?: { readonly servers: readonly string[] };
}

export async function startOurs(
  folder: string,
  port: number,
  { descriptors: limit, resolver }: Setting = {},
): Promise<Contestant & { readonly program: Program }> {
  const path = join(folder, "cloister.sock");
  const program = await startProgram("./ours.js", { path, port, resolver }, limit);
  return { name: "cloister", door: { path }, child: program.child, program };
}

/** Undefined where the program is not installed. */
export async function startHaproxy(folder: string, port: number): Promise<Contestant | undefined> {
  if (!isInstalled("haproxy")) return undefined;
  const path = join(folder, "haproxy.sock");
  const config = join(folder, "haproxy.cfg");
  const defaults =
    "defaults\n  mode tcp\n  timeout connect 5s\n  timeout client 1h\n  timeout server 1h\n  maxconn 8000\n";
  const listen = `listen bench\n  bind unix@${path}\n  server upstream 127.0.0.1:${port}\n`;
  writeFileSync(config, `global\n  nbthread 1\n  maxconn 8000\n${defaults}${listen}`);
  return startPeer("haproxy", { command: ["haproxy", "-db", "-f", config], path });
}

/** Undefined where the program is not installed. */
export async function startSocat(folder: string, port: number): Promise<Contestant | undefined> {
  if (!isInstalled("socat")) return undefined;
  const path = join(folder, "socat.sock");
  return startPeer("socat", {
    command: ["socat", `UNIX-LISTEN:${path},fork,backlog=4096`, `TCP:127.0.0.1:${port}`],
    path,
  });
}

async function startPeer(
  name: string,
  { command, path }: { readonly command: readonly string[]; readonly path: string },
): Promise<Contestant> {
  const [program = "", ...args] = command;
  const child = spawn(program, args, { stdio: "ignore" });
  started.push(child);
  for (let attempt = 0; attempt < 100 && !existsSync(path); attempt++)
    await new Promise((resolve) => setTimeout(resolve, 50));
  if (!existsSync(path)) throw new Error(`${name} did not start`);
  return { name, door: { path }, child };
}

function isInstalled(program: string): boolean {
  try {
    execFileSync("sh", ["-c", `command -v ${program}`], { stdio: "ignore" });
    return true;
  } catch {
    return false; // it says so by its status
  }
}

export function endAll(): void {
  for (const child of started) child.kill("SIGKILL");
}

export function residentKiB({ pid }: ChildProcess): number {
  return Number(/VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]);
}

export function descriptors({ pid }: ChildProcess): number {
  return readdirSync(`/proc/${pid}/fd`).length;
}
