/**
 * The launcher of mock mode: an enclave is a process on this host, measured as Nitro measures.
 *
 * @module
 */
import type { Launcher } from "../../shared/launcher.ts";
import type { MockRoot } from "../nsm/pki.ts";
import { rootToJson } from "../nsm/root-file.ts";
import { KeptLauncher } from "./kept-launcher.ts";

export interface MockLauncherOptions {
  /** Holds the sockets of the enclaves and of the process that keeps them. At most 60 bytes, this user's alone. */
  readonly stateFolder: string;
  /** The module of the process that keeps the enclaves. Default: this package's. */
  readonly keeper?: URL;
  /** The root of the enclaves' documents. Default: the keeper's own, which lasts as long as it keeps one. */
  readonly root?: MockRoot | undefined;
}

const KEEPER = new URL(`./mock-keeper.${import.meta.url.endsWith(".ts") ? "ts" : "js"}`, import.meta.url);

export function createMockLauncher({ stateFolder, keeper = KEEPER, root }: MockLauncherOptions): Launcher {
  const extra = root === undefined ? null : { root: rootToJson(root) };
  const prepare = async () => ({ extra, discard: async () => {} });
  return new KeptLauncher({ platform: "mock", stateFolder, module: keeper, prepare });
}
