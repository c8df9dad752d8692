/**
 * Looks at what every parent needs of its host: a kernel, Node, descriptors, a clock.
 *
 * @module
 */
import type { Finding, Host } from "./finding.ts";
import { faultsOf, isOlder, readKernelVersion } from "./kernel.ts";

/** As `engines` of this package says. */
const NODE_MIN = { major: 20, minor: 19, patch: 0 };
/** A connection that is forwarded has two descriptors; the rest is the process's own. */
const DESCRIPTORS_PER_CONNECTION = 2;
const DESCRIPTORS_OWN = 256;
const CONNECTIONS = 2_048;
const DESCRIPTORS_LEAST = 1_024;

export async function checkKernel(host: Host): Promise<Finding> {
  const check = "kernel";
  const release = (await host.text("/proc/sys/kernel/osrelease"))?.trim() ?? "";
  const version = readKernelVersion(release);
  if (!version) return { check, verdict: "warn", found: "no version", todo: "run on Linux, with /proc mounted" };
  const faults = faultsOf(version);
  if (faults.length === 0) return { check, verdict: "ok", found: `${release}, none of the known faults of vsock` };
  const list = faults.map(({ id, what }) => `${id} (${what})`).join(", ");
  const todo =
    "update the kernel and boot it; a distribution may have mended these under the same number: ask its notes";
  return { check, verdict: "warn", found: `${release}, by its number with ${list}`, todo };
}

export async function checkNode(host: Host): Promise<Finding> {
  const check = "node";
  const version = readKernelVersion(host.nodeVersion.replace(/^v/, ""));
  if (version && !isOlder(version, NODE_MIN)) return { check, verdict: "ok", found: host.nodeVersion };
  return { check, verdict: "fail", found: host.nodeVersion, todo: "install Node 20.19 or later" };
}

export async function checkDescriptors(host: Host): Promise<Finding> {
  const check = "descriptors";
  const limits = (await host.text("/proc/self/limits")) ?? "";
  const [, soft, hard] = /^Max open files\s+(\d+|unlimited)\s+(\d+|unlimited)/m.exec(limits) ?? [];
  if (soft === undefined || hard === undefined) {
    return { check, verdict: "warn", found: "no limit could be read", todo: "look at ulimit -n" };
  }
  const connections = host.wanted?.connections ?? CONNECTIONS;
  const needed = connections * DESCRIPTORS_PER_CONNECTION + DESCRIPTORS_OWN;
  // Node raises the soft limit to the hard one when it starts.
  const available = hard === "unlimited" ? Number.POSITIVE_INFINITY : Number(hard);
  const found = `${soft}, at most ${hard}, for ${connections} connections`;
  if (available >= needed) return { check, verdict: "ok", found };
  const todo = `set LimitNOFILE=${needed} in the unit, or lower maxConnections`;
  return { check, verdict: available < DESCRIPTORS_LEAST ? "fail" : "warn", found, todo };
}

const CLOCK_SOURCES = ["kvm-clock", "tsc", "arch_sys_counter"];

/** AWS refuses requests whose time is off by minutes, and KMS documents that are; drift comes first. */
export async function checkClock(host: Host): Promise<Finding> {
  const check = "clock";
  const source = (await host.text("/sys/devices/system/clocksource/clocksource0/current_clocksource"))?.trim();
  const keeper = await timeKeeper(host);
  const found = `source ${source ?? "unknown"}, kept by ${keeper ?? "nothing that was found"}`;
  if (keeper === undefined) {
    return { check, verdict: "warn", found, todo: "run chrony with the Amazon Time Sync Service, 169.254.169.123" };
  }
  if (source === undefined || !CLOCK_SOURCES.includes(source)) {
    return { check, verdict: "warn", found, todo: `boot with one of ${CLOCK_SOURCES.join(", ")}` };
  }
  return { check, verdict: "ok", found };
}

async function timeKeeper(host: Host): Promise<string | undefined> {
  for (const [path, name] of [
    ["/run/chrony/chronyd.pid", "chrony"],
    ["/run/chrony/chronyd.sock", "chrony"],
    ["/var/run/chrony/chronyd.pid", "chrony"],
    ["/run/systemd/timesync/synchronized", "systemd-timesyncd"],
    ["/run/ntpd.pid", "ntpd"],
  ] as const) {
    if ((await host.kind(path)) !== "absent") return name;
  }
  return undefined;
}
