/**
 * Drives a process by JSON lines: a child on its standard input and output, or whatever is behind a pair of streams.
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
  const tell = (reply: object): void => void output.write(`${JSON.stringify(reply)}\n`);
  lines.on("line", (line) => void answer(line, handlers).then(tell, () => input.destroy()));
  lines.on("error", () => input.destroy()); // a socket whose other end is gone
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

/** Asks what `serveControl` answers, over any pair of streams. */
export class ControlClient {
  readonly #output: Writable;
  readonly #waiting = new Map<number, Waiting>();
  #nextId = 1;
  #failure: Error | undefined;

  constructor(input: Readable, output: Writable) {
    this.#output = output;
    createInterface({ input })
      .on("line", (line) => this.#settle(line))
      .on("error", (error) => this.fail(error))
      .once("close", () => this.fail(new Error("the process has ended")));
    output.on("error", (error) => this.fail(error));
  }

  /** @throws {ControlError} the process refused; `Error` when it is gone */
  async call<Result>(method: string, params: object = {}): Promise<Result> {
    if (this.#failure) throw this.#failure;
    const id = this.#nextId++;
    return new Promise<Result>((resolve, reject) => {
      this.#waiting.set(id, { resolve: (value) => resolve(value as Result), reject });
      this.#output.write(`${JSON.stringify({ id, method, params })}\n`);
    });
  }

  /** Refuses what waits and every later call; the first reason stays. */
  fail(error: Error): void {
    this.#failure ??= error;
    for (const { reject } of this.#waiting.values()) reject(this.#failure);
    this.#waiting.clear();
  }

  #settle(line: string): void {
    let reply: {
      id: number;
      result?: unknown;
      error?: { code: string; message: string; details: Record<string, unknown> };
    };
    try {
      reply = JSON.parse(line);
    } catch (cause) {
      this.fail(new Error("the process does not speak the control protocol", { cause }));
      return;
    }
    const waiting = this.#waiting.get(reply.id);
    this.#waiting.delete(reply.id);
    if (reply.error) waiting?.reject(new ControlError(reply.error.code, reply.error.message, reply.error.details));
    else waiting?.resolve(reply.result);
  }
}

/** A child process and the way to talk to it. */
export class ControlledProcess implements AsyncDisposable {
  readonly #child: ChildProcess;
  readonly #client: ControlClient;
  readonly #exited: Promise<number | null>;

  constructor(child: ChildProcess) {
    const { stdin, stdout } = child;
    if (!stdin || !stdout) throw new TypeError("the child's standard input and output must be pipes");
    this.#child = child;
    this.#client = new ControlClient(stdout, stdin);
    this.#exited = new Promise((resolve) => child.once("close", resolve));
    child.once("exit", (code) => this.#client.fail(new Error(`the process ended with ${code ?? "a signal"}`)));
    child.once("error", (error) => this.#client.fail(error));
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
    return this.#client.call(method, params);
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
