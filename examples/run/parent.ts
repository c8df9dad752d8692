/**
 * Builds the image and runs it behind its parent, by the command that users have: `cloister parent up --build`.
 *
 * @module
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, readFileSync } from "node:fs";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Platform } from "../../shared/launcher.ts";
import { said } from "./said.ts";

export interface ParentOptions {
  /** Takes all files; short, since Unix sockets lie in it. */
  readonly folder: string;
  readonly platform: Exclude<Platform, "nitro">;
  /** Where the parent finds each target that the enclave may reach. */
  readonly hosts: Readonly<Record<string, string>>;
  readonly credentials: object;
  /** As the enclave gets it, to the byte. */
  readonly configuration?: Uint8Array;
  /** PEM of roots beside Amazon's. */
  readonly tlsRoots: readonly string[];
}

const COMMAND = fileURLToPath(new URL("../../cli/main.js", import.meta.url));
const UP = /"event":"up"[\s\S]*clients connect to tcp:|clients connect to tcp:[\s\S]*"event":"up"/;
/** What an application with its own Node needs to boot. */
const MEMORY_MIB = 768;

/** A parent, whose enclave is up after `up`. */
export class Parent implements AsyncDisposable {
  readonly #child: ChildProcess;
  readonly #folder: string;
  #said = "";

  private constructor(child: ChildProcess, folder: string) {
    this.#child = child;
    this.#folder = folder;
    child.stderr?.on("data", (chunk: Buffer) => (this.#said += chunk.toString()));
  }

  /** The application lies in `folder`/app; the mock root in `folder`/root.json. */
  static async start(options: ParentOptions): Promise<Parent> {
    const { folder, tlsRoots } = options;
    await writeFiles(options);
    const roots = tlsRoots.flatMap((_, index) => ["--tls-root", join(folder, `tls-${index}.pem`)]);
    const up = [COMMAND, "parent", "up", "--config", join(folder, "parent.yaml"), "--build", join(folder, "app")];
    // Its launcher keeps what it knows there.
    const command = ["-u", "NOTIFY_SOCKET", `XDG_RUNTIME_DIR=${folder}`, process.execPath, ...up, ...roots];
    return new Parent(spawn("env", command, { stdio: ["ignore", "ignore", "pipe"] }), folder);
  }

  /** @throws {Error} it ended before its enclave was up */
  async up(): Promise<void> {
    await said(this.#child, UP);
  }

  /** The port of this machine where clients come in. */
  get ingressPort(): number {
    return Number(/clients connect to tcp:\/\/127\.0\.0\.1:(\d+);/.exec(this.#said)?.[1]);
  }

  /** What a client demands of this image, as JSON. */
  async policy(): Promise<{ readonly images: readonly [Readonly<Record<0 | 1 | 2, string>>] }> {
    return JSON.parse(await readFile(join(this.#folder, "app.eif.policy.json"), "utf8"));
  }

  /** What the enclave and its parent have written into their logs. */
  get log(): string {
    const file = join(this.#folder, "enclave.log");
    return this.#said + (existsSync(file) ? readFileSync(file, "utf8") : "");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const ended = once(this.#child, "exit");
    this.#child.kill("SIGTERM");
    await ended;
  }
}

async function writeFiles(options: ParentOptions): Promise<void> {
  const { folder, platform, hosts, credentials, configuration, tlsRoots } = options;
  const secret = { mode: 0o600 };
  const write = (name: string, content: string | Uint8Array): Promise<void> =>
    writeFile(join(folder, name), content, secret);
  await mkdir(join(folder, "app"), { recursive: true });
  await write("credentials.json", JSON.stringify(credentials));
  if (configuration) await write("configuration.json", configuration);
  for (const [index, pem] of tlsRoots.entries()) await write(`tls-${index}.pem`, pem);
  const allowlist = Object.keys(hosts).map((target) => ({ target, allowPrivate: true }));
  const config = {
    enclave: { platform, image: "app.eif", mockRoot: "root.json", memoryMiB: MEMORY_MIB },
    egress: { allowlist, hosts },
    credentials: { source: "file", file: "credentials.json" },
    ...(configuration && { configuration: { file: "configuration.json" } }),
    ingress: { listen: "tcp://127.0.0.1:0" },
    logs: { to: "file", file: "enclave.log" },
    // The enclave's kept connections to KMS have nobody waiting for them.
    limits: { drainMs: 500 },
  };
  // JSON is YAML.
  await write("parent.yaml", `${JSON.stringify(config, null, 2)}\n`);
}
