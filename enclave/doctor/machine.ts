/**
 * What the kernel says of the machine: its age, what feeds its random numbers, what drives its clock.
 *
 * Only an enclave that boots has a kernel of its own; the entry file of its image says where to look. NSM is the one
 * source of entropy that the parent does not control, so another one at work is refused, and so is none.
 *
 * Source: Linux Documentation/admin-guide/hw_random.rst, drivers/misc/nsm.c (`nsm-hwrng`); Linux 5.17.12 and 5.18, random.c.
 *
 * @module
 */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { EnclaveError } from "../../shared/errors/index.ts";

export interface Machine {
  readonly kernel: string;
  readonly entropySource: string;
  /** `unknown` where the kernel does not say. Told, not judged: what it does to the clock is measured. */
  readonly clockSource: string;
  /** Whether both directions of a vsock stream that are full at once can stop it: before 6.6.62. */
  readonly vsockMayStall: boolean;
}

const KERNEL = "proc/sys/kernel/osrelease";
const ENTROPY = "sys/class/misc/hw_random/rng_current";
const CLOCK = "sys/devices/system/clocksource/clocksource0/current_clocksource";
const NSM_SOURCE = "nsm-hwrng";
/** The first whose random numbers do not depend on what a host can hold back. */
const KERNEL_MINIMUM = [5, 17, 12] as const;
const VSOCK_MINIMUM = [6, 6, 62] as const;

/**
 * @param root where `/proc` and `/sys` are
 * @throws {EnclaveError} `ERR_ENCLAVE_KERNEL`, `ERR_ENCLAVE_ENTROPY`
 */
export async function examineMachine(root: string): Promise<Machine> {
  const [kernel, entropySource, clockSource] = await Promise.all(
    [KERNEL, ENTROPY, CLOCK].map((path) => readLine(join(root, path))),
  );
  const release = kernel ?? "unknown";
  if (!isAtLeast(release, KERNEL_MINIMUM)) {
    throw new EnclaveError("ERR_ENCLAVE_KERNEL", { release, minimum: KERNEL_MINIMUM.join(".") });
  }
  if (entropySource !== NSM_SOURCE) {
    const rule = `${NSM_SOURCE} feeds the kernel's pool, not ${entropySource ?? "nothing that is known"}`;
    throw new EnclaveError("ERR_ENCLAVE_ENTROPY", { rule });
  }
  const vsockMayStall = !isAtLeast(release, VSOCK_MINIMUM);
  return { kernel: release, entropySource, clockSource: clockSource ?? "unknown", vsockMayStall };
}

/** At most 64 printable characters; nothing where there is no such file. */
async function readLine(path: string): Promise<string | undefined> {
  try {
    const text = (await readFile(path, "utf8")).trim();
    return text.replace(/[^\x20-\x7e]/g, "?").slice(0, 64);
  } catch {
    return undefined; // judged by the caller, as a value that is not there
  }
}

function isAtLeast(release: string, minimum: readonly [number, number, number]): boolean {
  const [, ...numbers] = /^(\d+)\.(\d+)(?:\.(\d+))?/.exec(release) ?? [];
  if (numbers.length === 0) return false;
  for (const [index, wanted] of minimum.entries()) {
    const actual = Number(numbers[index] ?? 0);
    if (actual !== wanted) return actual > wanted;
  }
  return true;
}
