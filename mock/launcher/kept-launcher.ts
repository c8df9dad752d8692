/**
 * A launcher over a keeper: checks what it is asked, picks a context id, and passes the rest on.
 *
 * @module
 */
import { resolve } from "node:path";
import { isLauncherError, LauncherError } from "../../shared/errors/launcher.ts";
import { isTransportError } from "../../shared/errors/transport.ts";
import {
  CID_FIRST,
  checkEnclaveId,
  checkLaunch,
  type EnclaveDescription,
  type Launcher,
  type LaunchOptions,
  type Platform,
  unknownEnclave,
} from "../../shared/launcher.ts";
import type { Json } from "../../shared/transport/json.ts";
import {
  connectIfRunning,
  connectOrClearAway,
  connectOrStart,
  type KeeperConnection,
  type KeeperOptions,
} from "./kept.ts";

/** Launch options that were checked, with a context id. */
export type KeptLaunch = Omit<LaunchOptions, "cid"> & { readonly cid: number };

export interface KeptLauncherOptions extends KeeperOptions {
  readonly platform: Platform;
  /** Makes what the platform's keeper needs beside the options; `discard` when the enclave did not come about. */
  readonly prepare?: (launch: KeptLaunch) => Promise<{ readonly extra: Json; readonly discard: () => Promise<void> }>;
}

/** A guest may be booted three times. */
const RUN_TIMEOUT_MS = 600_000;
const TERMINATE_TIMEOUT_MS = 30_000;
const CONSOLE_POLL_MS = 200;
const CID_TRIES = 64;

export class KeptLauncher implements Launcher {
  readonly platform: Platform;
  readonly #options: KeptLauncherOptions;

  constructor(options: KeptLauncherOptions) {
    this.platform = options.platform;
    this.#options = options;
  }

  async run(options: LaunchOptions): Promise<EnclaveDescription> {
    const { cid, ...launch } = checkLaunch(this.platform, options);
    launch.signal?.throwIfAborted();
    await using keeper = await connectOrStart(this.#options);
    const eifPath = resolve(launch.eifPath);
    if (cid !== undefined) return await this.#start(keeper, { ...launch, eifPath, cid });
    const taken = new Set((await keeper.call<readonly EnclaveDescription[]>("list", {})).map((enclave) => enclave.cid));
    for (let tries = 0, next = CID_FIRST; tries < CID_TRIES; next++) {
      if (taken.has(next)) continue;
      try {
        return await this.#start(keeper, { ...launch, eifPath, cid: next });
      } catch (error) {
        // Another launcher was faster.
        if (!isLauncherError(error) || error.code !== "ERR_LAUNCHER_CID_TAKEN") throw error;
        tries++;
      }
    }
    throw new LauncherError("ERR_LAUNCHER_CID_TAKEN", { cid: CID_FIRST });
  }

  async #start(keeper: KeeperConnection, launch: KeptLaunch): Promise<EnclaveDescription> {
    const prepared = await this.#options.prepare?.(launch);
    const { signal, ...request } = launch;
    let enclave: EnclaveDescription;
    try {
      const options = { timeoutMs: RUN_TIMEOUT_MS, ...(signal && { signal }) };
      enclave = await keeper.call("run", { ...request, extra: prepared?.extra ?? null }, options);
    } catch (error) {
      // Without an answer something may still run in that folder: it is the keeper's to remove.
      if (!isTransportError(error)) await prepared?.discard();
      signal?.throwIfAborted();
      throw error;
    }
    // Its answer was on the way already.
    if (signal?.aborted) await this.terminate(enclave.enclaveId);
    signal?.throwIfAborted();
    return enclave;
  }

  async list(): Promise<readonly EnclaveDescription[]> {
    const keeper = await connectIfRunning(this.#options);
    if (!keeper) return [];
    await using connection = keeper;
    return await connection.call("list", {});
  }

  async describe(enclaveId: string): Promise<EnclaveDescription> {
    checkEnclaveId(enclaveId);
    const found = (await this.list()).find((enclave) => enclave.enclaveId === enclaveId);
    if (!found) throw unknownEnclave(enclaveId);
    return found;
  }

  async *console(enclaveId: string, { signal }: { signal?: AbortSignal } = {}): AsyncGenerator<Uint8Array, void> {
    checkEnclaveId(enclaveId);
    const keeper = await connectIfRunning(this.#options);
    if (!keeper) throw unknownEnclave(enclaveId);
    await using connection = keeper;
    for (let offset = 0; !signal?.aborted; ) {
      const part = await connection.call<Part>("console", { enclaveId, offset });
      const bytes = new Uint8Array(Buffer.from(part.bytes, "base64"));
      offset = part.next;
      if (bytes.length > 0) yield bytes;
      else if (part.ended) return;
      else await pause(CONSOLE_POLL_MS, signal);
    }
  }

  async terminate(enclaveId: string): Promise<void> {
    checkEnclaveId(enclaveId);
    const keeper = await connectOrClearAway(this.#options);
    if (!keeper) throw unknownEnclave(enclaveId);
    await using connection = keeper;
    await connection.call("terminate", { enclaveId }, { timeoutMs: TERMINATE_TIMEOUT_MS });
  }
}

interface Part {
  readonly bytes: string;
  readonly next: number;
  readonly ended: boolean;
}

function pause(ms: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((done) => {
    const finish = (): void => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", finish);
      done();
    };
    const timer = setTimeout(finish, ms);
    signal?.addEventListener("abort", finish, { once: true });
  });
}
