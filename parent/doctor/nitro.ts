/**
 * Looks at what an instance needs to run Nitro enclaves: driver, vsock, memory and processors set aside, tools, the
 * instance's metadata service.
 *
 * Source: AWS Nitro Enclaves user guide, "Install the Nitro Enclaves CLI"; Linux Documentation/virt/ne_overview.rst.
 *
 * @module
 */
import { resolve } from "node:path";
import type { Finding, Host } from "./finding.ts";
import { isOlder, readKernelVersion } from "./kernel.ts";

const DEVICE = "/dev/nitro_enclaves";
const ALLOCATOR = "/etc/nitro_enclaves/allocator.yaml";
const BLOBS = "/usr/share/nitro_enclaves/blobs";
/** Before it both sides could stop reading while both waited to write. */
const BLOB_MIN = { major: 6, minor: 6, patch: 62 };
const INSTALL_TOOLS = "dnf install aws-nitro-enclaves-cli";
const RESTART_ALLOCATOR = "systemctl restart nitro-enclaves-allocator";

export async function checkDriver(host: Host): Promise<Finding> {
  const check = "driver";
  const kind = await host.kind(DEVICE);
  if (kind === "absent") {
    const vendor = (await host.text("/sys/class/dmi/id/sys_vendor"))?.trim();
    const todo =
      vendor === "Amazon EC2"
        ? "launch the instance with --enclave-options Enabled=true, then modprobe nitro_enclaves"
        : "run on an EC2 instance of a type that has enclaves; elsewhere, use platform: mock or emulated";
    return { check, verdict: "fail", found: `no ${DEVICE}`, todo };
  }
  if (kind !== "device") return { check, verdict: "fail", found: `${DEVICE} is no device`, todo: "remove it; reboot" };
  if (await host.isWritable(DEVICE)) return { check, verdict: "ok", found: DEVICE };
  return {
    check,
    verdict: "fail",
    found: `${DEVICE}, closed to this user`,
    todo: "add the service's user to the group ne (SupplementaryGroups=ne in the unit)",
  };
}

export async function checkVsock(host: Host): Promise<Finding> {
  const check = "vsock";
  const fault = host.nativeFault();
  if (fault !== undefined) {
    const todo = "make native, or install the package with its prebuilt binding";
    return { check, verdict: "fail", found: `no native binding: ${fault}`, todo };
  }
  const protocols = (await host.text("/proc/net/protocols")) ?? "";
  const device = await host.kind("/dev/vsock");
  const isLoaded = /^AF_VSOCK\s/m.test(protocols);
  if (isLoaded && device === "device") return { check, verdict: "ok", found: "AF_VSOCK and /dev/vsock" };
  const found = `${isLoaded ? "" : "no "}AF_VSOCK, ${device === "device" ? "" : "no "}/dev/vsock`;
  return { check, verdict: "fail", found, todo: "modprobe vsock; with vsock+unix or mock it is not needed" };
}

/** The pages that are set aside, against what the enclave is to have. */
export async function checkMemory(host: Host): Promise<Finding> {
  const check = "memory";
  const [free, all] = await Promise.all([hugeMiB(host, "free_hugepages"), hugeMiB(host, "nr_hugepages")]);
  const told = (await host.text(ALLOCATOR))?.match(/^memory_mib:\s*([0-9]+)\s*$/m)?.[1];
  const found = `${free} MiB of ${all} MiB in huge pages are free, the allocator is told ${told ?? "nothing"}`;
  const run = host.wanted?.kind === "run" ? host.wanted : undefined;
  const minimum = run?.image.kind === "known" ? run.image.minimumMiB : undefined;
  const wanted = run?.memoryMiB ?? minimum;
  if (wanted !== undefined && minimum !== undefined && wanted < minimum) {
    const todo = `enclave.memoryMiB is ${wanted} and the image needs ${minimum}: raise it, or leave it out`;
    return { check, verdict: "fail", found, todo };
  }
  if (all === 0 || (wanted !== undefined && all < wanted)) {
    const size = wanted === undefined ? "memory_mib" : `memory_mib: ${wanted}`;
    return { check, verdict: "fail", found, todo: `set ${size} in ${ALLOCATOR}, then ${RESTART_ALLOCATOR}` };
  }
  if (run?.image.kind === "unknown") {
    const todo = `put a readable image at enclave.image: what it needs is not known (${run.image.code})`;
    return { check, verdict: "warn", found, todo };
  }
  if (wanted !== undefined && free < wanted) {
    const todo = "an enclave that runs holds the rest: nitro-cli describe-enclaves; or raise memory_mib";
    return { check, verdict: "warn", found, todo };
  }
  return { check, verdict: "ok", found };
}

async function hugeMiB(host: Host, figure: "free_hugepages" | "nr_hugepages"): Promise<number> {
  const folder = "/sys/kernel/mm/hugepages";
  let sum = 0;
  for (const name of await host.names(folder)) {
    const kiB = Number(/^hugepages-([0-9]+)kB$/.exec(name)?.[1] ?? 0);
    const pages = Number((await host.text(`${folder}/${name}/${figure}`))?.trim() ?? 0);
    if (Number.isSafeInteger(kiB * pages)) sum += (kiB * pages) / 1_024;
  }
  return Math.floor(sum);
}

export async function checkProcessors(host: Host): Promise<Finding> {
  const check = "processors";
  const pool = (await host.text("/sys/module/nitro_enclaves/parameters/ne_cpus"))?.trim() ?? "";
  const count = countOf(pool);
  const found = count === 0 ? "none is set aside" : `${count} are set aside: ${pool}`;
  const wanted = host.wanted?.kind === "run" ? host.wanted.cpus : 1;
  if (count >= wanted) return { check, verdict: "ok", found };
  const todo = `set cpu_count: ${Math.max(2, wanted)} in ${ALLOCATOR}, then ${RESTART_ALLOCATOR}`;
  return { check, verdict: "fail", found, todo };
}

/** How many a list such as `1,3-5` names. Source: kernel-parameters.rst, "cpu-lists". */
function countOf(list: string): number {
  return list.split(",").reduce((sum, part) => {
    const [, first, last = first] = /^([0-9]{1,5})(?:-([0-9]{1,5}))?$/.exec(part.trim()) ?? [];
    return first === undefined ? sum : sum + Math.max(0, Number(last) - Number(first) + 1);
  }, 0);
}

/** The kernel that nitro-cli puts into images that it builds. One of our own images brings its own. */
export async function checkEnclaveKernel(host: Host): Promise<Finding> {
  const check = "enclave-kernel";
  const texts = await Promise.all(["bzImage.config", "Image.config"].map((name) => host.text(`${BLOBS}/${name}`)));
  const release = texts.map((text) => /^# Linux\/\S+ (\S+) Kernel Configuration$/m.exec(text ?? "")?.[1]).find(Boolean);
  const version = release === undefined ? undefined : readKernelVersion(release);
  if (release === undefined || !version) {
    return { check, verdict: "ok", found: `none in ${BLOBS}: images bring their own` };
  }
  if (!isOlder(version, BLOB_MIN)) return { check, verdict: "ok", found: release };
  return {
    check,
    verdict: "warn",
    found: `${release}: vsock stands still when both sides write much before they read`,
    todo: "update aws-nitro-enclaves-cli-devel and build images anew",
  };
}

/** Where the launcher looks: the first in PATH that may be executed. */
export async function checkNitroCli(host: Host): Promise<Finding> {
  const check = "nitro-cli";
  for (const folder of host.searchPath.split(":")) {
    const path = resolve(folder, "nitro-cli");
    if ((await host.kind(path)) === "file" && (await host.isExecutable(path))) {
      return { check, verdict: "ok", found: path };
    }
  }
  const found = `no executable nitro-cli in PATH (${host.searchPath})`;
  if (host.wanted) return { check, verdict: "fail", found, todo: `${INSTALL_TOOLS}, or mend PATH` };
  return { check, verdict: "warn", found, todo: `${INSTALL_TOOLS}; with enclave.attach it is not needed` };
}

/** The hop limit itself is told by EC2's API only. */
export async function checkMetadata(host: Host): Promise<Finding> {
  const check = "metadata";
  const isContained =
    (await host.kind("/.dockerenv")) !== "absent" ||
    (await host.kind("/run/.containerenv")) !== "absent" ||
    /\b(docker|kubepods|containerd|ecs)\b/.test((await host.text("/proc/1/cgroup")) ?? "");
  if (!isContained) {
    const found = "not in a container: IMDSv2 answers at a hop limit of 1, which keeps others away from it";
    return { check, verdict: "ok", found };
  }
  return {
    check,
    verdict: "warn",
    found: "in a container: with source: instanceRole the answers of IMDSv2 take two hops",
    todo: "modify-instance-metadata-options --http-tokens required --http-put-response-hop-limit 2, or the host's network",
  };
}
