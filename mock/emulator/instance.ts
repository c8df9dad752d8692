/**
 * An emulated EC2 instance: a parent guest at context id 3, enclaves beside it, real kernels, real AF_VSOCK, /dev/nsm.
 *
 * Nothing here is protected from the host, and every document chains to a root made for the run: verifiers must be told
 * that root, as they must for mock mode. There is no other difference in trust, and no check is left out.
 *
 * @module
 */

import { type ChildProcess, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { access, mkdir } from "node:fs/promises";
import { join } from "node:path";
import { performance } from "node:perf_hooks";
import { setTimeout as wait } from "node:timers/promises";
import { createPki, type MockPki } from "../nsm/pki.ts";
import {
  type EmulatorFiles,
  enclaveCommand,
  type GuestSockets,
  guestSockets,
  parentCommand,
  vsockCommand,
} from "./commands.ts";
import { BootError, Guest, type GuestOptions } from "./guest.ts";
import { PARENT_CID } from "./ports.ts";
import { writeSigner } from "./signer.ts";

export interface InstanceOptions {
  readonly files: EmulatorFiles;
  /** For sockets, keys and consoles, made by the caller; of few characters, since a Unix socket's path has 107 bytes. */
  readonly folder: string;
  /** Context ids that enclaves can have, 4 or more. */
  readonly cids: readonly number[];
  /** Default `i-0123456789abcdef0`; PCR4 measures it. */
  readonly instanceId?: string;
  /** Default `arn:aws:iam::123456789012:role/parent`; PCR3 measures it. */
  readonly parentRoleArn?: string;
  /** Default `us-east-1`; only a name in certificates. */
  readonly region?: string;
}

export interface ParentImage {
  readonly kernel: string;
  readonly initrd: string;
  readonly cmdline: string;
}

export interface EmulatedEnclaveOptions {
  readonly eifPath: string;
  readonly cid: number;
  /** Default 1024. */
  readonly memoryMiB?: number;
  /** Default 2. */
  readonly cpuCount?: number;
  /** As QEMU does without our patch: documents that nobody signed, which every verifier must refuse. Default false. */
  readonly unsigned?: boolean;
}

export interface EmulatedEnclave {
  readonly guest: Guest;
  readonly moduleId: string;
  readonly sockets: GuestSockets;
}

const INSTANCE_ID = "i-0123456789abcdef0";
const PARENT_ROLE_ARN = "arn:aws:iam::123456789012:role/parent";
const PARENT_MEMORY_MIB = 512;
const SOCKETS_MS = 10_000;
const INIT_STARTED = "Run /init as init process";
const AGENT_READY = "agent: ready";

export class EmulatedInstance implements AsyncDisposable {
  readonly #options: InstanceOptions;
  readonly #pki: MockPki;
  readonly #sockets: ReadonlyMap<number, GuestSockets>;
  readonly #vsock: ChildProcess;
  readonly #guests: Guest[] = [];
  #enclaves = 0;

  private constructor(options: InstanceOptions, pki: MockPki, sockets: readonly GuestSockets[], vsock: ChildProcess) {
    this.#options = options;
    this.#pki = pki;
    this.#sockets = new Map(sockets.map((each) => [each.cid, each]));
    this.#vsock = vsock;
  }

  static async start(options: InstanceOptions): Promise<EmulatedInstance> {
    const { files, folder, cids, instanceId = INSTANCE_ID, region = "us-east-1" } = options;
    const random = (length: number): Uint8Array => new Uint8Array(randomBytes(length));
    const issuing = { region, instanceId, now: () => new Date(), randomBytes: random };
    const pki = await createPki({ ...issuing, dangerouslyExportLeafKeys: true });
    const sockets = [PARENT_CID, ...cids].map((cid) => guestSockets(folder, cid));
    const { file, args } = vsockCommand(files, { guests: sockets });
    const instance = new EmulatedInstance(
      options,
      pki,
      sockets,
      spawn(file, args, { stdio: ["ignore", "ignore", "inherit"] }),
    );
    try {
      const failed = failureOf(instance.#vsock);
      for (const { device } of sockets) await Promise.race([exists(device), failed]);
      return instance;
    } catch (error) {
      await instance[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** DER; the root of its enclaves' documents. */
  get rootCertificate(): Uint8Array {
    return this.#pki.rootCertificate;
  }

  /** How many boots were ended and begun again. */
  get retries(): number {
    return this.#guests.reduce((sum, { retries }) => sum + retries, 0);
  }

  /** @throws {BootError} */
  async bootParent(image: ParentImage): Promise<Guest> {
    const folder = join(this.#options.folder, "p");
    await mkdir(folder, { recursive: true, mode: 0o700 });
    const command = parentCommand(this.#options.files, {
      ...image,
      sockets: this.#socketsOf(PARENT_CID),
      memoryMiB: PARENT_MEMORY_MIB,
    });
    return this.#boot({ command, folder, booted: AGENT_READY });
  }

  /** Boots an image. Its NSM signs under `rootCertificate`. @throws {BootError} */
  async bootEnclave(options: EmulatedEnclaveOptions): Promise<EmulatedEnclave> {
    const { eifPath, cid, memoryMiB = 1024, cpuCount = 2, unsigned = false } = options;
    const { files, folder, instanceId = INSTANCE_ID, parentRoleArn = PARENT_ROLE_ARN } = this.#options;
    const sockets = this.#socketsOf(cid);
    const moduleId = `${instanceId}-enc${randomBytes(8).toString("hex")}`;
    const keys = join(folder, `k${this.#enclaves++}`);
    await mkdir(keys, { mode: 0o700 });
    const signer = await writeSigner(this.#pki, moduleId, keys);
    const machine = { eifPath, sockets, moduleId, instanceId, parentRoleArn, memoryMiB, cpuCount };
    const command = enclaveCommand(files, { ...machine, ...(!unsigned && { signer }) });
    const guest = await this.#boot({ command, folder: keys, booted: INIT_STARTED });
    return { guest, moduleId, sockets };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#guests.map((guest) => guest[Symbol.asyncDispose]()));
    if (this.#vsock.pid === undefined || this.#vsock.exitCode !== null || this.#vsock.signalCode !== null) return;
    const ended = new Promise((resolve) => this.#vsock.once("close", resolve));
    this.#vsock.kill("SIGKILL");
    await ended;
  }

  async #boot(options: GuestOptions): Promise<Guest> {
    const guest = await Guest.boot(options);
    this.#guests.push(guest);
    return guest;
  }

  #socketsOf(cid: number): GuestSockets {
    const sockets = this.#sockets.get(cid);
    if (!sockets) throw new RangeError(`this instance has no context id ${cid}`);
    return sockets;
  }
}

/** Rejects when the process can not be started or ends. */
function failureOf(child: ChildProcess): Promise<never> {
  const failure = new Promise<never>((_, reject) => {
    child.once("error", reject);
    child.once("exit", (code) => reject(new BootError(`vhost-device-vsock ended with ${code}`, "")));
  });
  failure.catch(() => undefined);
  return failure;
}

async function exists(path: string): Promise<void> {
  const until = performance.now() + SOCKETS_MS;
  for (;;) {
    try {
      return await access(path);
    } catch (error) {
      if (performance.now() > until) throw error;
      await wait(20);
    }
  }
}
