import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { runInNewContext } from "node:vm";
import { describe, expect, test } from "vitest";
import {
  type ArchiveEntry,
  buildImage,
  buildRamdisks,
  cpioParts,
  type Exec,
  type ImageOptions,
  nitroRoots,
  nodeRoot,
  parseRoots,
  writeExec,
} from "../../image/building.ts";
import { deviceEntry, measureEif, readEif, readMetadata } from "../../image/index.ts";
import { concat, utf8 } from "../../shared/bytes.ts";
import { EIF_FIELD } from "../../shared/eif/layout.ts";
import { buildEif, eifParts } from "../../shared/eif/write.ts";
import { content, SIGNATURE, verdict, viewOf } from "../eif/craft.ts";
import { fakeElf, fakeKernel, unpack } from "./craft-boot.ts";

const exec: Exec = { program: "/app", arguments: ["app"], directory: "/", uid: 0, gid: 0, environment: [] };
const file = (text: string, mode = 0o644): ArchiveEntry => ({ kind: "file", data: utf8(text), mode });
const options: ImageOptions = {
  platform: "emulated",
  architecture: "x86_64",
  kernel: fakeKernel(),
  cmdline: "console=ttyS0 cloister.platform=emulated",
  init: utf8("init"),
  modules: [
    { name: "vsock.ko", bytes: utf8("v") },
    { name: "nsm.ko", bytes: utf8("n") },
  ],
  root: new Map([["app", file("#!", 0o755)]]),
  exec,
};
/** Zeros that nobody reads: an operating system gives no memory for them. */
const huge: ArchiveEntry = { kind: "file", data: new Uint8Array(2 ** 29), mode: 0o644 };
const nitro = { ...options, platform: "nitro", cmdline: "console=ttyS0" } as const;
const built = async (change: Partial<ImageOptions> = {}) => {
  const { parts, measurements } = await buildImage({ ...options, ...change });
  const eif = readEif(concat(...parts));
  return { eif, measurements, ramdisks: eif.ramdisks.map(unpack) };
};

describe("the archive's writer", () => {
  test("keeps modes, owners and links", () => {
    const entries = new Map<string, ArchiveEntry>([
      ["bin/app", { ...file("x", 0o755), uid: 7, gid: 8 }],
      ["lib64", { kind: "link", target: "../lib" }],
      ["tmp", { kind: "directory", mode: 0o1777 }],
    ]);
    expect(unpack(concat(...cpioParts(entries)))).toEqual([
      { path: "bin", mode: 0o40755, uid: 0, gid: 0, data: "" },
      { path: "bin/app", mode: 0o100755, uid: 7, gid: 8, data: "x" },
      { path: "lib64", mode: 0o120777, uid: 0, gid: 0, data: "../lib" },
      { path: "tmp", mode: 0o41777, uid: 0, gid: 0, data: "" },
    ]);
  });

  test("a large file is a part of its own, not copied; small ones are joined", () => {
    const data = new Uint8Array(100_000);
    const parts = cpioParts(
      new Map([
        ["a", utf8("1")],
        ["b", data],
        ["c", utf8("2")],
      ]),
    );
    expect(parts).toHaveLength(3);
    expect(parts[1]).toBe(data);
  });

  test.each<[string, ReadonlyMap<string, ArchiveEntry>]>([
    [
      "a file below a link",
      new Map([
        ["l", { kind: "link", target: "/etc" }],
        ["l/x", file("")],
      ]),
    ],
    ["setuid", new Map([["a", file("", 0o4755)]])],
    ["a link to nothing", new Map([["l", { kind: "link", target: "" }]])],
    ["a link of 4096 bytes", new Map([["l", { kind: "link", target: "x".repeat(4096) }]])],
    ["an owner of 33 bits", new Map([["a", { ...file(""), uid: 2 ** 32 }]])],
    ["a name of 256 bytes", new Map([[`a/${"ä".repeat(128)}`, file("")]])],
    [
      "more directories than the reader takes, though few files need them",
      new Map(Array.from({ length: 200 }, (_, index) => [`${index}/${"d/".repeat(350)}f`, file("")])),
    ],
  ])("refuses %s", async (_, entries) => {
    expect(await verdict(() => cpioParts(entries))).toBe("RangeError");
  });
});

describe("eifParts", () => {
  test("parts of ramdisks give the file that whole ones give; a signature comes last", () => {
    const parts = eifParts({ ...content, ramdisks: [[utf8("in"), utf8("it")], utf8("app")], signature: utf8("s") });
    expect(concat(...parts)).toEqual(buildEif({ ...content, signature: utf8("s") }));
    // Five sections before it; its type stands where the table's sixth offset leads.
    const whole = viewOf(concat(...parts));
    expect(whole.getUint16(Number(whole.getBigUint64(EIF_FIELD.offsets + 8 * 5)))).toBe(SIGNATURE);
    expect(whole.getUint16(EIF_FIELD.sectionCount)).toBe(6);
  });
});

describe("buildImage", () => {
  test("first ramdisk: init, modules in order, mount points; second: what runs, and the root", async () => {
    const [first = [], second = []] = (await built()).ramdisks;
    expect(first.map(({ path, mode }) => `${path} ${mode.toString(8)}`)).toEqual([
      "init 100755",
      "modules 40755",
      "modules/nsm.ko 100644",
      "modules/order 100644",
      "modules/vsock.ko 100644",
      "rootfs 40755",
      ...["dev", "proc", "run", "sys", "tmp"].map((name) => `rootfs/${name} 40755`),
    ]);
    expect(first.find(({ path }) => path === "modules/order")?.data).toBe("vsock.ko\nnsm.ko\n");
    expect(second.map(({ path }) => path)).toEqual(["cloister", "cloister/exec", "rootfs", "rootfs/app"]);
  });

  test("measures what the reader of the file measures", async () => {
    const { eif, measurements } = await built();
    expect(measurements).toEqual(await measureEif(eif));
  });

  test("metadata names the platform and the kernel", async () => {
    const metadata = readMetadata((await built()).eif.metadata ?? new Uint8Array());
    expect(metadata.CustomMetadata).toEqual({ platform: "emulated" });
    expect(metadata.BuildMetadata.KernelVersion).toBe("6.12.48-cloud-amd64");
  });

  test("emulated: ramdisks end 1024 bytes into a page, whatever their size; nitro: nothing is added", async () => {
    for (let size = 0; size < 5_000; size += 499) {
      const root = new Map([["app", file("x".repeat(size))]]);
      const emulated = (await built({ root })).eif.ramdisks;
      expect(emulated.reduce((sum, { length }) => sum + length, 0) % 4096).toBe(1024);
      const plain = (await built({ ...nitro, root })).eif.ramdisks;
      expect(plain).toEqual([
        concat(...buildRamdisks({ ...nitro, root }).bootstrap),
        concat(...buildRamdisks({ ...nitro, root }).application),
      ]);
    }
  });

  test("the application changes PCR0 and PCR2, the init PCR0 and PCR1", async () => {
    const before = (await built(nitro)).measurements;
    const app = (await built({ ...nitro, root: new Map([["app", file("2")]]) })).measurements;
    const init = (await built({ ...nitro, init: utf8("other") })).measurements;
    expect([app.pcr0, app.pcr2]).not.toContainEqual(before.pcr0);
    expect(app.pcr1).toEqual(before.pcr1);
    expect(app.pcr2).not.toEqual(before.pcr2);
    expect(init.pcr1).not.toEqual(before.pcr1);
    expect(init.pcr2).toEqual(before.pcr2);
  });

  test("what the application is called can not replace what starts it", async () => {
    const root = new Map([
      ["init", file("evil")],
      ["modules/order", file("evil.ko\n")],
    ]);
    const second = (await built({ root })).ramdisks[1] ?? [];
    expect(second.filter(({ path }) => !/^(cloister|rootfs)(\/|$)/.test(path))).toEqual([]);
  });

  test.each<[string, Partial<ImageOptions>, string]>([
    ["no bzImage", { kernel: utf8("kernel") }, "ERR_EIF_INPUT"],
    ["a bzImage for arm64", { architecture: "arm64" }, "ERR_EIF_INPUT"],
    ["an emulated image that does not say so to init", { cmdline: "console=ttyS0" }, "ERR_EIF_INPUT"],
    ["an image for EC2 that says it is emulated", { platform: "nitro" }, "ERR_EIF_INPUT"],
    ["two platforms", { cmdline: `${options.cmdline} cloister.platform=guest` }, "ERR_EIF_INPUT"],
    ["a module twice", { modules: [...options.modules, { name: "nsm.ko", bytes: utf8("") }] }, "ERR_EIF_INPUT"],
    ["a module with a path", { modules: [{ name: "../init", bytes: utf8("") }] }, "ERR_EIF_INPUT"],
    [
      "a link where something is mounted",
      { root: new Map([["proc", { kind: "link", target: "/x" }]]) },
      "ERR_EIF_INPUT",
    ],
    ["a path upwards", { root: new Map([["../x", file("")]]) }, "ERR_EIF_INPUT"],
    ["a kernel that ends before its version", { kernel: fakeKernel().subarray(0, 0x20f) }, "ERR_EIF_INPUT"],
    ["an empty command line", { ...nitro, cmdline: "" }, "ERR_EIF_INPUT"],
    ["a NUL in the command line", { cmdline: `a\0b ${options.cmdline}` }, "ERR_EIF_INPUT"],
    ["a command line that the kernel would cut", { cmdline: `${options.cmdline} `.padEnd(2048, "x") }, "ERR_EIF_INPUT"],
    ["a name that metadata can not hold", { name: "x".repeat(2 ** 20) }, "ERR_EIF_INPUT"],
    [
      "more than 2 GiB, of one file under five names",
      { root: new Map(Array.from("abcde", (name) => [name, huge])) },
      "ERR_EIF_INPUT",
    ],
    ["another platform", { platform: "mock" as "nitro" }, "TypeError"],
  ])("refuses %s", async (_, change, expected) => {
    expect(await verdict(() => built(change))).toBe(expected);
  });
});

describe("what an image runs", () => {
  test("is strings, each ended by a NUL", () => {
    const bytes = writeExec({ ...exec, arguments: ["app", ""], environment: ["A=b"], uid: 7 });
    expect(new TextDecoder().decode(bytes)).toBe("cloister.exec.1\0/\x007\x000\0/app\x001\0A=b\x002\0app\0\0");
  });

  test.each<[string, Partial<Exec>]>([
    ["a relative program", { program: "app" }],
    ["a relative folder", { directory: "." }],
    ["no argument", { arguments: [] }],
    ["1025 arguments", { arguments: Array(1025).fill("a") }],
    ["a variable without a name", { environment: ["=x"] }],
    ["a NUL", { arguments: ["a\0b"] }],
    ["a user beyond 32 bits", { uid: 2 ** 32 - 1 }],
    ["a user that is no number", { uid: 0.5 }],
    ["more than 128 KiB", { arguments: ["a".repeat(131_072)] }],
  ])("refuses %s", async (_, change) => {
    expect(await verdict(() => writeExec({ ...exec, ...change }))).toBe("ERR_EIF_INPUT");
  });
});

describe("a Node application's root", () => {
  const libraries: Readonly<Record<string, Uint8Array>> = {
    "libc.so.6": fakeElf({ needed: ["ld.so.2"] }),
    "ld.so.2": fakeElf({}),
    "libm.so.6": fakeElf({ needed: ["libc.so.6"] }),
  };
  const node = { architecture: "x86_64", native: "none", files: new Map([["main.mjs", utf8("1")]]) } as const;
  const elf = fakeElf({ loader: "/lib64/ld.so.2", needed: ["libm.so.6"] });
  const library = (name: string) => libraries[name] ?? utf8("");

  test("holds the libraries that are asked for, by those that are asked for, and the loader", async () => {
    const root = await nodeRoot({ ...node, node: elf, library });
    expect([...root.keys()].sort()).toEqual([
      "app/main.mjs",
      "bin/node",
      "etc/hosts",
      "etc/passwd",
      "lib/ld.so.2",
      "lib/libc.so.6",
      "lib/libm.so.6",
      "lib64",
    ]);
    const native = await nodeRoot({ ...node, node: elf, library, native: fakeElf({ needed: ["libc.so.6"] }) });
    expect(native.has("native/prebuilds/linux-x64.node")).toBe(true);
  });

  test.each<[string, object]>([
    ["no main.mjs", { files: new Map() }],
    ["an executable for another machine", { node: fakeElf({ machine: 183 }) }],
    ["no ELF", { node: utf8("#!/bin/sh") }],
    ["tables outside the file", { node: elf.subarray(0, 100) }],
    ["a loader elsewhere", { node: fakeElf({ loader: "/opt/ld.so.2" }) }],
    ["a library with a path for a name", { node: fakeElf({ needed: ["../x"] }) }],
    ["65 needed libraries", { node: fakeElf({ needed: Array(65).fill("libm.so.6") }) }],
    ["a library that is none", { node: fakeElf({ needed: ["other"] }) }],
  ])("refuses %s", async (_, change) => {
    expect(await verdict(() => nodeRoot({ ...node, node: elf, library, ...change }))).toBe("ERR_EIF_INPUT");
  });

  test("this process's own Node is read as the loader reads it", async () => {
    const asked: string[] = [];
    const real = new Uint8Array(readFileSync(process.execPath));
    const record = (name: string) => {
      asked.push(name);
      return fakeElf({});
    };
    await nodeRoot({ ...node, node: real, library: record });
    const listed =
      execFileSync("ldd", [process.execPath], { encoding: "utf8" }).match(/[^\s/]+\.so[.\d]*(?= \(| =>)/g) ?? [];
    expect(asked.sort()).toEqual([...new Set(listed)].filter((name) => !name.startsWith("linux-vdso")).sort());
  });
});

describe("trust roots", () => {
  test("EC2: AWS's root, and Amazon's five, each of its pinned digest", () => {
    expect(nitroRoots().tlsRoots).toHaveLength(5);
    expect(nitroRoots().attestationRoots).toHaveLength(1);
  });

  test("EC2: a Node that lacks one is refused", async () => {
    expect(await verdict(() => nitroRoots(nitroRoots().tlsRoots.slice(1)))).toBe("ERR_EIF_INPUT");
  });

  const [pem = ""] = nitroRoots().tlsRoots;
  const der = Buffer.from(nitroRoots().attestationRoots[0] ?? []).toString("base64");
  test.each<[string, object, string]>([
    ["one of each", { attestationRoots: [der], tlsRoots: [pem] }, "accepted"],
    ["none for attestation", { attestationRoots: [], tlsRoots: [pem] }, "ERR_EIF_INPUT"],
    ["none for TLS", { attestationRoots: [der] }, "ERR_EIF_INPUT"],
    ["no certificate", { attestationRoots: ["AAAA"], tlsRoots: [pem] }, "ERR_EIF_INPUT"],
    ["another field", { attestationRoots: [der], tlsRoots: [pem], x: 1 }, "ERR_EIF_INPUT"],
  ])("from a file: %s → $2", async (_, value, expected) => {
    expect(await verdict(() => parseRoots(utf8(JSON.stringify(value)), "roots.json"))).toBe(expected);
  });

  test("the entry for a device opens /dev/nsm, with the parent at CID 3", () => {
    const text = new TextDecoder().decode(deviceEntry({ ...nitroRoots(), config: { a: 1 } }));
    expect(text).toContain("const { main, openNsmDevice } = app.enclave ?? app;");
    expect(text).toContain('systemRoot: "/"');
    expect(text).toContain('parent: { kind: "vsock", cid: 3 }');
    expect(text).toContain('self: { kind: "vsock", cid: 4294967295 }');
  });

  test("a key __proto__ in the configuration stays a key: it is no prototype", () => {
    const given = JSON.parse('{"__proto__": {"admin": true}, "a": "\\u2028\'\\""}');
    const text = new TextDecoder().decode(deviceEntry({ ...nitroRoots(), config: given }));
    const [, expression = ""] = /^const config = (JSON[^\n]*);\n/m.exec(text) ?? [];
    const config = runInNewContext(expression);
    expect(JSON.stringify(config)).toBe(JSON.stringify(given));
    expect(config.admin).toBeUndefined();
  });
});
