/**
 * The seam between "run this image" and what runs it: AWS's hypervisor, QEMU, or a process.
 *
 * An implementation is given what was read from the image file (`ImageFacts`) and refuses by it, the same way on every
 * platform: another platform's image, too little memory, a context id that is reserved. PCRs in a description are the
 * measurements of the image file; an enclave in debug mode attests zeros on Nitro and in mock mode all the same.
 *
 * Types and pure checks; whoever implements them does the I/O.
 *
 * @module
 */
import { ConfigError } from "./errors/config.ts";
import { LauncherError } from "./errors/launcher.ts";
import type { Peer } from "./transport/address.ts";

export type Platform = "nitro" | "emulated" | "mock";

/** What the image file says, read by whoever calls the launcher. */
export interface ImageFacts {
  readonly sizeBytes: number;
  /**
   * Where it was built to run; `unknown` for an image of another builder, which says nothing and which Nitro takes;
   * `other` for one that names no platform of ours, or more than one, which nothing takes.
   */
  readonly platform: Platform | "unknown" | "other";
  /** Hex, by register; 8 where the image is signed. */
  readonly pcrs: Readonly<Record<0 | 1 | 2, string>> & { readonly 8?: string };
}

export interface LaunchOptions {
  readonly eifPath: string;
  readonly image: ImageFacts;
  /** 4 or more: 0 to 2 are reserved and 3 is the parent's. Default: the lowest from 16 that is free. */
  readonly cid?: number;
  readonly cpuCount: number;
  readonly memoryMiB: number;
  /** Opens the console. On Nitro and in mock mode it zeroes PCR0, PCR1 and PCR2, so that no policy accepts them. */
  readonly debug: boolean;
  readonly signal?: AbortSignal;
}

export interface EnclaveDescription {
  /** As in its attestation documents: `i-<hex>-enc<hex>`. */
  readonly enclaveId: string;
  readonly platform: Platform;
  /** Who vouches for it: AWS, or a root that was made for the run. */
  readonly trust: "aws" | "mock";
  /** DER in base64: the root of its documents, made for the run. `null` on Nitro, where it is AWS's. */
  readonly attestationRoot: string | null;
  readonly state: "running" | "terminating" | "exited";
  readonly cid: number;
  readonly cpuCount: number;
  readonly memoryMiB: number;
  readonly debug: boolean;
  /** Measured from the image file, hex; empty where the platform does not tell. */
  readonly pcrs: Readonly<Record<string, string>>;
  readonly processIds: readonly number[];
  /** ISO 8601; `null` where the platform does not tell. */
  readonly startedAt: string | null;
  /** Where this host reaches it. */
  readonly peer: Peer;
  /** How often the guest was started anew because it did not come up. */
  readonly bootRetries: number;
}

export interface Launcher {
  readonly platform: Platform;
  /**
   * Starts an enclave, which goes on when this process ends.
   *
   * @throws {LauncherError} what this host lacks or the platform refuses
   * @throws {ConfigError} an option out of its range
   */
  run(options: LaunchOptions): Promise<EnclaveDescription>;
  list(): Promise<readonly EnclaveDescription[]>;
  /** @throws {LauncherError} `ERR_LAUNCHER_ENCLAVE_UNKNOWN` */
  describe(enclaveId: string): Promise<EnclaveDescription>;
  /**
   * What an enclave in debug mode writes; ends with the enclave, with the signal, or when the loop over it is left.
   *
   * @throws {LauncherError} `ERR_LAUNCHER_NO_CONSOLE`, `ERR_LAUNCHER_ENCLAVE_UNKNOWN`
   */
  console(enclaveId: string, options?: { readonly signal?: AbortSignal }): AsyncIterable<Uint8Array>;
  /** @throws {LauncherError} `ERR_LAUNCHER_ENCLAVE_UNKNOWN`, also the second time */
  terminate(enclaveId: string): Promise<void>;
}

const CID_MIN = 4;
const CID_MAX = 0xffff_fffe;
const CPU_MAX = 1024;
const MEMORY_MIN_MIB = 64;
const MEMORY_MAX_MIB = 0x7fff_ffff;
/** AWS's nitro-cli refuses less than this many times the image's size. */
const MEMORY_PER_IMAGE = 4;
const MIB = 1024 * 1024;

/** The context id that is tried first where none was asked for. */
export const CID_FIRST = 16;

/** Which images a platform takes. QEMU boots what is meant for EC2; nothing else boots a mock image. */
const TAKES: Readonly<Record<Platform, readonly ImageFacts["platform"][]>> = {
  nitro: ["nitro", "unknown"],
  emulated: ["emulated", "nitro", "unknown"],
  mock: ["mock"],
};

/** What every launcher checks before it starts anything. Gives the options, read once. */
export function checkLaunch(platform: Platform, options: LaunchOptions): LaunchOptions {
  const { eifPath, image, cid, cpuCount, memoryMiB, debug, signal } = options;
  if (typeof eifPath !== "string" || typeof debug !== "boolean") throw new TypeError("not launch options");
  if (cid !== undefined) inRange("cid", cid, { minimum: CID_MIN, maximum: CID_MAX });
  inRange("cpuCount", cpuCount, { minimum: 1, maximum: CPU_MAX });
  inRange("memoryMiB", memoryMiB, { minimum: 1, maximum: MEMORY_MAX_MIB });
  if (!TAKES[platform].includes(image.platform)) {
    throw new LauncherError("ERR_LAUNCHER_IMAGE_PLATFORM", { platform, image: image.platform });
  }
  const minimumMiB = minimumMemoryMiB(image);
  if (memoryMiB < minimumMiB) throw new LauncherError("ERR_LAUNCHER_MEMORY", { minimumMiB, memoryMiB });
  const optional = { ...(cid !== undefined && { cid }), ...(signal && { signal }) };
  return { eifPath, image, cpuCount, memoryMiB, debug, ...optional };
}

/** The least memory that any launcher gives an image, in MiB: four times its size, 64 at least. */
export function minimumMemoryMiB({ sizeBytes }: Pick<ImageFacts, "sizeBytes">): number {
  return Math.max(MEMORY_MIN_MIB, Math.ceil((sizeBytes * MEMORY_PER_IMAGE) / MIB));
}

function inRange(
  field: string,
  value: unknown,
  { minimum, maximum }: { readonly minimum: number; readonly maximum: number },
): void {
  if (typeof value === "number" && Number.isInteger(value) && value >= minimum && value <= maximum) return;
  const expected = `an integer from ${minimum} to ${maximum}`;
  const actual = typeof value === "number" ? String(value) : typeof value;
  throw new ConfigError("ERR_CONFIG_FIELD_INVALID", { field, expected, actual });
}

/** An enclave's id may come from a command line: one of another form names no enclave. */
export function checkEnclaveId(enclaveId: string): void {
  if (!/^i-[0-9a-f]{1,32}-enc[0-9a-f]{1,32}$/.test(enclaveId)) throw unknownEnclave(enclaveId);
}

export function unknownEnclave(enclaveId: string): LauncherError<"ERR_LAUNCHER_ENCLAVE_UNKNOWN"> {
  const printable = enclaveId.replace(/[^ -~]/g, "?").slice(0, 80);
  return new LauncherError("ERR_LAUNCHER_ENCLAVE_UNKNOWN", { enclaveId: printable });
}

/** @throws {LauncherError} `ERR_LAUNCHER_PCR_MISMATCH` a register differs */
export function checkMeasured(expected: ImageFacts["pcrs"], actual: Readonly<Record<string, string>>): void {
  for (const index of [0, 1, 2] as const) {
    const details = { index, expected: expected[index], actual: actual[index] ?? "absent" };
    if (details.actual !== details.expected) throw new LauncherError("ERR_LAUNCHER_PCR_MISMATCH", details);
  }
}

/**
 * Where the kernel says a process started, in clock ticks since boot: with its number, what makes it this process and
 * no later one. `undefined` for text of another form, and for a process that has ended and waits for its parent.
 *
 * Source: proc_pid_stat(5), fields 3 and 22; the name in field 2 may hold anything, a parenthesis too.
 */
export function startTicks(stat: string): number | undefined {
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  const ticks = fields[19] ?? "";
  const hasEnded = !/^[RSDTtWKPI]$/.test(fields[0] ?? "");
  return hasEnded || !/^[0-9]+$/.test(ticks) ? undefined : Number(ticks);
}
