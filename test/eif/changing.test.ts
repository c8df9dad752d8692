/** A file whose bytes change and whose times do not, as memory shared with it can; and what an output's name stands for. */
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeEach, describe, expect, test, vi } from "vitest";
import { extractEifFile } from "../../image/eif-extract.ts";
import { createFile } from "../../image/eif-output.ts";
import { signEifFile } from "../../image/eif-sign.ts";
import { readEif } from "../../shared/eif/read.ts";
import { baseline, verdict } from "./craft.ts";
import { makeIdentity } from "./signing.ts";

/** What happens to each read of the image: the bytes and where they come from. */
const reads = vi.hoisted(() => ({ see: (_bytes: Uint8Array, _offset: number): void => undefined }));
vi.mock("node:fs", async (original) => {
  const fs = await original<typeof import("node:fs")>();
  const readSync = (fd: number, into: Uint8Array, start: number, length: number, offset: number): number => {
    const count = fs.readSync(fd, into, start, length, offset);
    reads.see(into.subarray(start, start + count), offset);
    return count;
  };
  return { ...fs, readSync };
});

const folder = mkdtempSync(join(tmpdir(), "eif-changing-"));
afterAll(() => rmSync(folder, { recursive: true }));
const image = join(folder, "app.eif");
const output = join(folder, "output");
const identity = makeIdentity();
const pem = identity.privateKey.export({ type: "pkcs8", format: "pem" }) as string;
const make = {
  sign: () =>
    signEifFile(image, {
      signer: { kind: "key", pem: Buffer.from(pem), name: "key" },
      certificatePem: identity.pem,
      output,
    }),
  extract: () => extractEifFile(image, output),
};
type Verb = keyof typeof make;
const verbs = Object.keys(make) as Verb[];

beforeEach(() => {
  reads.see = () => undefined;
  writeFileSync(image, baseline());
  rmSync(output, { recursive: true, force: true });
});

/** Calls `then` at each read of this byte from the given one on. */
function fromRead(number: number, at: number, then: (bytes: Uint8Array, index: number) => void): void {
  let seen = 0;
  reads.see = (bytes, offset) => {
    if (at >= offset && at < offset + bytes.length && ++seen >= number) then(bytes, at - offset);
  };
}

const offsetOf = (index: number): number => (readEif(baseline()).sections[index]?.offset ?? 0) + 12;
const flip = (bytes: Uint8Array, index: number): void => void (bytes[index] = (bytes[index] ?? 0) ^ 1);

describe("bytes that change after they were measured", () => {
  test.each<[Verb, string, number, number]>([
    // The start of kernel, command line and metadata is parsed too, before it is hashed.
    ["sign", "kernel", offsetOf(0), 3],
    ["sign", "command line", offsetOf(1), 3],
    ["sign", "a section's type", offsetOf(3) - 11, 3],
    ["sign", "first ramdisk", offsetOf(3), 2],
    ["sign", "last ramdisk", offsetOf(4), 2],
    ["extract", "kernel", offsetOf(0), 3],
    ["extract", "metadata", offsetOf(2), 3],
    ["extract", "last ramdisk", offsetOf(4), 2],
  ])("%s refuses: %s", async (verb, _, at, number) => {
    fromRead(number, at, flip);
    expect(await verdict(make[verb])).toBe("ERR_EIF_FILE");
    expect(readdirSync(folder)).toEqual(["app.eif"]);
  });

  test.each(verbs)("%s accepts a file that stays as it is", async (verb) => {
    expect(await verdict(make[verb])).toBe("accepted");
    expect(readdirSync(folder)).toEqual(["app.eif", "output"]);
  });
});

describe("an output's name", () => {
  test.each(verbs)("%s: is not given to what is unfinished", async (verb) => {
    const seen = new Set<boolean>();
    reads.see = () => void seen.add(existsSync(output));
    await make[verb]();
    expect([...seen]).toEqual([false]);
  });

  test.each(verbs)("%s: is not given where the image's times changed last", async (verb) => {
    fromRead(2, offsetOf(4), () => utimesSync(image, 1, 1));
    expect(await verdict(make[verb])).toBe("ERR_EIF_FILE");
    expect(readdirSync(folder)).toEqual(["app.eif"]);
  });

  test.each(verbs)("%s: a file that takes it meanwhile is not overwritten", async (verb) => {
    fromRead(2, offsetOf(4), () => writeFileSync(output, "theirs"));
    expect(await verdict(make[verb])).toBe("ERR_EIF_OUTPUT");
    expect(readFileSync(output, "utf8")).toBe("theirs");
    expect(readdirSync(folder)).toEqual(["app.eif", "output"]);
  });

  test.each(verbs)("%s: an empty folder that takes it meanwhile is not replaced", async (verb) => {
    fromRead(2, offsetOf(4), () => mkdirSync(output, { recursive: true }));
    expect(await verdict(make[verb])).toBe("ERR_EIF_OUTPUT");
    expect(readdirSync(output)).toEqual([]);
  });

  test("is refused before the work where it is taken", async () => {
    writeFileSync(output, "theirs");
    const write = vi.fn();
    expect(await verdict(() => createFile(output, write))).toBe("ERR_EIF_OUTPUT");
    expect(write).not.toHaveBeenCalled();
  });
});
