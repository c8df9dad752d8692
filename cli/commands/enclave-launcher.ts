/**
 * What the `enclave` commands share: which launcher a platform has, where its state is, how an enclave is shown.
 *
 * @module
 */
import { readFile } from "node:fs/promises";
import { homedir } from "node:os";
import { join } from "node:path";
import type { MockRoot } from "../../mock/nsm/pki.ts";
import type { EnclaveDescription, Launcher, Platform } from "../../shared/launcher.ts";
import { addressOf, formatAddress } from "../../shared/transport/address.ts";
import { APP_PORT } from "../../shared/transport/ports.ts";
import { type Arguments, readArguments } from "../arguments.ts";
import { type Terminal, UsageError } from "../terminal.ts";

const MOCK_BANNER =
  "*** MOCK MODE: emulated Nitro hardware under a root of its own; nothing here is protected by hardware ***";

const PLATFORMS: readonly Platform[] = ["nitro", "emulated", "mock"];

export function readPlatform(value: string | boolean | undefined, usage: string): Platform {
  const platform = PLATFORMS.find((known) => known === value);
  if (!platform) throw new UsageError(`--platform is ${PLATFORMS.join(", ")}`, usage);
  return platform;
}

/** Reads the arguments of a command about enclaves; `undefined` when its help was asked for, and shown. */
export function readEnclaveArguments(
  args: readonly string[],
  { print, usage, operands }: { readonly print: Terminal["print"]; readonly usage: string; readonly operands: number },
): (Arguments & { readonly platform: Platform }) | undefined {
  const boolean = { type: "boolean" } as const;
  const options = { platform: { type: "string" }, json: boolean, help: boolean } as const;
  const read = readArguments(args, { options, operands, usage });
  if (!read.values["help"]) return { ...read, platform: readPlatform(read.values["platform"], usage) };
  print(usage);
  return undefined;
}

/** Loads what the platform needs, and no more. */
export async function launcherFor(
  platform: Platform,
  { tell, emulator, meet, root }: LauncherSettings,
): Promise<Launcher> {
  if (platform === "nitro") {
    const { createNitroLauncher } = await import("../../parent/launcher/nitro.ts");
    return createNitroLauncher({ env: { PATH: process.env["PATH"] ?? "", HOME: homedir() } });
  }
  tell(MOCK_BANNER);
  const stateFolder = stateFolderOf(platform);
  if (platform === "mock")
    return (await import("../../mock/launcher/mock.ts")).createMockLauncher({ stateFolder, root });
  const { createEmulatedLauncher } = await import("../../mock/launcher/emulated.ts");
  const { emulatedCommands } = await import("./enclave-emulated.ts");
  const commands = emulatedCommands({ emulator: emulator ?? (await builtEmulator()), meet, root });
  return createEmulatedLauncher({ stateFolder, commands });
}

export interface LauncherSettings {
  readonly tell: Terminal["tell"];
  /** The folder with QEMU. Default: what `make emulator` left. */
  readonly emulator?: string;
  /** Of an emulated enclave: where it finds its parent (`EmulatedSettings`). */
  readonly meet?: string;
  /** Of an emulated or mock enclave: the root of its documents. */
  readonly root?: MockRoot | undefined;
}

/** What `make emulator` left. */
export async function builtEmulator(): Promise<string | undefined> {
  const cache = process.env["XDG_CACHE_HOME"] || join(homedir(), ".cache");
  try {
    return (await readFile(join(cache, "cloister", "emulator-current"), "utf8")).trim();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
}

/** Where a launcher, or the parent, keeps what lives as long as this session or this boot. */
export function stateFolderOf(name: string): string {
  return join(stateHome(), "cloister", name);
}

/** Source: XDG Base Directory Specification 0.8. What is in the first goes when the user logs out; enclaves do too. */
function stateHome(): string {
  const { XDG_RUNTIME_DIR, XDG_STATE_HOME } = process.env;
  return XDG_RUNTIME_DIR || XDG_STATE_HOME || join(homedir(), ".local", "state");
}

export function showEnclave(enclave: EnclaveDescription, isJson: boolean): string {
  if (isJson) return JSON.stringify(enclave);
  const { enclaveId, platform, state, cid, cpuCount, memoryMiB, debug, pcrs, startedAt, bootRetries } = enclave;
  return [
    `${enclaveId}  ${state}`,
    `  platform  ${platform}${enclave.trust === "mock" ? ", trust: mock" : ""}`,
    ...(debug ? ["  DEBUG MODE: the parent can read its console and memory"] : []),
    `  cid       ${cid}`,
    `  address   ${formatAddress(addressOf(enclave.peer, APP_PORT))}`,
    `  cpus      ${cpuCount}, memory ${memoryMiB} MiB`,
    `  started   ${startedAt ?? "unknown"}${bootRetries > 0 ? `, after ${bootRetries} boots that hung` : ""}`,
    `  processes ${enclave.processIds.join(" ") || "unknown"}`,
    ...Object.entries(pcrs).map(([index, value]) => `  PCR${index}      ${value}`),
  ].join("\n");
}
