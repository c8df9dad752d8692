/**
 * Emulated enclaves inside their keeper: for each the processes that its launcher asked for.
 *
 * @module
 */
import { rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import { LauncherError } from "../../shared/errors/launcher.ts";
import { type EnclaveDescription, unknownEnclave } from "../../shared/launcher.ts";
import { readConsolePart } from "./console-file.ts";
import type { Backend, ConsolePart, RecordProcesses, RunRequest } from "./keeper.ts";
import type { ProcessIdentity } from "./process-identity.ts";
import { readGuests } from "./process-spec.ts";
import { STATE_FILES } from "./state-files.ts";
import { Supervised } from "./supervised.ts";

interface Kept {
  readonly description: Omit<EnclaveDescription, "state" | "processIds">;
  readonly enclave: string;
  readonly folder: string;
  readonly supervised: Supervised;
  terminating: Promise<void> | undefined;
}

export class EmulatedBackend implements Backend {
  readonly #folder: string;
  readonly #record: RecordProcesses;
  readonly #kept = new Map<string, Kept>();
  readonly #cids = new Set<number>();
  /** By enclave, also while it comes up. */
  readonly #processes = new Map<string, readonly ProcessIdentity[]>();
  readonly #closing = new AbortController();
  readonly #starting = new Set<Promise<unknown>>();

  constructor(folder: string, record: RecordProcesses) {
    this.#folder = folder;
    this.#record = record;
  }

  async run(request: RunRequest, signal: AbortSignal): Promise<EnclaveDescription> {
    const { cid } = request;
    if (this.#cids.has(cid)) throw new LauncherError("ERR_LAUNCHER_CID_TAKEN", { cid });
    this.#cids.add(cid);
    const starting = this.#start(request, AbortSignal.any([signal, this.#closing.signal]));
    this.#starting.add(starting);
    try {
      return await starting;
    } catch (error) {
      this.#cids.delete(cid);
      throw error;
    } finally {
      this.#starting.delete(starting);
    }
  }

  async #start(request: RunRequest, signal: AbortSignal): Promise<EnclaveDescription> {
    const { cid, cpuCount, memoryMiB, debug, image } = request;
    const { enclaveId, processes, enclave, peer, attestationRoot, folder } = readGuests(request.extra);
    if (dirname(folder) !== join(this.#folder, STATE_FILES.enclaves)) throw new TypeError("a folder of this keeper");
    const onStarted = (identities: readonly ProcessIdentity[]): void => this.#write(enclaveId, identities);
    const supervised = await Supervised.start(processes, { folder, signal, onStarted }).catch(
      async (error: unknown) => {
        // Its signing key lies there, and whoever asked may be gone.
        await rm(folder, { recursive: true, force: true });
        throw error;
      },
    );
    const identity = { enclaveId, platform: "emulated", trust: "mock", attestationRoot } as const;
    const startedAt = new Date().toISOString();
    const resources = { cid, cpuCount, memoryMiB, debug, pcrs: image.pcrs, peer };
    const description = { ...identity, ...resources, startedAt, bootRetries: supervised.retries };
    this.#kept.set(enclaveId, { description, enclave, folder, supervised, terminating: undefined });
    return this.#describe(this.#find(enclaveId));
  }

  list(): readonly EnclaveDescription[] {
    return [...this.#kept.values()].map((kept) => this.#describe(kept));
  }

  async readConsole(enclaveId: string, offset: number): Promise<ConsolePart> {
    const { description, supervised, enclave } = this.#find(enclaveId);
    if (!description.debug) throw new LauncherError("ERR_LAUNCHER_NO_CONSOLE", { enclaveId });
    const ended = !supervised.isRunning(enclave);
    return { ...(await readConsolePart(supervised.consoleOf(enclave), offset)), ended };
  }

  async terminate(enclaveId: string): Promise<void> {
    const kept = this.#find(enclaveId);
    if (kept.terminating !== undefined) throw unknownEnclave(enclaveId);
    kept.terminating = this.#end(enclaveId, kept).catch((error: unknown) => {
      kept.terminating = undefined;
      throw error;
    });
    await kept.terminating;
  }

  async #end(enclaveId: string, kept: Kept): Promise<void> {
    await kept.supervised.end();
    await rm(kept.folder, { recursive: true, force: true });
    this.#kept.delete(enclaveId);
    this.#cids.delete(kept.description.cid);
  }

  async close(): Promise<void> {
    this.#closing.abort();
    await Promise.allSettled(this.#starting);
    await Promise.allSettled([...this.#kept].map(([enclaveId, kept]) => kept.terminating ?? this.terminate(enclaveId)));
  }

  #describe({ description, supervised, enclave, terminating }: Kept): EnclaveDescription {
    const state = terminating !== undefined ? "terminating" : supervised.isRunning(enclave) ? "running" : "exited";
    return { ...description, state, processIds: supervised.identities.map(({ pid }) => pid) };
  }

  #find(enclaveId: string): Kept {
    const kept = this.#kept.get(enclaveId);
    if (!kept) throw unknownEnclave(enclaveId);
    return kept;
  }

  #write(enclaveId: string, identities: readonly ProcessIdentity[]): void {
    if (identities.length === 0) this.#processes.delete(enclaveId);
    else this.#processes.set(enclaveId, identities);
    this.#record([...this.#processes.values()].flat());
  }
}
