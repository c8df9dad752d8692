/** What is decided before anything is started. */

import { stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { Readable } from "node:stream";
import { describe, expect, test } from "vitest";
import { printable } from "../../cli/commands/enclave-console.ts";
import { readImageFacts } from "../../cli/commands/enclave-image.ts";
import { buildEif } from "../../image/index.ts";
import { guestSockets, vsockCommand } from "../../mock/emulator/commands.ts";
import { utf8 } from "../../shared/bytes.ts";
import { checkLaunch, type Platform, startTicks } from "../../shared/launcher.ts";
import { content, metadata, verdict } from "../eif/craft.ts";
import { launch, mockImage, plainImage, scratch } from "./fixture.ts";

describe("the facts of an image", () => {
  async function facts(cmdline: string, CustomMetadata: null | { platform: string } = null) {
    const eifPath = join(await scratch(), "x.eif");
    await writeFile(eifPath, buildEif({ ...content, cmdline, metadata: { ...metadata, CustomMetadata } }));
    return readImageFacts(eifPath);
  }

  test("size and measurements are the file's", async () => {
    const { eifPath, image } = await mockImage(await scratch());
    expect(image.sizeBytes).toBe((await stat(eifPath)).size);
    expect(image.platform).toBe("mock");
    expect(Object.values(image.pcrs).every((pcr) => /^[0-9a-f]{96}$/.test(pcr))).toBe(true);
  });

  test("the command line, which is measured, has the first word; the metadata the second", async () => {
    expect((await facts("quiet cloister.platform=emulated", { platform: "nitro" })).platform).toBe("emulated");
    expect((await facts("quiet", { platform: "emulated" })).platform).toBe("emulated");
    expect((await facts("quiet", { platform: "nitro" })).platform).toBe("nitro");
    expect((await facts("notcloister.platform=mock", { platform: "moon" })).platform).toBe("unknown");
    expect((await facts("quiet")).platform).toBe("unknown");
  });

  test.each([
    "cloister.platform=guest",
    "cloister.platform=",
    "cloister.platform=nitro-emulated",
    'cloister.platform="emulated"',
    "cloister.platform=nitro cloister.platform=emulated",
    "cloister.platform=nitro quiet cloister.platform=nitro",
  ])("%s names no platform of ours: nothing takes it, whatever the metadata say", async (cmdline) => {
    const image = await facts(cmdline, { platform: "nitro" });
    expect(image.platform).toBe("other");
    for (const platform of ["nitro", "emulated", "mock"] as const) {
      const refused = await verdict(() => checkLaunch(platform, launch({ eifPath: "x.eif", image })));
      expect(refused).toMatch(/^ERR_LAUNCHER_IMAGE_PLATFORM/);
    }
  });

  test("a file that is no image is refused", async () => {
    const path = join(await scratch(), "x.eif");
    await writeFile(path, utf8("no image"));
    expect(await verdict(() => readImageFacts(path))).toMatch(/^ERR_EIF_HEADER/);
    expect(await verdict(() => readImageFacts("/nonexistent.eif"))).toBe("ERR_EIF_FILE");
  });
});

describe("checkLaunch", () => {
  test.each([
    ["nitro", "nitro unknown"],
    ["emulated", "nitro emulated unknown"],
    ["mock", "mock"],
  ] as const)("platform %s takes images for %s", async (platform: Platform, takes) => {
    const { eifPath, image } = await plainImage(await scratch());
    for (const made of ["nitro", "emulated", "mock", "unknown"] as const) {
      const wanted = takes.split(" ").includes(made) ? "accepted" : "ERR_LAUNCHER_IMAGE_PLATFORM";
      const options = launch({ eifPath, image: { ...image, platform: made } });
      expect(await verdict(() => checkLaunch(platform, options)), made).toBe(wanted);
    }
  });

  test("memory is four times the image and 64 MiB, to the byte", async () => {
    const { eifPath, image } = await plainImage(await scratch());
    const of = (sizeBytes: number, memoryMiB: number) =>
      verdict(() => checkLaunch("nitro", launch({ eifPath, image: { ...image, sizeBytes } }, { memoryMiB })));
    const MIB = 1024 * 1024;
    expect(await of(32 * MIB, 128)).toBe("accepted");
    expect(await of(32 * MIB + 1, 128)).toBe("ERR_LAUNCHER_MEMORY");
    expect(await of(1, 64)).toBe("accepted");
    expect(await of(1, 63)).toBe("ERR_LAUNCHER_MEMORY");
  });

  test("context ids 4 and 2^32-2 are the first and the last", async () => {
    const image = await plainImage(await scratch());
    for (const cid of [4, 0xffff_fffe]) expect(checkLaunch("nitro", launch(image, { cid })).cid).toBe(cid);
    expect(() => checkLaunch("nitro", { ...launch(image), debug: "yes" as unknown as boolean })).toThrow(TypeError);
  });
});

test("a state folder whose path has a comma gives no command line", async () => {
  const files = { folder: "/emulator" };
  expect(vsockCommand(files, { guests: [guestSockets("/s", 16)] }).args[1]).toContain("socket=/s/16.dev,");
  const hostile = guestSockets("/s,guest-cid=3", 16);
  expect(await verdict(() => vsockCommand(files, { guests: [hostile] }))).toMatch(/^ERR_LAUNCHER_STATE_FOLDER/);
});

test("a console on a terminal can not steer it", async () => {
  const parts = ["in\tside\r\n\u001b[2J\u0007", "\u009b1A\u00e9\u007f\rover"].map(utf8);
  const [first = new Uint8Array(0), second = new Uint8Array(0)] = parts;
  // Parts end anywhere, inside a character too.
  const chunks = [first, second.subarray(0, 1), second.subarray(1), Uint8Array.of(0x9b)];
  let said = "";
  for await (const text of printable(Readable.from(chunks))) said += text;
  expect(said).toBe("in\tside\n\\x1b[2J\\x07\\x9b1A\u00e9\\x7f\\x0dover\ufffd");
});

describe("startTicks", () => {
  const stat = (name: string, state = "S") =>
    `42 (${name}) ${state} 1 42 42 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 98765 1`;

  test("reads field 22, whatever the process is called", () => {
    for (const name of ["node", "a) R 1 2", "(x)", ""]) expect(startTicks(stat(name))).toBe(98_765);
  });

  test("a process that has ended has none, nor has another text", () => {
    for (const state of ["Z", "X", "x"]) expect(startTicks(stat("node", state))).toBeUndefined();
    for (const text of ["", "42", "42 (node) S 1"]) expect(startTicks(text)).toBeUndefined();
  });
});
