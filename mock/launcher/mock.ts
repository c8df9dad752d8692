/**
 * The launcher of mock mode: an enclave is a process on this host, measured as Nitro measures.
 *
 * @module
 */
import type { Launcher } from "../../shared/launcher.ts";
import { KeptLauncher } from "./kept-launcher.ts";

export interface MockLauncherOptions {
  /** Holds the sockets of the enclaves and of the process that keeps them. At most 60 bytes, this user's alone. */
  readonly stateFolder: string;
  /** The module of the process that keeps the enclaves. Default: this package's. */
  readonly keeper?: URL;
}

const KEEPER = new URL(`./mock-keeper.${import.meta.url.endsWith(".ts") ? "ts" : "js"}`, import.meta.url);

export function createMockLauncher({ stateFolder, keeper = KEEPER }: MockLauncherOptions): Launcher {
  return new KeptLauncher({ platform: "mock", stateFolder, module: keeper });
}
