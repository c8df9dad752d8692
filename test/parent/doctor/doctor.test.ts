import { constants, mkdirSync, writeFileSync } from "node:fs";
import { access } from "node:fs/promises";
import { dirname, join } from "node:path";
import { describe, expect, test } from "vitest";
import { examineHost } from "../../../parent/doctor/doctor.ts";
import { type Host, hostFiles } from "../../../parent/doctor/finding.ts";
import type { Platform } from "../../../shared/launcher.ts";
import { scratchFolder } from "../../transport/streams.ts";

const LIMITS = (soft: string, hard: string): string =>
  `Limit                     Soft Limit           Hard Limit           Units     \nMax open files            ${soft}              ${hard}              files     \n`;

/** An instance that lacks nothing, as the files that are looked at. */
const INSTANCE: Readonly<Record<string, string>> = {
  "proc/sys/kernel/osrelease": "6.12.90-120.amzn2023.x86_64\n",
  "proc/self/limits": LIMITS("65536", "524288"),
  "proc/net/protocols": "protocol  size sockets\nAF_VSOCK  1104      3      -1   NI       0   yes  vsock\nUNIX 1 1\n",
  "sys/devices/system/clocksource/clocksource0/current_clocksource": "kvm-clock\n",
  "run/chrony/chronyd.pid": "612\n",
  "sys/class/dmi/id/sys_vendor": "Amazon EC2\n",
  "sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages": "512\n",
  "sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages": "512\n",
  "sys/kernel/mm/hugepages/hugepages-1048576kB/nr_hugepages": "1\n",
  "sys/kernel/mm/hugepages/hugepages-1048576kB/free_hugepages": "1\n",
  "sys/module/nitro_enclaves/parameters/ne_cpus": "1,3-4\n",
  "etc/nitro_enclaves/allocator.yaml": "---\nmemory_mib: 2048\ncpu_count: 3\n",
  "usr/bin/nitro-cli": "#!/bin/sh\n",
  "usr/share/nitro_enclaves/blobs/bzImage.config":
    "#\n# Automatically generated\n# Linux/x86_64 6.6.79 Kernel Configuration\n",
  "proc/1/cgroup": "0::/init.scope\n",
};
const DEVICES = ["/dev/nitro_enclaves", "/dev/vsock"];

interface Changes {
  readonly files?: Readonly<Record<string, string | null>>;
  readonly devices?: readonly string[];
  readonly host?: Partial<Host>;
}

/** The instance with one thing changed. Devices can not be made by everyone, so the tree's `kind` tells them. */
function host({ files = {}, devices = DEVICES, host: more = {} }: Changes = {}, platform: Platform = "nitro"): Host {
  const root = scratchFolder();
  for (const [path, text] of Object.entries({ ...INSTANCE, ...files })) {
    if (text === null) continue;
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), text);
  }
  const tree = hostFiles({ root, access: () => Promise.resolve(true) });
  return {
    ...tree,
    kind: async (path) => (devices.includes(path) ? "device" : tree.kind(path)),
    platform,
    nodeVersion: "v20.20.2",
    nativeFault: () => undefined,
    ...more,
  };
}

/** What is not well: `check verdict`. */
async function complaints(changes: Changes, platform?: Platform): Promise<readonly string[]> {
  const { findings } = await examineHost(host(changes, platform));
  const bad = findings.filter(({ verdict }) => verdict !== "ok");
  for (const { todo } of bad) expect(todo, "every complaint says what to do").toMatch(/.{10}/);
  return bad.map(({ check, verdict }) => `${check} ${verdict}`);
}

describe("the doctor", () => {
  test("an instance that lacks nothing", async () => {
    const { verdict, findings } = await examineHost(host());
    expect(findings.filter((each) => each.verdict !== "ok")).toEqual([]);
    expect(verdict).toBe("ok");
    expect(findings).toHaveLength(11);
  });

  const only = (path: string, text: string | null): Changes => ({ files: { [path]: text } });
  const PROTOCOLS = "proc/net/protocols";
  const PAGES = "sys/kernel/mm/hugepages/hugepages-2048kB";
  const GIANT = "sys/kernel/mm/hugepages/hugepages-1048576kB";
  const wanted = (memoryMiB: number, cpus: number): Changes => ({
    host: { wanted: { memoryMiB, cpus, connections: 100 } },
  });

  test.each<[string, Changes, readonly string[]]>([
    [
      "A23: a kernel before the accept queue's leak was mended",
      only("proc/sys/kernel/osrelease", "6.12.89-1\n"),
      ["kernel warn"],
    ],
    ["A23: no kernel version", only("proc/sys/kernel/osrelease", null), ["kernel warn"]],
    [
      "A20: images of nitro-cli would get the kernel that stands still",
      only("usr/share/nitro_enclaves/blobs/bzImage.config", "# Linux/x86_64 6.6.61 Kernel Configuration\n"),
      ["enclave-kernel warn"],
    ],
    [
      "A20: the one with the mending",
      only("usr/share/nitro_enclaves/blobs/bzImage.config", "# Linux/x86_64 6.6.62 Kernel Configuration\n"),
      [],
    ],
    ["A20: no kernel of nitro-cli's", only("usr/share/nitro_enclaves/blobs/bzImage.config", null), []],
    ["Node 18", { host: { nodeVersion: "v18.20.4" } }, ["node fail"]],
    ["Node 20.18", { host: { nodeVersion: "v20.18.3" } }, ["node fail"]],
    ["Node 24", { host: { nodeVersion: "v24.0.0" } }, []],
    ["few descriptors", only("proc/self/limits", LIMITS("1024", "4096")), ["descriptors warn"]],
    ["hardly any", only("proc/self/limits", LIMITS("256", "512")), ["descriptors fail"]],
    ["without limit", only("proc/self/limits", LIMITS("1024", "unlimited")), []],
    ["nobody keeps the time", only("run/chrony/chronyd.pid", null), ["clock warn"]],
    [
      "another clock source",
      only("sys/devices/system/clocksource/clocksource0/current_clocksource", "acpi_pm\n"),
      ["clock warn"],
    ],
    ["no driver", { devices: ["/dev/vsock"] }, ["driver fail"]],
    ["a file in its place", { devices: ["/dev/vsock"], files: { "dev/nitro_enclaves": "" } }, ["driver fail"]],
    ["a driver that is closed", { host: { isWritable: () => Promise.resolve(false) } }, ["driver fail"]],
    ["no vsock", { devices: ["/dev/nitro_enclaves"], files: { [PROTOCOLS]: "UNIX 1\n" } }, ["vsock fail"]],
    ["vsock without its device", { devices: ["/dev/nitro_enclaves"] }, ["vsock fail"]],
    ["no native binding", { host: { nativeFault: () => "no such file" } }, ["vsock fail"]],
    ["no huge pages", { files: { [`${PAGES}/nr_hugepages`]: "0", [`${GIANT}/nr_hugepages`]: "0" } }, ["memory fail"]],
    ["all that is wanted, both sizes together", wanted(2_048, 3), []],
    ["a MiB more", wanted(2_049, 3), ["memory fail"]],
    ["a processor more", wanted(2_048, 4), ["processors fail"]],
    ["memory that is in use", { ...wanted(2_048, 2), ...only(`${GIANT}/free_hugepages`, "0\n") }, ["memory warn"]],
    ["no processors", only("sys/module/nitro_enclaves/parameters/ne_cpus", "\n"), ["processors fail"]],
    ["no nitro-cli", only("usr/bin/nitro-cli", null), ["nitro-cli warn"]],
    ["in a container", only("proc/1/cgroup", "0::/kubepods/pod1\n"), ["metadata warn"]],
    ["in another container", only(".dockerenv", ""), ["metadata warn"]],
  ])("%s", async (_, changes, expected) => {
    expect(await complaints(changes)).toEqual(expected);
  });

  test("a laptop is asked for what mock mode needs, and no more", async () => {
    const laptop = { files: { "sys/module/nitro_enclaves/parameters/ne_cpus": null }, devices: [] };
    expect(await complaints(laptop, "mock")).toEqual([]);
    expect(await complaints(laptop, "emulated")).toEqual([]);
    expect(await complaints(laptop, "nitro")).toEqual(["driver fail", "vsock fail", "processors fail"]);
  });

  test("a folder of nothing is a host that lacks everything, and no fault of ours", async () => {
    const files = hostFiles({
      root: scratchFolder(),
      access: (path) =>
        access(path, constants.R_OK).then(
          () => true,
          () => false,
        ),
    });
    const { verdict } = await examineHost({ ...files, platform: "nitro", nodeVersion: "?", nativeFault: () => "none" });
    expect(verdict).toBe("fail");
  });
});
