import { gzipSync } from "node:zlib";
import { describe, expect, test } from "vitest";
import { readContainer } from "../../image/container.ts";
import { readTar } from "../../image/tar.ts";
import { utf8 } from "../../shared/bytes.ts";
import type { ArchiveEntry } from "../../shared/eif/cpio-write.ts";
import { verdict } from "../eif/craft.ts";
import { type Craft, digestOf, layout, pax, type RawTar, saved, tar } from "./craft-tar.ts";

const APP: RawTar = { name: "app", data: "#!", mode: "0000755" };
const base = tar({ name: "etc/", type: "5", mode: "0000755" }, { name: "etc/x", data: "lower" }, APP);
const LINK: RawTar = { name: "d", type: "2", link: "etc" };
const image = (craft: Partial<Craft> = {}): Craft => ({ layers: [base], ...craft });
const open = (archive: Uint8Array) => readContainer(archive, { architecture: "x86_64" });

/** The tree of these layers over the base, folders left out: files as text, links as their target. */
async function tree(...layers: readonly (readonly RawTar[])[]): Promise<Record<string, string>> {
  const { root } = await open(saved(image({ layers: [base, ...layers.map((entries) => tar(...entries))] })));
  const show = (entry: ArchiveEntry) =>
    entry.kind === "file" ? new TextDecoder().decode(entry.data) : `→ ${(entry as { target: string }).target}`;
  return Object.fromEntries(
    [...root].filter(([, { kind }]) => kind !== "directory").map(([path, entry]) => [path, show(entry)]),
  );
}

describe("layers", () => {
  test.each<[string, readonly RawTar[], Record<string, string>]>([
    ["a file replaces a file", [{ name: "etc/x", data: "upper" }], { "etc/x": "upper", app: "#!" }],
    ["a file replaces a folder and all below it", [{ name: "etc", data: "f" }], { etc: "f", app: "#!" }],
    ["a folder over a folder keeps what is in it", [{ name: "etc", type: "5" }], { "etc/x": "lower", app: "#!" }],
    ["a whiteout takes away a lower file", [{ name: "etc/.wh.x" }], { app: "#!" }],
    ["a whiteout takes away a lower folder", [{ name: ".wh.etc" }], { app: "#!" }],
    [
      "a whiteout leaves what its own layer adds",
      [{ name: "etc/x", data: "new" }, { name: "etc/.wh.x" }],
      { "etc/x": "new", app: "#!" },
    ],
    [
      "an opaque folder hides the lower one's files",
      [{ name: "etc/y", data: "y" }, { name: "etc/.wh..wh..opq" }],
      { "etc/y": "y", app: "#!" },
    ],
    [
      "a hard link becomes a file of the same bytes",
      [{ name: "h", type: "1", link: "etc/x" }],
      { "etc/x": "lower", h: "lower", app: "#!" },
    ],
    [
      "a link is kept as it is",
      [{ name: "l", type: "2", link: "../../../etc" }],
      { "etc/x": "lower", l: "→ ../../../etc", app: "#!" },
    ],
    [
      "a link is replaced, not written through",
      [
        { name: "etc/x", type: "2", link: "/app" },
        { name: "etc/x", data: "mine" },
      ],
      { "etc/x": "mine", app: "#!" },
    ],
    ["a device below /dev is left to the kernel", [{ name: "dev/null", type: "3" }], { "etc/x": "lower", app: "#!" }],
  ])("%s", async (_, layer, expected) => {
    expect(await tree(layer)).toEqual(expected);
  });

  test.each<[string, readonly RawTar[]]>([
    [
      "a file below a link to outside",
      [
        { name: "out", type: "2", link: "/etc" },
        { name: "out/x", data: "" },
      ],
    ],
    ["a file below a lower layer's file", [{ name: "etc/x/y", data: "" }]],
    ["a hard link to nothing", [{ name: "h", type: "1", link: "gone" }]],
    [
      "a hard link to a link",
      [
        { name: "l", type: "2", link: "app" },
        { name: "h", type: "1", link: "l" },
      ],
    ],
    ["a hard link to a folder", [{ name: "h", type: "1", link: "etc" }]],
    ["a device", [{ name: "etc/null", type: "3" }]],
    ["a whiteout of nothing", [{ name: "etc/.wh." }]],
    ["a whiteout that is not known", [{ name: ".wh..wh.plnk" }]],
    ["an opaque folder below a file", [{ name: "etc/x/.wh..wh..opq" }]],
    ["something below a whiteout", [{ name: "etc/.wh.x/y", data: "" }]],
    ["an owner beyond 32 bits", [{ name: "a", uid: "\x80\x00\x00\x01\x00\x00\x00\x00" }]],
  ])("refuses %s", async (_, layer) => {
    expect(await verdict(() => tree(layer))).toMatch(/^ERR_EIF_SOURCE/);
  });

  test("a whiteout below a lower layer's link is refused, unless the layer puts a folder in the link's place", async () => {
    expect(await verdict(() => tree([LINK], [{ name: "d/.wh.x" }]))).toBe('ERR_EIF_SOURCE "d/.wh.x"');
    const replaced = await tree([LINK], [{ name: "d", type: "5" }, { name: "d/.wh..wh..opq" }]);
    expect(replaced).toEqual({ "etc/x": "lower", app: "#!" });
  });

  test("hard links count as the files they become: beyond the limit they are refused", async () => {
    const link = (name: string): RawTar => ({ name, type: "1", link: "big" });
    const layer = tar(APP, { name: "big", data: new Uint8Array(4000) }, link("b"), link("c"));
    const limited = (maxBytes: number) =>
      verdict(() => readContainer(saved({ layers: [layer] }), { architecture: "x86_64", maxBytes }));
    expect(await limited(12_002)).toBe("accepted");
    expect(await limited(12_001)).toBe('ERR_EIF_SOURCE "c"');
  });

  test("folders that nobody names count as entries: beyond the limit they are refused", async () => {
    const long = (index: number) => `${index}/${"d/".repeat(500)}f`;
    const entries = Array.from({ length: 130 }, (_, index) => [
      { name: "p", type: "x", data: pax({ path: long(index) }) },
      { name: "f", data: "" },
    ]).flat();
    expect(await verdict(() => tree(entries.slice(0, 200)))).toBe("accepted");
    expect(await verdict(() => tree(entries))).toMatch(/^ERR_EIF_SOURCE/);
  });

  test("setuid and setgid bits are dropped, owners are kept", async () => {
    const layer = tar({ name: "su", data: "s", mode: "0006755", uid: "0001750" });
    const { root } = await open(saved(image({ layers: [base, layer] })));
    expect(root.get("su")).toMatchObject({ mode: 0o755, uid: 1000 });
  });
});

describe("archives", () => {
  test("docker save and an OCI layout of the same image are the same, compressed or not", async () => {
    const one = await open(saved(image()));
    const packed = [new Uint8Array(gzipSync(base))];
    for (const archive of [
      layout(image()),
      layout(image({ packed })),
      saved(image({ packed })),
      new Uint8Array(gzipSync(saved(image()))),
    ]) {
      expect(await open(archive)).toEqual(one);
    }
  });

  test("gzip in several members, or with a length that lies, is unpacked all the same", async () => {
    const half = base.length / 2;
    const members = Buffer.concat([gzipSync(base.subarray(0, half)), gzipSync(base.subarray(half))]);
    const one = await open(saved(image()));
    expect(await open(saved(image({ packed: [new Uint8Array(members)] })))).toEqual(one);
    const broken = Buffer.from(gzipSync(base));
    broken.writeUInt32LE(0xffff_ffff, broken.length - 4);
    expect(await verdict(() => open(saved(image({ packed: [new Uint8Array(broken)] }))))).toBe("ERR_EIF_INPUT");
  });

  const rawOf = (archive: Uint8Array): RawTar[] =>
    [...readTar(archive)].map(({ path, data }) => ({ name: path, data }));
  const both = (one: Uint8Array, other: Uint8Array) => tar(...rawOf(one), ...rawOf(other));
  const rewritten = (archive: Uint8Array, change: (manifest: string) => string) =>
    tar(
      ...rawOf(archive).map(({ name, data = "" }) =>
        name === "manifest.json"
          ? { name, data: change(new TextDecoder().decode(data as Uint8Array)) }
          : { name, data },
      ),
    );
  const edited = (files: Map<string, Uint8Array>, from: string, to: string) => {
    for (const [name, bytes] of files) {
      if (bytes !== base) files.set(name, utf8(new TextDecoder().decode(bytes).replace(from, to)));
    }
  };
  const other = new Uint8Array(Buffer.from(Buffer.from(base).toString("latin1").replace("lower", "LOWER"), "latin1"));
  const swap = (files: Map<string, Uint8Array>) => files.set(`blobs/sha256/${digestOf(base)}`, other);
  test.each<[string, () => Uint8Array, string]>([
    ["a layer that is not the config's", () => saved(image({ packed: [other] })), "ERR_EIF_INPUT_DRIFT"],
    ["a blob that is not its name's", () => layout(image(), swap), "ERR_EIF_INPUT_DRIFT"],
    [
      "a config that is not its blob's name",
      () => layout(image(), (files) => edited(files, '"/app"', '"/apq"')),
      "ERR_EIF_INPUT_DRIFT",
    ],
    ["a blob of another size", () => layout(image(), (files) => edited(files, '"size":', '"size":1')), "ERR_EIF_INPUT"],
    [
      "a config that is not its name's",
      () => saved(image({ configName: `${"0".repeat(64)}.json` })),
      "ERR_EIF_INPUT_DRIFT",
    ],
    ["a config without a digest for a name", () => saved(image({ configName: "config.json" })), "ERR_EIF_INPUT_DRIFT"],
    ["fewer layers than the config says", () => saved(image({ diffIds: ["sha256:0", "sha256:1"] })), "ERR_EIF_INPUT"],
    ["another architecture", () => saved(image({ architecture: "arm64" })), "ERR_EIF_INPUT"],
    [
      "a layer compressed with zstd",
      () => saved(image({ packed: [Uint8Array.of(0x28, 0xb5, 0x2f, 0xfd)] })),
      "ERR_EIF_INPUT",
    ],
    ["a layer of broken gzip", () => saved(image({ packed: [gzipSync(base).subarray(0, 50)] })), "ERR_EIF_INPUT"],
    ["neither manifest.json nor index.json", () => tar({ name: "a" }), "ERR_EIF_INPUT"],
    ["a manifest.json that is none", () => tar({ name: "manifest.json", data: "[" }), "ERR_EIF_INPUT"],
    [
      "an index without an image",
      () => layout(image(), (files) => files.set("index.json", utf8("{}"))),
      "ERR_EIF_INPUT",
    ],
    [
      "a link in the archive",
      () => tar({ name: "manifest.json", type: "2", link: "/etc/passwd" }),
      "ERR_EIF_SOURCE manifest.json",
    ],
    ["a name twice in the archive", () => tar({ name: "a" }, { name: "a" }), "ERR_EIF_SOURCE a"],
    [
      "a name that would write to the terminal",
      () => tar({ name: "\u001b[2J\u009b\u202e" }, { name: "\u001b[2J\u009b\u202e" }),
      "ERR_EIF_SOURCE \\u001b[2J\\u009b\\u202e",
    ],
    [
      "another image in index.json than in manifest.json",
      () => both(saved(image()), layout(image({ config: { Cmd: ["/evil"] } }))),
      "ERR_EIF_INPUT_DRIFT",
    ],
  ])("refuses %s", async (_, archive, expected) => {
    expect(await verdict(() => open(archive()))).toBe(expected);
  });

  test("index.json beside manifest.json is accepted where it names the same config", async () => {
    expect(await open(both(saved(image()), layout(image())))).toEqual(await open(saved(image())));
  });

  test("two images in manifest.json are refused, each of which alone is accepted", async () => {
    const twice = rewritten(saved(image()), (text) => text.replace(/^\[(.*)\]$/, "[$1,$1]"));
    await expect(open(twice)).rejects.toMatchObject({ code: "ERR_EIF_INPUT", details: { input: "manifest.json" } });
    await expect(open(rewritten(saved(image()), (text) => text))).resolves.toBeDefined();
  });

  test("an image without layers is refused for that, though its config agrees", async () => {
    const none = saved(image({ layers: [], config: { Cmd: ["/app"] } }));
    const details = { input: "the image", rule: expect.stringContaining("layers") };
    await expect(open(none)).rejects.toMatchObject({ code: "ERR_EIF_INPUT", details });
  });

  test("what unpacks to more than the limit is stopped: the archive, a layer, all layers together", async () => {
    const size = base.length;
    const packed = [new Uint8Array(gzipSync(base))];
    const twice = { layers: [base, base] };
    const limited = (archive: Uint8Array, maxBytes: number) =>
      verdict(() => readContainer(archive, { architecture: "x86_64", maxBytes }));
    expect(await limited(saved(image({ packed })), size)).toBe("accepted");
    expect(await limited(saved(image({ packed })), size - 1)).toBe("ERR_EIF_INPUT");
    expect(await limited(new Uint8Array(gzipSync(saved(image()))), size)).toBe("ERR_EIF_INPUT");
    expect(await limited(saved(image(twice)), 2 * size)).toBe("accepted");
    expect(await limited(saved(image(twice)), 2 * size - 1)).toBe("ERR_EIF_INPUT");
  });
});

describe("what a container runs", () => {
  const passwd = "root:x:0:0::/:/bin/sh\nweb:x:101:102::/:/bin/sh\n";
  const files = tar(
    APP,
    { name: "etc/passwd", data: passwd },
    { name: "etc/group", data: "www:x:33:\n" },
    { name: "usr/bin/node", data: "elf", mode: "0000755" },
    { name: "bin", type: "2", link: "usr/bin" },
    { name: "loop", type: "2", link: "loop" },
    { name: "up", type: "2", link: "../../../../app" },
    { name: "plain", data: "x" },
  );
  const exec = async (config: object) => (await open(saved({ layers: [files], config }))).exec;

  test("entry point, command, environment, folder, user", async () => {
    const config = {
      Entrypoint: ["node"],
      Cmd: ["/app/x.mjs"],
      Env: ["PATH=/none:/bin", "A=b=c"],
      WorkingDir: "/srv",
      User: "web:www",
    };
    expect(await exec(config)).toEqual({
      program: "/bin/node",
      arguments: ["node", "/app/x.mjs"],
      directory: "/srv",
      environment: ["PATH=/none:/bin", "A=b=c"],
      uid: 101,
      gid: 33,
    });
  });

  test.each<[object, object]>([
    [{ Cmd: ["app"], WorkingDir: "/", Env: ["PATH=/"] }, { program: "/app" }],
    [{ Cmd: ["./app"] }, { program: "/./app" }],
    [{ Cmd: ["/up"] }, { program: "/up" }],
    [
      { Cmd: ["/app"], User: "web" },
      { uid: 101, gid: 102 },
    ],
    [
      { Cmd: ["/app"], User: "7" },
      { uid: 7, gid: 0 },
    ],
    [
      { Cmd: ["/app"], User: "7:8" },
      { uid: 7, gid: 8 },
    ],
    [
      { Cmd: ["/app"], User: null, Env: null },
      { uid: 0, gid: 0, environment: [] },
    ],
  ])("%j → %j", async (config, expected) => {
    expect(await exec(config)).toMatchObject(expected);
  });

  test("accounts of more than 1 MiB are refused", async () => {
    const layer = (size: number) => tar(APP, { name: "etc/passwd", data: passwd.padEnd(size, "#") });
    const read = (size: number) => open(saved({ layers: [layer(size)], config: { Cmd: ["/app"], User: "web" } }));
    expect(await verdict(() => read(2 ** 20))).toBe("accepted");
    expect(await verdict(() => read(2 ** 20 + 1))).toBe("ERR_EIF_INPUT");
  });

  test.each<[string, object]>([
    ["nothing to run", {}],
    ["an empty program", { Cmd: [""] }],
    ["a program that is not there", { Cmd: ["/gone"] }],
    ["a program that is not executable", { Cmd: ["/plain"] }],
    ["a program that is a loop of links", { Cmd: ["/loop"] }],
    ["a user that is not there", { Cmd: ["/app"], User: "nobody" }],
    ["a group that is not there", { Cmd: ["/app"], User: "web:none" }],
    ["a relative folder", { Cmd: ["/app"], WorkingDir: "srv" }],
    ["a folder of 4097 bytes", { Cmd: ["/app"], WorkingDir: `/${"x".repeat(4096)}` }],
    ["a program of 4097 bytes", { Cmd: [`${"/".repeat(4093)}/app`] }],
    ["a program of 1 MiB of segments", { Cmd: [`${"/.".repeat(400_000)}/app`] }],
    ["a PATH of 4097 bytes", { Cmd: ["app"], Env: [`PATH=/:${"x".repeat(4096)}`] }],
    ["a PATH of 257 folders", { Cmd: ["app"], Env: [`PATH=${":".repeat(255)}:/`] }],
    ["an environment that is no list", { Cmd: ["/app"], Env: "A=b" }],
  ])("refuses %s", async (_, config) => {
    expect(await verdict(() => exec(config))).toBe("ERR_EIF_INPUT");
  });
});
