/**
 * The launcher of the emulated enclave: QEMU and what it needs, by command lines that the caller makes.
 *
 * @module
 */
import { randomBytes } from "node:crypto";
import { mkdir, rm } from "node:fs/promises";
import { join, resolve } from "node:path";
import type { Launcher } from "../../shared/launcher.ts";
import type { Json } from "../../shared/transport/json.ts";
import { newModuleId } from "../nsm/hypervisor.ts";
import { KeptLauncher } from "./kept-launcher.ts";
import { MOCK_INSTANCE } from "./mock-backend.ts";
import type { EmulatedGuests } from "./process-spec.ts";
import { STATE_FILES } from "./state-files.ts";

/** What a command line is made from. */
export interface EmulatedLaunch {
  readonly eifPath: string;
  readonly cid: number;
  readonly cpuCount: number;
  readonly memoryMiB: number;
  /** The enclave's id, which its documents will give as `module_id`. */
  readonly enclaveId: string;
  readonly instanceId: string;
  readonly parentRoleArn: string;
  /** An empty folder of this enclave alone, for its sockets and consoles. It goes with the enclave. */
  readonly folder: string;
}

export interface EmulatedLauncherOptions {
  /** Holds the enclaves' folders and the socket of the process that keeps them. At most 60 bytes, this user's alone. */
  readonly stateFolder: string;
  /** Says which processes to run. They get no environment, so files are named by path. */
  readonly commands: (launch: EmulatedLaunch) => EmulatedGuests | Promise<EmulatedGuests>;
  /** The module of the process that keeps the enclaves. Default: this package's. */
  readonly keeper?: URL;
}

const KEEPER = new URL(`./emulated-keeper.${import.meta.url.endsWith(".ts") ? "ts" : "js"}`, import.meta.url);

export function createEmulatedLauncher(options: EmulatedLauncherOptions): Launcher {
  const { stateFolder, commands, keeper = KEEPER } = options;
  return new KeptLauncher({
    platform: "emulated",
    stateFolder,
    module: keeper,
    async prepare({ eifPath, cid, cpuCount, memoryMiB }) {
      const bytes = (length: number): Uint8Array => new Uint8Array(randomBytes(length));
      const { instanceId, parentRoleArn } = MOCK_INSTANCE;
      const enclaveId = newModuleId({ ...MOCK_INSTANCE, now: () => new Date(), randomBytes: bytes });
      const folder = join(resolve(stateFolder), STATE_FILES.enclaves, enclaveId.slice(-16));
      await mkdir(folder, { recursive: true, mode: 0o700 });
      const discard = (): Promise<void> => rm(folder, { recursive: true, force: true });
      try {
        const launch = { eifPath, cid, cpuCount, memoryMiB, enclaveId, instanceId, parentRoleArn, folder };
        const guests = await commands(launch);
        return { extra: { ...guests, enclaveId, folder } as unknown as Json, discard };
      } catch (error) {
        await discard();
        throw error;
      }
    },
  });
}
