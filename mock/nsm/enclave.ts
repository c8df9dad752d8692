/**
 * One enclave of the mock hypervisor: a folder with the image's files, a process in it, an NSM for it alone.
 *
 *   app/…      the image's files, read-only
 *   nsm.sock   its NSM
 *   parent     → <vsock>/3        it dials unix://./parent/<port>
 *   self       → <vsock>/<cid>    it listens at unix://./self/<port>
 *
 * The process gets no environment, no arguments and no descriptor but its standard ones. Its output is kept in debug
 * mode only, as on Nitro.
 *
 * @module
 */
import { type ChildProcess, spawn } from "node:child_process";
import { lstat, mkdir, mkdtemp, readdir, rm, symlink } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import type { NsmExchange } from "../../shared/nsm/device.ts";
import { ENTRY, unpack } from "./image.ts";
import { serveNsm } from "./serve.ts";

export interface EnclaveOptions {
  readonly files: ReadonlyMap<string, Uint8Array>;
  readonly nsm: NsmExchange;
  readonly cid: number;
  readonly debug: boolean;
  /** The folder in which each context id has a folder of sockets. */
  readonly vsock: string;
}

const PARENT_CID = 3;
const CONSOLE_BYTES = 64 * 1024;

export class RunningEnclave implements AsyncDisposable {
  readonly cid: number;
  readonly debug: boolean;
  readonly #folder: string;
  readonly #sockets: string;
  readonly #nsm: AsyncDisposable;
  readonly #child: ChildProcess;
  readonly #ended: Promise<void>;
  #console: Buffer = Buffer.alloc(0);

  private constructor(options: EnclaveOptions, folder: string, nsm: AsyncDisposable) {
    this.cid = options.cid;
    this.debug = options.debug;
    this.#folder = folder;
    this.#sockets = socketFolder(options.vsock, options.cid);
    this.#nsm = nsm;
    this.#child = spawn(process.execPath, [ENTRY], {
      cwd: folder,
      env: {},
      detached: true,
      stdio: options.debug ? ["ignore", "pipe", "pipe"] : "ignore",
    });
    this.#ended = new Promise((done) => {
      this.#child.once("close", () => done());
      this.#child.once("error", () => done());
    });
    // An enclave ends with its first process; what that process started ends with it.
    this.#child.once("exit", () => this.#killGroup());
    for (const output of [this.#child.stdout, this.#child.stderr]) {
      output?.on("data", (chunk: Buffer) => {
        this.#console = Buffer.concat([this.#console, chunk]).subarray(-CONSOLE_BYTES);
      });
    }
  }

  static async start(options: EnclaveOptions): Promise<RunningEnclave> {
    const folder = await mkdtemp(join(tmpdir(), "enclave-"));
    let nsm: AsyncDisposable | undefined;
    try {
      await unpack(options.files, folder);
      for (const [link, cid] of [["parent", PARENT_CID] as const, ["self", options.cid] as const]) {
        const target = socketFolder(options.vsock, cid);
        await mkdir(target, { recursive: true, mode: 0o700 });
        await symlink(target, join(folder, link));
      }
      await removeSockets(socketFolder(options.vsock, options.cid));
      nsm = await serveNsm(join(folder, "nsm.sock"), options.nsm);
      return new RunningEnclave(options, folder, nsm);
    } catch (error) {
      await nsm?.[Symbol.asyncDispose]();
      await rm(folder, { recursive: true, force: true });
      throw error;
    }
  }

  get running(): boolean {
    return this.#child.pid !== undefined && this.#child.exitCode === null && this.#child.signalCode === null;
  }

  /** `null` while it runs, or when a signal ended it. */
  get exitCode(): number | null {
    return this.#child.exitCode;
  }

  /** The end of what it has written, at most 64 KiB; empty without debug mode. */
  get console(): string {
    return this.#console.toString("utf8");
  }

  /** Resolves when the process has ended. */
  get ended(): Promise<void> {
    return this.#ended;
  }

  /** Without waiting; for a process that is about to end itself. */
  kill(): void {
    if (this.running) this.#killGroup();
  }

  #killGroup(): void {
    if (this.#child.pid === undefined) return;
    try {
      process.kill(-this.#child.pid, "SIGKILL");
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.kill();
    await this.#ended;
    await this.#nsm[Symbol.asyncDispose]();
    await rm(this.#folder, { recursive: true, force: true });
    await removeSockets(this.#sockets);
  }
}

function socketFolder(vsock: string, cid: number): string {
  return resolve(vsock, String(cid));
}

/** What a killed process leaves behind can not be bound again. Only sockets go. */
async function removeSockets(folder: string): Promise<void> {
  for (const name of await readdir(folder)) {
    const path = join(folder, name);
    if ((await lstat(path)).isSocket()) await rm(path, { force: true });
  }
}
