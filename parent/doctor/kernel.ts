/**
 * Says which known faults of vsock and of the enclave driver a kernel has, by its version.
 *
 * Distributions mend faults without a new version, so an old number is a question and not a verdict: the finding is a
 * warning, with what to ask for. Series that stand in no record are taken by order: one that is newer than the first
 * release with the mending has it, an older one has it not.
 *
 * Source: the CVE records of kernel.org's CNA (fields `versions`, type semver); CVE-2021-26708: MITRE's record;
 * CVE-2021-3543: Linux f1ce3986baa6 and its stable backports. The virtio vsock deadlock: aws-nitro-enclaves-sdk-bootstrap.
 *
 * @module
 */

export interface KernelFault {
  readonly id: string;
  readonly what: string;
  /** The first series that has the fault. */
  readonly since: readonly [major: number, minor: number];
  /** In each long-term series, the first release without it; a series that is not here has no such release. */
  readonly mended: Readonly<Record<string, number>>;
  /** From this series on it never was. */
  readonly never: readonly [major: number, minor: number];
}

export const KERNEL_FAULTS: readonly KernelFault[] = [
  {
    id: "CVE-2021-26708",
    what: "races in AF_VSOCK: a local user becomes root",
    since: [5, 5],
    mended: { "5.10": 13 },
    never: [5, 11],
  },
  {
    id: "CVE-2021-3543",
    what: "stale file descriptors in the nitro_enclaves driver",
    since: [5, 10],
    mended: { "5.10": 37, "5.11": 21, "5.12": 4 },
    never: [5, 13],
  },
  {
    id: "CVE-2024-50264",
    what: "use after free in virtio vsock",
    since: [4, 8],
    mended: { "4.19": 324, "5.4": 286, "5.10": 230, "5.15": 172, "6.1": 117, "6.6": 61, "6.11": 8 },
    never: [6, 12],
  },
  {
    id: "CVE-2025-21756",
    what: "use after free when a vsock is bound",
    since: [5, 5],
    mended: { "5.10": 235, "5.15": 179, "6.1": 131, "6.6": 79, "6.12": 16, "6.13": 4 },
    never: [6, 14],
  },
  {
    id: "CVE-2025-38618",
    what: "use after free when a vsock is bound to any port",
    since: [3, 9],
    mended: { "5.4": 297, "5.10": 241, "5.15": 190, "6.1": 148, "6.6": 102, "6.12": 42, "6.15": 10, "6.16": 1 },
    never: [6, 17],
  },
  {
    id: "CVE-2026-46214",
    what: "a vsock listener takes nobody any more after refused connections",
    since: [5, 5],
    mended: { "6.6": 140, "6.12": 90, "6.18": 32, "7.0": 9 },
    never: [7, 1],
  },
];

export interface KernelVersion {
  readonly major: number;
  readonly minor: number;
  readonly patch: number;
}

/** The version in a release such as `6.1.131-143.221.amzn2023.x86_64`. */
export function readKernelVersion(release: string): KernelVersion | undefined {
  const [, major, minor, patch = "0"] = /^([0-9]{1,3})\.([0-9]{1,3})(?:\.([0-9]{1,5}))?(?![0-9])/.exec(release) ?? [];
  if (major === undefined || minor === undefined) return undefined;
  return { major: Number(major), minor: Number(minor), patch: Number(patch) };
}

/** The faults that a kernel of this version has, as far as its number tells. */
export function faultsOf(version: KernelVersion): readonly KernelFault[] {
  return KERNEL_FAULTS.filter((fault) => hasFault(version, fault));
}

function hasFault({ major, minor, patch }: KernelVersion, { since, mended, never }: KernelFault): boolean {
  const isBefore = ([otherMajor, otherMinor]: readonly [number, number]): boolean =>
    major < otherMajor || (major === otherMajor && minor < otherMinor);
  if (isBefore(since) || !isBefore(never)) return false;
  const release = mended[`${major}.${minor}`];
  return release === undefined || patch < release;
}

/** Whether one version is older than another. */
export function isOlder(version: KernelVersion, than: KernelVersion): boolean {
  if (version.major !== than.major) return version.major < than.major;
  if (version.minor !== than.minor) return version.minor < than.minor;
  return version.patch < than.patch;
}
