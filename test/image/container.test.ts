import { gzipSync } from "node:zlib";
import { describe, expect, test } from "vitest";
import { readContainer } from "../../image/container.ts";
import { utf8 } from "../../shared/bytes.ts";
import type { ArchiveEntry } from "../../shared/eif/cpio-write.ts";
import { verdict } from "../eif/craft.ts";
import { type Craft, digestOf, layout, type RawTar, saved, tar } from "./craft-tar.ts";

const APP: RawTar = { name: "app", data: "#!", mode: "0000755" };
const base = tar({ name: "etc/", type: "5", mode: "0000755" }, { name: "etc/x", data: "lower" }, APP);
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
    ["an owner beyond 32 bits", [{ name: "a", uid: "\x80\x00\x00\x01\x00\x00\x00\x00" }]],
  ])("refuses %s", async (_, layer) => {
    expect(await verdict(() => tree(layer))).toMatch(/^ERR_EIF_SOURCE/);
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
    ["no layers", () => saved(image({ layers: [] })), "ERR_EIF_INPUT"],
    ["another architecture", () => saved(image({ architecture: "arm64" })), "ERR_EIF_INPUT"],
    [
      "a layer compressed with zstd",
      () => saved(image({ packed: [Uint8Array.of(0x28, 0xb5, 0x2f, 0xfd)] })),
      "ERR_EIF_INPUT",
    ],
    ["a layer of broken gzip", () => saved(image({ packed: [gzipSync(base).subarray(0, 50)] })), "ERR_EIF_INPUT"],
    ["neither manifest.json nor index.json", () => tar({ name: "a" }), "ERR_EIF_INPUT"],
    ["a manifest.json that is none", () => tar({ name: "manifest.json", data: "[" }), "ERR_EIF_INPUT"],
    ["two images", () => tar({ name: "manifest.json", data: "[{},{}]" }), "ERR_EIF_INPUT"],
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
  ])("refuses %s", async (_, archive, expected) => {
    expect(await verdict(() => open(archive()))).toBe(expected);
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

  test.each<[string, object]>([
    ["nothing to run", {}],
    ["an empty program", { Cmd: [""] }],
    ["a program that is not there", { Cmd: ["/gone"] }],
    ["a program that is not executable", { Cmd: ["/plain"] }],
    ["a program that is a loop of links", { Cmd: ["/loop"] }],
    ["a user that is not there", { Cmd: ["/app"], User: "nobody" }],
    ["a group that is not there", { Cmd: ["/app"], User: "web:none" }],
    ["a relative folder", { Cmd: ["/app"], WorkingDir: "srv" }],
    ["an environment that is no list", { Cmd: ["/app"], Env: "A=b" }],
  ])("refuses %s", async (_, config) => {
    expect(await verdict(() => exec(config))).toBe("ERR_EIF_INPUT");
  });
});
