/** The commands as functions, on files; how they are started is tested in test/cli. */
import { execFileSync } from "node:child_process";
import { sign } from "node:crypto";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { eifDiff } from "../../cli/commands/eif-diff.ts";
import { eifExtract } from "../../cli/commands/eif-extract.ts";
import { eifInspect } from "../../cli/commands/eif-inspect.ts";
import { eifMeasure } from "../../cli/commands/eif-measure.ts";
import { eifSign } from "../../cli/commands/eif-sign.ts";
import { eifVerify } from "../../cli/commands/eif-verify.ts";
import { report, terminalOver } from "../../cli/terminal.ts";
import { utf8 } from "../../shared/bytes.ts";
import { readEif } from "../../shared/eif/read.ts";
import { buildEif } from "../../shared/eif/write.ts";
import { baseline, CMDLINE, content, craft, KERNEL, METADATA, RAMDISK, SIGNATURE } from "./craft.ts";
import { makeIdentity, NOW } from "./signing.ts";

const folder = mkdtempSync(join(tmpdir(), "eif-commands-"));
afterAll(() => rmSync(folder, { recursive: true }));
let names = 0;
const fresh = (): string => join(folder, String(names++));
const file = (bytes: Uint8Array | string): string => {
  const path = fresh();
  writeFileSync(path, bytes);
  return path;
};

const commands = {
  measure: eifMeasure,
  inspect: eifInspect,
  diff: eifDiff,
  verify: eifVerify,
  sign: eifSign,
  extract: eifExtract,
};

async function run(
  verb: keyof typeof commands,
  ...args: string[]
): Promise<{ code: number; out: string; err: string }> {
  const said = { out: "", err: "" };
  const terminal = terminalOver({
    stdout: { write: (text) => (said.out += text) },
    stderr: { write: (text) => (said.err += text) },
    hasColour: false,
    debug: false,
  });
  const code = await commands[verb](args, terminal).catch((error: unknown) => report(error, terminal));
  return { code, ...said };
}

const image = file(baseline());
const identity = makeIdentity();
const other = makeIdentity();
const certificate = file(identity.pem);
const pkcs8 = file(identity.privateKey.export({ type: "pkcs8", format: "pem" }) as string);
const sec1 = file(identity.privateKey.export({ type: "sec1", format: "pem" }) as string);
const at = ["--at", NOW.toISOString()];

test.each(Object.keys(commands) as (keyof typeof commands)[])(
  "eif %s --help has an example; no operand is exit 2",
  async (verb) => {
    const help = await run(verb, "--help");
    expect(help.code).toBe(0);
    expect(help.out).toMatch(new RegExp(`^usage: cloister eif ${verb} [\\s\\S]+example: cloister eif ${verb} `));
    expect((await run(verb)).code).toBe(2);
  },
);

describe("eif measure", () => {
  test("prints the PCRs; as JSON what eif verify expects", async () => {
    expect((await run("measure", image)).out).toMatch(/^PCR0 [0-9a-f]{96}\nPCR1 [0-9a-f]{96}\nPCR2 [0-9a-f]{96}\n$/);
    const { out } = await run("measure", image, "--json");
    expect(await run("verify", image, "--measurements", file(out))).toMatchObject({ code: 0, err: "" });
  });

  test("refuses a layout that is not standard with exit 3, and measures it when told to", async () => {
    const odd = file(
      craft([
        [KERNEL, utf8("k")],
        [RAMDISK, utf8("r")],
        [CMDLINE, utf8("c")],
      ]),
    );
    expect(await run("measure", odd)).toMatchObject({ code: 3, out: "" });
    const told = await run("measure", odd, "--allow-nonstandard");
    expect([told.code, told.out.startsWith("PCR0 ")]).toEqual([0, true]);
    expect(told.err).toContain("AWS's reader measures in the order of the file");
  });

  test("E30: standard input is no image", async () => {
    expect((await run("measure", "-")).code).toBe(2);
  });
});

describe("eif inspect", () => {
  test("marks what is not measured, in both forms", async () => {
    const { out } = await run("inspect", image);
    expect(out).toMatch(/section 2 {3}metadata, \d+ bytes, unmeasured/);
    expect(out).toMatch(/\nheader .*; unmeasured\n/);
    const { unmeasured, signature, sections, pcrs } = JSON.parse((await run("inspect", image, "--json")).out);
    expect(Object.keys(unmeasured)).toEqual([
      "size",
      "version",
      "flags",
      "architecture",
      "defaultMemoryBytes",
      "defaultCpus",
      "crc32",
      "metadata",
    ]);
    expect([signature, sections.length, Object.keys(pcrs)]).toEqual(["none", 5, ["PCR0", "PCR1", "PCR2"]]);
  });

  test("nothing in an image steers the terminal", async () => {
    const sly = file(
      craft([
        [KERNEL, utf8("k")],
        [CMDLINE, utf8("\u001b]0;x\r\u009b\u202e")],
        [METADATA, utf8('{"a":"\u009b\u202e"}')],
        [RAMDISK, utf8("r")],
        [RAMDISK, utf8("s")],
      ]),
    );
    const [text, json] = [await run("inspect", sly), await run("inspect", sly, "--json")];
    for (const { out } of [text, json]) expect(out).toMatch(/^[\n -~]*$/);
    expect(text.out).toContain("?]0;x");
    expect(JSON.parse(json.out).cmdline).toBe("\u001b]0;x\r\u009b\u202e");
    const missing = await run("inspect", `${folder}/\u001b]0;x\u009b\u202e`);
    expect([missing.code, missing.err]).toEqual([2, expect.stringMatching(/^[\n -~]*$/)]);
  });

  test("what is cut off a command line has a mark", async () => {
    const of = async (length: number): Promise<string | undefined> => {
      const long = craft([
        [KERNEL, utf8("k")],
        [CMDLINE, utf8("x".repeat(length))],
        [RAMDISK, utf8("r")],
      ]);
      return (await run("inspect", file(long))).out.match(/cmdline {5}(.*)/)?.[1];
    };
    expect(await of(4_096)).toBe("x".repeat(4_096));
    expect(await of(4_097)).toBe(`${"x".repeat(4_096)}…`);
  });

  test("a signature that can not be read is not one that is missing", async () => {
    const broken = file(
      craft([
        [KERNEL, utf8("k")],
        [CMDLINE, utf8("c")],
        [RAMDISK, utf8("r")],
        [SIGNATURE, utf8("x")],
      ]),
    );
    expect((await run("inspect", broken)).code).toBe(3);
    expect((await run("inspect", broken, "--allow-nonstandard")).out).toContain("\nsignature   unreadable\n");
    const json = await run("inspect", broken, "--allow-nonstandard", "--json");
    expect(JSON.parse(json.out).signature).toBe("unreadable");
  });
});

describe("eif diff", () => {
  test("E14: a twin with equal PCRs is exit 4", async () => {
    const twin = file(buildEif({ ...content, cmdline: "console=tty", ramdisks: [utf8("S0init"), utf8("app")] }));
    const { code, out } = await run("diff", image, twin);
    expect([code, out.split(":")[0]]).toEqual([4, "boundaries"]);
    expect(await run("diff", image, image)).toMatchObject({ code: 0, out: "identical: no difference\n" });
    expect(JSON.parse((await run("diff", image, twin, "--json")).out).verdict).toBe("boundaries");
  });
});

describe("eif sign and verify", () => {
  const signed = async (...args: string[]): Promise<{ path: string; code: number; out: string }> => {
    const path = fresh();
    const own = args.includes("--certificate") ? [] : ["--certificate", certificate];
    return { path, ...(await run("sign", image, ...own, "--out", path, ...args)) };
  };

  test.each([
    ["PKCS#8", pkcs8],
    ["SEC1", sec1],
  ])("with a key in %s: the PCRs stay, PCR8 comes, the image verifies", async (_, key) => {
    const { path, code, out } = await signed("--key", key);
    expect([code, out.startsWith((await run("measure", image)).out)]).toEqual([0, true]);
    expect(out).toBe((await run("measure", path)).out);
    const sections = readEif(new Uint8Array(readFileSync(path))).sections.map(({ type }) => type);
    expect(sections).toEqual(["kernel", "cmdline", "metadata", "ramdisk", "ramdisk", "signature"]);
    const expected = file((await run("measure", path, "--json")).out);
    expect(await run("verify", path, "--measurements", expected, ...at)).toMatchObject({ code: 0 });
    expect(JSON.parse((await run("verify", path, "--measurements", expected, ...at, "--json")).out)).toMatchObject({
      verified: true,
      signature: "valid",
      sectionTable: "verified",
    });
    expect((await run("verify", path, "--measurements", expected, "--at", "2030-01-01T00:00:00Z")).code).toBe(4);
    expect((await run("verify", image, "--measurements", expected, ...at)).code).toBe(4);
  });

  test("with a key elsewhere: the bytes to sign, then the signature in DER", async () => {
    const tbs = fresh();
    expect(await run("sign", image, "--print-to-be-signed", "--out", tbs)).toMatchObject({ code: 0, out: "" });
    expect((await run("sign", image, "--print-to-be-signed")).out.trim()).toBe(readFileSync(tbs).toString("hex"));
    const der = file(sign("sha384", readFileSync(tbs), identity.privateKey));
    const { path, code } = await signed("--signature", der);
    expect(code).toBe(0);
    expect(JSON.parse((await run("inspect", path, "--json")).out).signature).toBe("valid");
    const wrong = await signed("--signature", file(sign("sha384", readFileSync(tbs), other.privateKey)));
    expect([wrong.code, existsSync(wrong.path)]).toEqual([3, false]);
  });

  test("the digest that openssl would sign is of those bytes", async () => {
    const tbs = fresh();
    await run("sign", image, "--print-to-be-signed", "--out", tbs);
    const der = fresh();
    execFileSync("openssl", ["dgst", "-sha384", "-sign", pkcs8, "-out", der, tbs]);
    expect((await signed("--signature", der)).code).toBe(0);
  });

  test.each<[string, () => string[], number]>([
    ["another's key", () => ["--key", file(other.privateKey.export({ type: "pkcs8", format: "pem" }) as string)], 2],
    [
      "a P-256 key",
      () => [
        "--key",
        file(makeIdentity({ curve: "P-256" }).privateKey.export({ type: "pkcs8", format: "pem" }) as string),
      ],
      2,
    ],
    ["no key at all", () => ["--key", file("key")], 2],
    [
      "a key that needs a passphrase",
      () => [
        "--key",
        file(
          identity.privateKey.export({
            type: "pkcs8",
            format: "pem",
            cipher: "aes-128-cbc",
            passphrase: "x",
          }) as string,
        ),
      ],
      2,
    ],
    ["a key and a signature", () => ["--key", pkcs8, "--signature", pkcs8], 2],
    ["neither", () => [], 2],
    ["a certificate of P-256", () => ["--key", pkcs8, "--certificate", file(makeIdentity({ curve: "P-256" }).pem)], 2],
    ["no certificate", () => ["--key", pkcs8, "--certificate", pkcs8], 3],
  ])("refuses %s, and leaves no file", async (_, args, expected) => {
    const { code, path, out } = await signed(...args());
    expect([code, out, existsSync(path)]).toEqual([expected, "", false]);
  });

  test("overwrites nothing, and replaces a signature only when told to", async () => {
    const { path } = await signed("--key", pkcs8);
    const before = readFileSync(path);
    expect((await run("sign", image, "--certificate", certificate, "--key", pkcs8, "--out", path)).code).toBe(2);
    expect(readFileSync(path)).toEqual(before);
    const again = [
      "sign",
      path,
      "--certificate",
      file(other.pem),
      "--key",
      file(other.privateKey.export({ type: "sec1", format: "pem" }) as string),
    ] as const;
    const next = fresh();
    expect((await run(...again, "--out", next)).code).toBe(2);
    expect((await run(...again, "--out", next, "--replace")).code).toBe(0);
    expect(readEif(new Uint8Array(readFileSync(next))).sections).toHaveLength(6);
    expect((await run("measure", next)).out).not.toBe((await run("measure", path)).out);
  });

  test("a signature stands before metadata that stands last", async () => {
    const last = file(
      craft([
        [KERNEL, utf8("k")],
        [CMDLINE, utf8("c")],
        [RAMDISK, utf8("r")],
        [METADATA, utf8("{}")],
      ]),
    );
    const out = fresh();
    expect((await run("sign", last, "--certificate", certificate, "--key", pkcs8, "--out", out)).code).toBe(0);
    const sections = readEif(new Uint8Array(readFileSync(out))).sections.map(({ type }) => type);
    expect(sections).toEqual(["kernel", "cmdline", "ramdisk", "signature", "metadata"]);
  });

  test("verify: exit 3 for what is no image, 4 for another, 2 for no expectation", async () => {
    const expected = file((await run("measure", image, "--json")).out);
    const another = file(buildEif({ ...content, kernel: utf8("other") }));
    expect((await run("verify", file("x"), "--measurements", expected)).code).toBe(3);
    const refused = await run("verify", another, "--measurements", expected, "--json");
    expect(refused.code).toBe(4);
    expect(JSON.parse(refused.out)).toMatchObject({
      verified: false,
      code: "ERR_EIF_MEASUREMENT",
      details: { index: 0 },
    });
    expect((await run("verify", image)).code).toBe(2);
    expect((await run("verify", image, "--measurements", file("{}"))).code).toBe(2);
    expect((await run("verify", image, "--measurements", expected, "--at", "yesterday")).code).toBe(2);
  });

  test("verify says that the section table is unchecked where none is expected", async () => {
    const { Measurements } = JSON.parse((await run("measure", image, "--json")).out);
    const { code, out, err } = await run("verify", image, "--measurements", file(JSON.stringify({ Measurements })));
    expect([code, out.split("\n")[0]]).toEqual([0, "verified: signature none, section table unchecked"]);
    expect(err).toContain("hint");
  });
});

describe("eif extract", () => {
  test("writes each section, and refuses a folder that is there", async () => {
    const to = fresh();
    expect((await run("extract", image, to)).out).toBe(
      "00-kernel 6\n01-cmdline.txt 13\n02-metadata.json 219\n03-ramdisk 4\n04-ramdisk 3\n",
    );
    expect(
      readdirSync(to)
        .sort()
        .map((name) => readFileSync(join(to, name)).length),
    ).toEqual([6, 13, 219, 4, 3]);
    expect(readFileSync(join(to, "03-ramdisk"), "utf8")).toBe("init");
    expect((await run("extract", image, to)).code).toBe(2);
  });

  test("an image that is not accepted leaves nothing behind", async () => {
    const to = fresh();
    expect((await run("extract", file(baseline().with(600, 1)), to)).code).toBe(3);
    expect(existsSync(to)).toBe(false);
  });
});
