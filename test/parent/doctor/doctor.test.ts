import { mkdirSync, writeFileSync } from "node:fs";
import { access } from "node:fs/promises";
import { dirname, join } from "node:path";
import { describe, expect, test } from "vitest";
import { examineHost } from "../../../parent/doctor/doctor.ts";
import { type Host, hostFiles, type ImageNeed, type WantedRun } from "../../../parent/doctor/finding.ts";
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
    searchPath: "/usr/local/bin:/usr/bin",
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
  const RUN: WantedRun = {
    ...{ kind: "run", cpus: 2, memoryMiB: undefined, connections: 100 },
    image: { kind: "known", minimumMiB: 64 },
  };
  const wanted = (memoryMiB: number, cpus: number): Changes => ({ host: { wanted: { ...RUN, memoryMiB, cpus } } });
  const needing = (image: ImageNeed, memoryMiB?: number): Changes => ({
    host: { wanted: { ...RUN, image, memoryMiB } },
  });
  const known = (minimumMiB: number): ImageNeed => ({ kind: "known", minimumMiB });
  const unknown: ImageNeed = { kind: "unknown", code: "ERR_EIF_FILE" };

  const NO_CLI = only("usr/bin/nitro-cli", null);
  const ELSEWHERE = { searchPath: "/sbin:/opt/bin" };

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
    ["all that the image needs, where nobody says more", needing(known(2_048)), []],
    ["an image that needs a MiB more", needing(known(2_049)), ["memory fail"]],
    ["a MiB less than the image needs", needing(known(65), 64), ["memory fail"]],
    ["as much as the image needs", needing(known(64), 64), []],
    ["an image that can not be read", needing(unknown), ["memory warn"]],
    ["an image that can not be read, and too little in any case", needing(unknown, 2_049), ["memory fail"]],
    ["no nitro-cli, and nothing that says whether it is needed", only("usr/bin/nitro-cli", null), ["nitro-cli warn"]],
    ["no nitro-cli, and an enclave to run", { ...wanted(64, 2), ...NO_CLI }, ["nitro-cli fail"]],
    ["nitro-cli elsewhere in PATH", { files: { ...NO_CLI.files, "opt/bin/nitro-cli": "" }, host: ELSEWHERE }, []],
    ["nitro-cli where PATH does not lead", { host: { ...ELSEWHERE, wanted: RUN } }, ["nitro-cli fail"]],
    ["a folder of that name, then the file", { files: { "usr/local/bin/nitro-cli/x": "" }, host: { wanted: RUN } }, []],
    ["one that may not be executed", { host: { wanted: RUN, isExecutable: async () => false } }, ["nitro-cli fail"]],
    ["in a container", only("proc/1/cgroup", "0::/kubepods/pod1\n"), ["metadata warn"]],
    ["in another container", only(".dockerenv", ""), ["metadata warn"]],
  ])("%s", async (_, changes, expected) => {
    expect(await complaints(changes)).toEqual(expected);
  });

  test("an enclave that something else runs: vsock is asked for, and nothing that runs one", async () => {
    const bare = { "usr/bin/nitro-cli": null, [`${PAGES}/nr_hugepages`]: null, [`${GIANT}/nr_hugepages`]: null };
    const attached: Host["wanted"] = { kind: "attach", connections: 100 };
    const files = { ...bare, "sys/module/nitro_enclaves/parameters/ne_cpus": null };
    expect(await complaints({ files, devices: ["/dev/vsock"], host: { wanted: attached } })).toEqual([]);
    expect(await complaints({ files, devices: [], host: { wanted: attached } })).toEqual(["vsock fail"]);
    expect(await complaints({ host: { wanted: { ...attached, connections: 1_000_000 } } })).toEqual([
      "descriptors warn",
    ]);
  });

  test("where nitro-cli is, is the first in PATH that may be executed", async () => {
    const found = async (isExecutable: Host["isExecutable"]): Promise<string | undefined> => {
      const twice = host({ files: { "usr/local/bin/nitro-cli": "" }, host: { isExecutable } });
      return (await examineHost(twice)).findings.find(({ check }) => check === "nitro-cli")?.found;
    };
    expect(await found(async () => true)).toBe("/usr/local/bin/nitro-cli");
    expect(await found(async (path) => path.startsWith("/usr/bin"))).toBe("/usr/bin/nitro-cli");
  });

  test("a laptop is asked for what mock mode needs, and no more", async () => {
    const laptop = { files: { "sys/module/nitro_enclaves/parameters/ne_cpus": null }, devices: [] };
    expect(await complaints(laptop, "mock")).toEqual([]);
    expect(await complaints(laptop, "emulated")).toEqual([]);
    expect(await complaints(laptop, "nitro")).toEqual(["vsock fail", "driver fail", "processors fail"]);
  });

  test("a folder of nothing is a host that lacks everything, and no fault of ours", async () => {
    const files = hostFiles({
      root: scratchFolder(),
      access: (path, mode) =>
        access(path, mode).then(
          () => true,
          () => false,
        ),
    });
    const bare = { platform: "nitro", nodeVersion: "?", searchPath: "/usr/bin", nativeFault: () => "none" } as const;
    const { verdict } = await examineHost({ ...files, ...bare });
    expect(verdict).toBe("fail");
  });
});
