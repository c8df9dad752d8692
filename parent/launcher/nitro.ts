/**
 * Runs enclaves on an EC2 instance, by AWS's `nitro-cli`, which keeps all the state.
 *
 *   1. refuse     by what was read from the image file: another platform's image, too little memory
 *   2. run        `nitro-cli run-enclave`
 *   3. compare    what nitro-cli measured with what was read; whatever goes wrong here, the enclave is terminated
 *
 * The last step finds accidents: this instance is the hostile parent, and only a document proves what runs. A
 * `run-enclave` that gave no answer may have started an enclave: it can not be told from another's and is not touched.
 *
 * @module
 */
import { readFile } from "node:fs/promises";
import { resolve } from "node:path";
import { LauncherError } from "../../shared/errors/launcher.ts";
import {
  checkEnclaveId,
  checkLaunch,
  checkMeasured,
  type EnclaveDescription,
  type Launcher,
  type LaunchOptions,
  unknownEnclave,
} from "../../shared/launcher.ts";
import { runNitroCli, streamNitroCli } from "./nitro-cli.ts";
import { ticksOf } from "./process-ticks.ts";
import { type DescribedNitroEnclave, readDescribed, readStarted, readTerminated } from "./replies.ts";

export interface NitroLauncherOptions {
  /** The executable. Default `nitro-cli`, looked up on the path that `env` names. */
  readonly file?: string;
  /** The whole environment of `nitro-cli`. */
  readonly env: Readonly<Record<string, string>>;
  /** How long a command may take, in milliseconds. Default 120 000: memory of many GiB is cleared before a boot. */
  readonly timeoutMs?: number;
}

const TIMEOUT_MS = 120_000;
/** Linux has told user space 100 ticks a second on every architecture that Nitro has. */
const TICKS_PER_SECOND = 100;

export function createNitroLauncher(options: NitroLauncherOptions): Launcher {
  return new NitroLauncher(options);
}

class NitroLauncher implements Launcher {
  readonly platform = "nitro";
  readonly #tool: { readonly file: string; readonly env: Readonly<Record<string, string>>; readonly timeoutMs: number };

  constructor({ file = "nitro-cli", env, timeoutMs = TIMEOUT_MS }: NitroLauncherOptions) {
    this.#tool = { file, env, timeoutMs };
  }

  async run(options: LaunchOptions): Promise<EnclaveDescription> {
    const { eifPath, image, cid, cpuCount, memoryMiB, debug, signal } = checkLaunch("nitro", options);
    if (cid !== undefined && (await this.#described(signal)).some((enclave) => enclave.cid === cid)) {
      throw new LauncherError("ERR_LAUNCHER_CID_TAKEN", { cid });
    }
    const args = ["run-enclave", "--eif-path", resolve(eifPath)];
    args.push("--cpu-count", String(cpuCount), "--memory", String(memoryMiB));
    if (cid !== undefined) args.push("--enclave-cid", String(cid));
    if (debug) args.push("--debug-mode");
    const { enclaveId } = readStarted(await runNitroCli(args, { ...this.#tool, ...(signal && { signal }) }));
    try {
      const enclave = await this.#find(enclaveId);
      signal?.throwIfAborted();
      if (enclave.debug !== debug) throw new LauncherError("ERR_LAUNCHER_TOOL_ANSWER", DEBUG_DIFFERS);
      if (Object.keys(enclave.pcrs).length > 0) checkMeasured(image.pcrs, enclave.pcrs);
      return { ...(await description(enclave)), pcrs: { ...image.pcrs, ...enclave.pcrs } };
    } catch (error) {
      await this.#end(enclaveId);
      throw error;
    }
  }

  async list(): Promise<readonly EnclaveDescription[]> {
    return Promise.all((await this.#described()).map(description));
  }

  async describe(enclaveId: string): Promise<EnclaveDescription> {
    return description(await this.#find(enclaveId));
  }

  async *console(enclaveId: string, { signal }: { signal?: AbortSignal } = {}): AsyncGenerator<Uint8Array, void> {
    const { debug } = await this.#find(enclaveId);
    if (!debug) throw new LauncherError("ERR_LAUNCHER_NO_CONSOLE", { enclaveId });
    yield* streamNitroCli(["console", "--enclave-id", enclaveId], { ...this.#tool, ...(signal && { signal }) });
  }

  async terminate(enclaveId: string): Promise<void> {
    await this.#find(enclaveId);
    await this.#end(enclaveId);
  }

  async #end(enclaveId: string): Promise<void> {
    readTerminated(await runNitroCli(["terminate-enclave", "--enclave-id", enclaveId], this.#tool), enclaveId);
  }

  async #described(signal?: AbortSignal): Promise<readonly DescribedNitroEnclave[]> {
    return readDescribed(await this.#describeAll(signal));
  }

  async #describeAll(signal?: AbortSignal): Promise<string> {
    return runNitroCli(["describe-enclaves"], { ...this.#tool, ...(signal && { signal }) });
  }

  async #find(enclaveId: string): Promise<DescribedNitroEnclave> {
    checkEnclaveId(enclaveId);
    const [found] = readDescribed(await this.#describeAll(), enclaveId);
    if (!found) throw unknownEnclave(enclaveId);
    return found;
  }
}

const DEBUG_DIFFERS = { tool: "nitro-cli describe-enclaves", rule: "expected Flags as it was run" };

async function description(enclave: DescribedNitroEnclave): Promise<EnclaveDescription> {
  const { enclaveId, state, cid, cpuCount, memoryMiB, debug, pcrs, processId } = enclave;
  const startedAt = await startOf(processId);
  const run = { state, cid, cpuCount, memoryMiB, debug, pcrs, processIds: [processId], startedAt };
  return {
    enclaveId,
    platform: "nitro",
    trust: "aws",
    attestationRoot: null,
    ...run,
    peer: { kind: "vsock", cid },
    bootRetries: 0,
  };
}

/** When the process that holds the enclave started; nitro-cli does not tell. */
async function startOf(processId: number): Promise<string | null> {
  try {
    const [ticks, system] = await Promise.all([ticksOf(processId), readFile("/proc/stat", "utf8")]);
    const boot = /^btime ([0-9]+)$/m.exec(system)?.[1];
    if (ticks === undefined || boot === undefined) return null;
    return new Date((Number(boot) + ticks / TICKS_PER_SECOND) * 1_000).toISOString();
  } catch (error) {
    // There is no /proc.
    if ((error as NodeJS.ErrnoException).syscall !== undefined) return null;
    throw error;
  }
}
