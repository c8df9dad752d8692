/**
 * A PKCS#11 token in a process of its own, and the way to ask it.
 *
 * Every call has a deadline; one that is missed ends the process, and with it every call that waits. The PIN goes to
 * the process by its channel: neither its arguments nor an error holds it.
 *
 * @module
 */
import { type ChildProcess, spawn } from "node:child_process";
import { type CallFailure, type Question, type Reply, type TokenCalls, tokenProgram } from "./pkcs11-program.ts";

export interface TokenProcessOptions {
  /** Path of the pkcs11js package. */
  readonly pkcs11js: string;
  /** The whole environment of the process; absent, this process's own. */
  readonly environment?: Readonly<Record<string, string>>;
  readonly timeoutMs: number;
}

/** A call that the token did not do. */
export class TokenFailure extends Error {
  override readonly name = "TokenFailure";
  readonly kind: CallFailure["kind"] | "late" | "ended";
  readonly step: string;
  readonly reason: string;
  constructor({ kind, step, reason }: Pick<TokenFailure, "kind" | "step" | "reason">) {
    super(`${step}: ${kind}, ${reason}`);
    this.kind = kind;
    this.step = step;
    this.reason = reason;
  }
}

interface Waiting {
  readonly step: string;
  readonly timer: NodeJS.Timeout;
  resolve(value: unknown): void;
  reject(error: TokenFailure): void;
}

export class TokenProcess implements AsyncDisposable {
  readonly #child: ChildProcess;
  readonly #timeoutMs: number;
  readonly #waiting = new Map<number, Waiting>();
  readonly #ended: Promise<void>;
  #nextId = 1;
  #reason: { readonly kind: "late" | "ended"; readonly reason: string } | undefined;

  constructor({ pkcs11js, environment, timeoutMs }: TokenProcessOptions) {
    this.#timeoutMs = timeoutMs;
    this.#child = spawn(process.execPath, ["--input-type=commonjs", "-e", tokenProgram(pkcs11js)], {
      stdio: ["ignore", "ignore", "inherit", "ipc"],
      serialization: "advanced",
      ...(environment ? { env: environment } : {}),
    });
    this.#ended = new Promise((resolve) => {
      this.#child.once("exit", (code, signal) => {
        this.#end({ kind: "ended", reason: `the process ended with ${signal ?? code}` });
        resolve();
      });
      this.#child.once("error", (error) => {
        this.#end({ kind: "ended", reason: error.message });
        resolve();
      });
    });
    this.#child.on("message", (reply) => this.#settle(reply as Reply));
  }

  /** @throws {TokenFailure} */
  call<Call extends keyof TokenCalls>(
    call: Call,
    argument: Parameters<TokenCalls[Call]>[0],
  ): Promise<ReturnType<TokenCalls[Call]>> {
    return new Promise((resolve, reject) => {
      if (this.#reason) throw new TokenFailure({ kind: "ended", step: call, reason: this.#reason.reason });
      const id = this.#nextId++;
      const late = { kind: "late", reason: `no answer in ${this.#timeoutMs} ms` } as const;
      const timer = setTimeout(() => this.#end(late), this.#timeoutMs);
      this.#waiting.set(id, { step: call, timer, resolve: resolve as Waiting["resolve"], reject });
      const question: Question = { id, call, argument };
      // A channel that is closed tells so by `exit` too, which settles what waits.
      this.#child.send(question, () => undefined);
    });
  }

  /** Ends the process at once: the token's own transactions are complete when a call has answered. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#end({ kind: "ended", reason: "closed" });
    await this.#ended;
  }

  #settle(reply: Reply): void {
    const waiting = this.#waiting.get(reply.id);
    if (!waiting) return;
    this.#waiting.delete(reply.id);
    clearTimeout(waiting.timer);
    if ("failure" in reply) waiting.reject(new TokenFailure(reply.failure));
    else waiting.resolve(reply.result);
  }

  #end(reason: { readonly kind: "late" | "ended"; readonly reason: string }): void {
    this.#reason ??= reason;
    this.#child.kill("SIGKILL");
    for (const { step, timer, reject } of this.#waiting.values()) {
      clearTimeout(timer);
      reject(new TokenFailure({ ...this.#reason, step }));
    }
    this.#waiting.clear();
  }
}
