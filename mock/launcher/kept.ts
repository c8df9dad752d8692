/**
 * The asking half: a launcher whose enclaves live in a keeper process of their own (`keeper.ts`).
 *
 * A keeper that answers is used. One that does not and whose process runs is waited for, then refused; it is never
 * ended. What one left whose process is gone is cleared away, by whoever starts or ends an enclave and never by whoever
 * looks: the processes that it wrote down are ended if they are still the same ones, and its files are removed. Only one
 * launcher at a time does so.
 *
 * @module
 */
import { type ChildProcess, spawn } from "node:child_process";
import { mkdir, open, readFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { ERROR_CODES, isTransportError, LauncherError, RemoteError } from "../../shared/errors/index.ts";
import { LAUNCHER_TABLE, type LauncherCode } from "../../shared/errors/launcher.ts";
import { type Channel, openChannel } from "../../shared/transport/channel.ts";
import type { Json } from "../../shared/transport/json.ts";
import { createUnixTransport } from "../../transport/unix.ts";
import { isRunning, killRecorded, type ProcessIdentity } from "./process-identity.ts";
import { removeStateFiles, STATE_FILES } from "./state-files.ts";
import { openStateFolder, stateFolderExists, withLock } from "./state-folder.ts";

export interface KeeperOptions {
  /** This user's alone; made if it is not there. */
  readonly stateFolder: string;
  /** The module that the keeper process runs, with the folder as its working directory. */
  readonly module: URL;
}

const STOP_TIMEOUT_MS = 5_000;
/** How long a keeper that runs may take to listen, or to end. */
export const SETTLE_TIMEOUT_MS = 10_000;
const SETTLE_POLL_MS = 50;
export const READY_TIMEOUT_MS = 30_000;
const ATTEMPTS = 20;

/** An open connection to a keeper. */
export class KeeperConnection implements AsyncDisposable {
  readonly #channel: Channel;

  constructor(channel: Channel) {
    this.#channel = channel;
  }

  /**
   * A signal that aborts ends the connection, by which the keeper calls the request off; what it answers is waited for.
   *
   * @throws {LauncherError | RemoteError} what the keeper refused
   */
  async call<Result>(
    method: string,
    params: object,
    { signal, ...options }: { readonly timeoutMs?: number; readonly signal?: AbortSignal } = {},
  ): Promise<Result> {
    signal?.throwIfAborted();
    const callOff = (): void => void this.#channel.close();
    signal?.addEventListener("abort", callOff, { once: true });
    try {
      const answer = (await this.#channel.request(method, params as Json, options)) as Answer<Result>;
      if ("error" in answer) throw errorFrom(answer.error);
      return answer.ok;
    } finally {
      signal?.removeEventListener("abort", callOff);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#channel.close();
  }
}

type Answer<Result> = { readonly ok: Result } | { readonly error: KeeperRefusal };

interface KeeperRefusal {
  readonly code: string;
  readonly message: string;
  readonly details: Readonly<Record<string, unknown>>;
}

function errorFrom({ code, message, details }: KeeperRefusal): Error {
  if (Object.hasOwn(LAUNCHER_TABLE, code)) return new LauncherError(code as LauncherCode, details as never);
  const kind = Object.hasOwn(ERROR_CODES, code) ? ERROR_CODES[code] : undefined;
  return kind === undefined
    ? new Error(`the keeper failed: ${message}`)
    : new RemoteError(code, kind, message, details);
}

/** Connects to the keeper of a folder, starting one if there is none. */
export async function connectOrStart(options: KeeperOptions): Promise<KeeperConnection> {
  const folder = resolve(options.stateFolder);
  await openStateFolder(folder);
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    const running = await connect(folder);
    if (running) return running;
    await withLock(folder, async () => {
      const meanwhile = await connectUnlessGone(folder);
      if (meanwhile) return meanwhile[Symbol.asyncDispose]();
      await clearAway(folder);
      await startKeeper(folder, options);
    });
  }
  throw new LauncherError("ERR_LAUNCHER_TOOL_FAILED", { tool: "the keeper", reason: "it ends as soon as it starts" });
}

/** Connects to the keeper of a folder; `undefined` if none runs. Changes nothing. */
export async function connectIfRunning({ stateFolder }: KeeperOptions): Promise<KeeperConnection | undefined> {
  const folder = resolve(stateFolder);
  if (!(await stateFolderExists(folder))) return undefined;
  await openStateFolder(folder);
  return connectUnlessGone(folder);
}

/** As `connectIfRunning`, but what a dead keeper left is cleared away. */
export async function connectOrClearAway(options: KeeperOptions): Promise<KeeperConnection | undefined> {
  const running = await connectIfRunning(options);
  const folder = resolve(options.stateFolder);
  if (running || !(await stateFolderExists(folder))) return running;
  return withLock(folder, async () => {
    const meanwhile = await connectUnlessGone(folder);
    if (!meanwhile) await clearAway(folder);
    return meanwhile;
  });
}

/**
 * `undefined` only if no keeper runs: one that does not listen may be about to, or about to end.
 *
 * @throws {LauncherError} `ERR_LAUNCHER_TOOL_FAILED` it runs and does not listen
 */
async function connectUnlessGone(folder: string): Promise<KeeperConnection | undefined> {
  const deadline = performance.now() + SETTLE_TIMEOUT_MS;
  for (;;) {
    const running = await connect(folder);
    if (running) return running;
    const { keeper } = await recorded(folder);
    if (!keeper || !(await isRunning(keeper))) return undefined;
    if (performance.now() > deadline) {
      const reason = `process ${keeper.pid} runs and does not listen`;
      throw new LauncherError("ERR_LAUNCHER_TOOL_FAILED", { tool: "the keeper", reason });
    }
    await new Promise((done) => setTimeout(done, SETTLE_POLL_MS));
  }
}

/** `undefined` when nobody listens, or the keeper is about to end. */
async function connect(folder: string): Promise<KeeperConnection | undefined> {
  const path = join(folder, STATE_FILES.socket);
  try {
    const socket = await createUnixTransport().connect({ kind: "unix", path });
    const connection = new KeeperConnection(openChannel(socket, { peer: `unix://${path}` }));
    await connection.call("hello", {});
    return connection;
  } catch (error) {
    if (isTransportError(error)) {
      const { code, details } = error;
      if (code === "ERR_TRANSPORT_CLOSED") return undefined;
      const reason = "reason" in details ? details.reason : "";
      if (code === "ERR_TRANSPORT_UNREACHABLE" && ["ENOENT", "ECONNREFUSED", "ECONNRESET"].includes(reason)) {
        return undefined;
      }
    }
    throw error;
  }
}

/** Under the lock, once its keeper is gone: what that one started is ended, what it made is removed. */
async function clearAway(folder: string): Promise<void> {
  const { children } = await recorded(folder);
  for (const identity of children) await killRecorded(identity, STOP_TIMEOUT_MS);
  removeStateFiles(folder);
}

interface Recorded {
  readonly keeper: ProcessIdentity | undefined;
  readonly children: readonly ProcessIdentity[];
}

/** The first that is written down is the keeper. Without it nothing can be concluded of the others. */
async function recorded(folder: string): Promise<Recorded> {
  const [first, ...rest] = parseList(await readRecord(folder));
  if (!isIdentity(first)) return { keeper: undefined, children: [] };
  return { keeper: first, children: rest.filter(isIdentity).filter(({ pid }) => pid !== process.pid) };
}

function isIdentity(entry: unknown): entry is ProcessIdentity {
  const { pid, ticks } = (entry ?? {}) as Record<string, unknown>;
  // 0 and 1 and what is negative mean groups, everyone or init.
  return Number.isSafeInteger(pid) && (pid as number) > 1 && (ticks === null || Number.isSafeInteger(ticks));
}

async function readRecord(folder: string): Promise<string> {
  try {
    return await readFile(join(folder, STATE_FILES.processes), "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return "[]";
    throw error;
  }
}

function parseList(text: string): readonly unknown[] {
  try {
    const value: unknown = JSON.parse(text);
    return Array.isArray(value) ? value : [];
  } catch (error) {
    // Nothing can be concluded from a broken file, so nothing is signalled.
    if (error instanceof SyntaxError) return [];
    throw error;
  }
}

async function startKeeper(folder: string, { module }: KeeperOptions): Promise<void> {
  const temporary = join(folder, STATE_FILES.temporary);
  await mkdir(temporary, { mode: 0o700 });
  await using log = await open(join(folder, STATE_FILES.log), "w", 0o600);
  const child = spawn(process.execPath, [fileURLToPath(module)], {
    env: { TMPDIR: temporary },
    cwd: folder,
    detached: true,
    stdio: ["ignore", "pipe", log.fd],
  });
  try {
    await ready(child);
  } catch (error) {
    child.kill("SIGKILL");
    throw error;
  }
  child.stdout?.destroy();
  child.unref();
}

/** Its first line says that it listens. */
async function ready(child: ChildProcess): Promise<void> {
  const tool = "the keeper";
  let timer: NodeJS.Timeout | undefined;
  try {
    await new Promise<void>((resolve, reject) => {
      const fail = (reason: string): void => reject(new LauncherError("ERR_LAUNCHER_TOOL_FAILED", { tool, reason }));
      const late = new LauncherError("ERR_LAUNCHER_TIMEOUT", { tool, timeoutMs: READY_TIMEOUT_MS });
      timer = setTimeout(() => reject(late), READY_TIMEOUT_MS);
      child.once("error", (error: NodeJS.ErrnoException) => fail(error.code ?? "unknown"));
      child.once("exit", (code) => fail(code === null ? "a signal" : `exit code ${code}`));
      child.stdout?.once("data", () => resolve());
    });
  } finally {
    clearTimeout(timer);
  }
}
