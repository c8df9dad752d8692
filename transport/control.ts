/**
 * Drives a child process by JSON lines on its standard input and output.
 *
 *   → {"id":1,"method":"run","params":{…}}      ← {"id":1,"result":{…}}  or  {"id":1,"error":{"code","message",…}}
 *
 * For processes that the same person starts on the same machine (the mock hypervisor, the mock AWS, the parent):
 * there is no port to reach them by. A child ends when its standard input ends.
 *
 * @module
 */
import { type ChildProcess, spawn } from "node:child_process";
import { createInterface } from "node:readline";
import type { Readable, Writable } from "node:stream";
import { fileURLToPath } from "node:url";
import { isToolkitError } from "../shared/errors/index.ts";

/** What a served process can be asked; parameters come as parsed JSON. */
export type ControlHandlers = Readonly<Record<string, (params: Readonly<Record<string, unknown>>) => unknown>>;

/** A refusal of the controlled process: its code and facts, as data. */
export class ControlError extends Error {
  override readonly name = "ControlError";
  readonly code: string;
  readonly details: Readonly<Record<string, unknown>>;
  constructor(code: string, message: string, details: Readonly<Record<string, unknown>>) {
    super(message);
    this.code = code;
    this.details = details;
  }
}

/** Serves requests until the input ends; `onEnd` then stops the process. */
export function serveControl(input: Readable, output: Writable, handlers: ControlHandlers, onEnd: () => void): void {
  const lines = createInterface({ input });
  lines.on("line", (line) => void answer(line, handlers).then((reply) => output.write(`${JSON.stringify(reply)}\n`)));
  lines.on("close", onEnd);
}

async function answer(line: string, handlers: ControlHandlers): Promise<object> {
  const { id, method, params } = JSON.parse(line) as { id: number; method: string; params?: Record<string, unknown> };
  try {
    const handler = Object.hasOwn(handlers, method) ? handlers[method] : undefined;
    if (!handler) throw new TypeError(`no control method ${method}`);
    return { id, result: (await handler(params ?? {})) ?? null };
  } catch (error) {
    if (isToolkitError(error)) return { id, error: error.toJSON() };
    const message = error instanceof Error ? error.message : String(error);
    return { id, error: { code: "ERR_CONTROL", message, details: {} } };
  }
}

interface Waiting {
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: Error) => void;
}

/** A child process and the way to talk to it. */
export class ControlledProcess implements AsyncDisposable {
  readonly #child: ChildProcess;
  readonly #waiting = new Map<number, Waiting>();
  #nextId = 1;
  #exited: Promise<number | null>;

  constructor(child: ChildProcess) {
    this.#child = child;
    this.#exited = new Promise((resolve) => child.once("close", resolve));
    if (!child.stdout) throw new TypeError("the child's standard output must be a pipe");
    createInterface({ input: child.stdout }).on("line", (line) => this.#settle(line));
    void this.#exited.then((code) => this.#fail(new Error(`the process ended with ${code ?? "a signal"}`)));
    child.once("error", (error) => this.#fail(error));
    child.stdin?.on("error", (error) => this.#fail(error));
  }

  get pid(): number {
    return this.#child.pid ?? -1;
  }

  /** Resolves with the exit code when the process has ended. */
  get exited(): Promise<number | null> {
    return this.#exited;
  }

  /** @throws {ControlError} the process refused; `Error` when it is gone */
  async call<Result>(method: string, params: object = {}): Promise<Result> {
    const id = this.#nextId++;
    if (this.#child.exitCode !== null || !this.#child.stdin?.writable) throw new Error("the process has ended");
    return new Promise<Result>((resolve, reject) => {
      this.#waiting.set(id, { resolve: (value) => resolve(value as Result), reject });
      this.#child.stdin?.write(`${JSON.stringify({ id, method, params })}\n`);
    });
  }

  #settle(line: string): void {
    const reply = JSON.parse(line) as {
      id: number;
      result?: unknown;
      error?: { code: string; message: string; details: Record<string, unknown> };
    };
    const waiting = this.#waiting.get(reply.id);
    this.#waiting.delete(reply.id);
    if (reply.error) waiting?.reject(new ControlError(reply.error.code, reply.error.message, reply.error.details));
    else waiting?.resolve(reply.result);
  }

  #fail(error: Error): void {
    for (const { reject } of this.#waiting.values()) reject(error);
    this.#waiting.clear();
  }

  /** Ends the standard input, waits 3 seconds for the process to follow, then kills it. */
  async close(): Promise<void> {
    this.#child.stdin?.end();
    const timer = setTimeout(() => this.#child.kill("SIGKILL"), 3_000);
    await this.#exited;
    clearTimeout(timer);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}

/** Starts a module of this package as a process that `serveControl`s; its standard error is passed through. */
export function startControlled(module: URL, args: readonly string[] = []): ControlledProcess {
  const { PATH = "", TMPDIR } = process.env;
  const env = { PATH, ...(TMPDIR !== undefined && { TMPDIR }) };
  return new ControlledProcess(
    spawn(process.execPath, [fileURLToPath(module), ...args], { env, stdio: ["pipe", "pipe", "inherit"] }),
  );
}
