/**
 * Drives a process by JSON lines: a child on its standard input and output, or whatever is behind a pair of streams.
 *
 *   → {"id":1,"method":"run","params":{…}}      ← {"id":1,"result":{…}}  or  {"id":1,"error":{"code","message",…}}
 *
 * An id is an integer. Who sends something else, or a line without an end, is hung up on; who does not read the answers
 * is not listened to meanwhile. Whatever comes, and whatever a handler gives, the process that serves goes on.
 *
 * For processes that the same person starts on the same machine (the mock hypervisor, the mock AWS, the parent):
 * there is no port to reach them by. A child ends when its standard input ends.
 *
 * @module
 */
import { type ChildProcess, spawn } from "node:child_process";
import type { Readable, Writable } from "node:stream";
import { setImmediate as turn } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { isToolkitError } from "../shared/errors/index.ts";
import { readLines } from "./lines.ts";

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

export interface ControlLimits {
  /** Longest line that is read, in bytes; 64 MiB of a request and 512 MiB of an answer if absent. */
  readonly maxLineBytes?: number;
}

const REQUEST_MAX = 64 * 1024 * 1024;
const ANSWER_MAX = 512 * 1024 * 1024;
/** Requests that wait for their answer; one more is refused. */
const WAITING_MAX = 1_024;

/** Serves requests until the input ends; `onEnd` then stops the process. */
export function serveControl(
  input: Readable,
  output: Writable,
  handlers: ControlHandlers,
  onEnd: () => void,
  { maxLineBytes = REQUEST_MAX }: ControlLimits = {},
): void {
  for (const stream of [input, output]) stream.on("error", () => input.destroy()); // the other end is gone
  // A line that is none, or that has no end, is hung up on as well: there is nobody to tell.
  serveLines(readLines(input, maxLineBytes), output, handlers)
    .catch(() => input.destroy())
    .finally(onEnd);
}

async function serveLines(lines: AsyncIterable<string>, output: Writable, handlers: ControlHandlers): Promise<void> {
  let waiting = 0;
  for await (const line of lines) {
    const request = readRequest(line);
    waiting++;
    const answering = waiting > WAITING_MAX ? refuse(request.id, "too many requests wait") : answer(request, handlers);
    void answering.then((reply) => {
      waiting--;
      if (output.writable) output.write(`${reply}\n`);
    });
    // What can be answered at once is, before the next is looked at: only so does the output tell that nobody reads.
    await turn();
    if (output.writableNeedDrain) await drained(output);
  }
}

interface ControlRequest {
  readonly id: number;
  readonly method: unknown;
  readonly params: unknown;
}

/** @throws {SyntaxError} it can not be answered: no JSON object, or none with an integer as id */
function readRequest(line: string): ControlRequest {
  const value: unknown = JSON.parse(line);
  if (!isObject(value) || !Number.isSafeInteger(value["id"])) throw new SyntaxError("not a control request");
  return { id: value["id"] as number, method: value["method"], params: value["params"] };
}

/** JSON in any case. */
async function answer({ id, method, params = {} }: ControlRequest, handlers: ControlHandlers): Promise<string> {
  try {
    const handler = typeof method === "string" && Object.hasOwn(handlers, method) ? handlers[method] : undefined;
    if (!handler) return await refuse(id, `no control method ${typeof method === "string" ? method : "of that type"}`);
    if (!isObject(params)) return await refuse(id, "params must be an object");
    return JSON.stringify({ id, result: (await handler(params)) ?? null });
  } catch (error) {
    if (isToolkitError(error)) return JSON.stringify({ id, error: error.toJSON() });
    return refuse(id, error instanceof Error ? error.message : "a failure without a name");
  }
}

async function refuse(id: number, message: string): Promise<string> {
  return JSON.stringify({ id, error: { code: "ERR_CONTROL", message, details: {} } });
}

function drained(output: Writable): Promise<void> {
  const events = ["drain", "close", "error"];
  return new Promise((resolve) => {
    const done = (): void => {
      for (const event of events) output.off(event, done);
      resolve();
    };
    for (const event of events) output.on(event, done);
    if (output.destroyed) done();
  });
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

  constructor(input: Readable, output: Writable, { maxLineBytes = ANSWER_MAX }: ControlLimits = {}) {
    this.#output = output;
    for (const stream of [input, output]) stream.on("error", (error) => this.fail(error));
    void this.#listen(readLines(input, maxLineBytes));
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

  async #listen(lines: AsyncIterable<string>): Promise<void> {
    try {
      for await (const line of lines) this.#settle(line);
      this.fail(new Error("the process has ended"));
    } catch (cause) {
      this.fail(new Error("the process does not speak the control protocol, or has ended", { cause }));
    }
  }

  /** @throws {SyntaxError} not an answer, or to nothing that was asked */
  #settle(line: string): void {
    const reply: unknown = JSON.parse(line);
    const id = isObject(reply) ? reply["id"] : undefined;
    const waiting = typeof id === "number" ? this.#waiting.get(id) : undefined;
    if (!isObject(reply) || !waiting) throw new SyntaxError("not an answer");
    const error = reply["error"] === undefined ? undefined : readRefusal(reply["error"]);
    this.#waiting.delete(id as number);
    if (error) waiting.reject(error);
    else waiting.resolve(reply["result"]);
  }
}

function readRefusal(value: unknown): ControlError {
  const { code, message, details } = isObject(value) ? value : {};
  if (typeof code !== "string" || typeof message !== "string" || !isObject(details))
    throw new SyntaxError("not a refusal");
  return new ControlError(code, message, details);
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
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
