import { chmodSync, chownSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { readOwnFile } from "../../../parent/config/file.ts";
import { readParentConfig } from "../../../parent/config/read.ts";
import { parseStrictYaml } from "../../../parent/config/yaml.ts";
import { isConfigError } from "../../../shared/errors/index.ts";
import { scratchFolder } from "../../transport/streams.ts";
import { configFile, shown } from "./bed.ts";

const read = (text: string): string => {
  try {
    return JSON.stringify(parseStrictYaml(text, { path: "x" }).value);
  } catch (error) {
    return shown(error);
  }
};

const nested = (levels: number): string => "[".repeat(levels) + "]".repeat(levels);
const staircase = (levels: number): string =>
  Array.from({ length: levels }, (_, level) => `${" ".repeat(level)}a:\n`).join("");

const BOMB = `a: &a [x, x]\nb: &b [*a, *a]\nc: &c [*b, *b]\nd: [*c, *c]\n`;

describe("strict YAML", () => {
  test.each<[string, string, string]>([
    [
      "mappings, sequences, scalars",
      "a: [1, -2, 0.5, true, null, text]\nb: {c: ''}",
      '{"a":[1,-2,0.5,true,null,"text"],"b":{"c":""}}',
    ],
    ["a comment and a marker of the document", "# x\n---\na: 1\n", '{"a":1}'],
    ["what other versions take for a boolean", "a: [yes, no, on, off]", '{"a":["yes","no","on","off"]}'],
    ["R14: anchors and aliases, the bomb", BOMB, "ERR_CONFIG_SYNTAX 1:7"],
    ["R14: an alias of nothing", "a: *b", "ERR_CONFIG_SYNTAX 1:4"],
    ["R14: a key twice", "a: 1\nb: 2\na: 3\n", "ERR_CONFIG_SYNTAX 3:1"],
    ["R14: a key twice, deeper", "a:\n  b: 1\n  b: 1\n", "ERR_CONFIG_SYNTAX 3:3"],
    ["a merge key", "a: 1\n<<: {b: 2}\n", "ERR_CONFIG_SYNTAX 2:1"],
    ["a tag", "a: !!binary aGk=\n", "ERR_CONFIG_SYNTAX 1:13"],
    ["a tag of another's", "a: !ruby/object {}\n", "ERR_CONFIG_SYNTAX 1:4"],
    ["a tag that says what it is anyway", "a: !!str 443\n", "ERR_CONFIG_SYNTAX 1:10"],
    ["two documents", "a: 1\n---\nb: 2\n", "ERR_CONFIG_SYNTAX 2:1"],
    ["a key that is a number", "443: a\n", "ERR_CONFIG_SYNTAX 1:1"],
    ["a key that is a list", "[a]: b\n", "ERR_CONFIG_SYNTAX 1:1"],
    ["R11: a number with a leading zero", "port: 0443\n", "ERR_CONFIG_SYNTAX 1:7"],
    ["a number in hexadecimal", "port: 0x1bb\n", "ERR_CONFIG_SYNTAX 1:7"],
    ["a number with an exponent", "port: 4e2\n", "ERR_CONFIG_SYNTAX 1:7"],
    ["a number with a sign", "port: +443\n", "ERR_CONFIG_SYNTAX 1:7"],
    ["no number", "port: .nan\n", "ERR_CONFIG_SYNTAX 1:7"],
    ["indentation by a tab", "a:\n\tb: 1\n", "ERR_CONFIG_SYNTAX 2:1"],
    ["text that is not ended", 'a: "b\n', "ERR_CONFIG_SYNTAX 2:1"],
    ["brackets without end", "[".repeat(100_000), "ERR_CONFIG_SYNTAX 1:65"],
    ["dashes without end", "- ".repeat(100_000), "ERR_CONFIG_SYNTAX 1:129"],
    ["question marks without end", "? ".repeat(100_000), "ERR_CONFIG_SYNTAX 1:129"],
    ["colons without end", ": ".repeat(100_000), "ERR_CONFIG_SYNTAX 1:129"],
    ["keys without end", "a: b: ".repeat(100_000), "ERR_CONFIG_SYNTAX 1:193"],
    ["indentation without end", staircase(1_000), "ERR_CONFIG_SYNTAX 65:65"],
    ["sixty-four levels", nested(64), nested(64)],
    ["sixty-five levels", nested(65), "ERR_CONFIG_SYNTAX 1:65"],
    ["sixty-four levels of blocks", staircase(64), `${'{"a":'.repeat(64)}null${"}".repeat(64)}`],
    ["sixty-five levels of blocks", staircase(65), "ERR_CONFIG_SYNTAX 65:65"],
    ["brackets in text, as deep as can be", `${"- '[[['\n".repeat(3)}`, '["[[[","[[[","[[["]'],
  ])("%s", (_, text, expected) => {
    expect(read(text)).toBe(expected);
  });

  test("many mappings beside each other are not deep", () => {
    expect(parseStrictYaml("- {a: 1}\n".repeat(10_000), { path: "x" }).value).toHaveLength(10_000);
  });

  // The package's parser calls itself for each collection; the second time its stack ends, V8 ends the process.
  test.each([
    ["brackets that comments seem to close", "[ # ]\n"],
    ["brackets that text seems to close", '[ "]",\n'],
    ["braces that text seems to close", "{ a: '}', b:\n"],
  ])("R14: %s are counted as they are read, again and again", (_, line) => {
    for (const _again of [1, 2, 3]) expect(read(line.repeat(20_000))).toMatch(/^ERR_CONFIG_SYNTAX 65:/);
  });

  test("many keys take as long as many items: each is looked up, not compared with all", () => {
    const time = (text: string): number => {
      const start = performance.now();
      expect(read(text)).not.toMatch(/^ERR/);
      return performance.now() - start;
    };
    const lines = (prefix: string): string => Array.from({ length: 15_000 }, (_, i) => `${prefix}${i}: 1\n`).join("");
    time(lines("- a-key-"));
    expect(time(lines("a-key-"))).toBeLessThan(5 * time(lines("- a-key-")));
  });

  test("the names of an object's own machinery are names", () => {
    const { value } = parseStrictYaml("__proto__: {polluted: true}\nconstructor: 1\n", { path: "x" });
    expect(Object.keys(value as object)).toEqual(["__proto__", "constructor"]);
    expect(({} as Record<string, unknown>)["polluted"]).toBeUndefined();
  });

  test("whatever the text, it is read or refused with a place, and quickly", () => {
    const words = fc.constantFrom(
      "a",
      ":",
      " ",
      "\n",
      "-",
      "[",
      "]",
      "{",
      "}",
      "&a",
      "*a",
      "!x",
      "'",
      '"',
      "|",
      ">",
      "#",
      "?",
      ",",
      "\t",
      "0x1",
      "\u0000",
      "%",
    );
    fc.assert(
      fc.property(fc.array(words, { maxLength: 60 }), (parts) => {
        expect(read(parts.join(""))).toMatch(/^(ERR_CONFIG_SYNTAX \d+:\d+|[[{"ntf\d-].*)$/s);
      }),
      { numRuns: process.env["SLOW"] ? 20_000 : 2_000 },
    );
  });

  test("G02: a refusal does not quote the file", () => {
    try {
      parseStrictYaml("a: &canary-canary [x\nb: canary-canary", { path: "x" });
      expect.unreachable();
    } catch (error) {
      expect(isConfigError(error) && JSON.stringify([error, error.stack, String(error.cause)])).not.toContain(
        "canary-canary",
      );
    }
  });
});

describe("R14: the file", () => {
  const refusal = async (path: string, isSecret = false): Promise<string> =>
    readOwnFile(path, { isSecret }).then(
      () => "taken",
      (error: unknown) => (isConfigError(error) && "reason" in error.details ? error.details.reason : String(error)),
    );

  test("one that is not there, a folder, a device, refused at once", async () => {
    const folder = scratchFolder();
    expect(await refusal(join(folder, "none"))).toBe("ENOENT");
    expect(await refusal(folder)).toBe("not a plain file");
    expect(await refusal("/dev/null")).toBe("not a plain file");
    const loop = join(folder, "loop");
    symlinkSync(loop, loop);
    expect(await refusal(loop)).toBe("ELOOP");
  });

  test("one that its group or anyone may write is refused, one that others may read is not", async () => {
    expect(await refusal(configFile("a: 1", 0o646))).toBe("others may write it: chmod go-w");
    expect(await refusal(configFile("a: 1", 0o664))).toBe("others may write it: chmod go-w");
    expect(await refusal(configFile("a: 1", 0o644))).toBe("taken");
  });

  test("one of somebody else's is refused", async (context) => {
    if (process.getuid?.() !== 0) context.skip("only root gives files away");
    const path = configFile("a: 1");
    chownSync(path, 54_321, 54_321);
    expect(await refusal(path)).toBe("its owner is neither root nor this user");
  });

  test("a secret is its owner's alone", async () => {
    expect(await refusal(configFile("a: 1", 0o640), true)).toBe("others may read it: chmod 600");
    expect(await refusal(configFile("a: 1", 0o600), true)).toBe("taken");
  });

  test("one that is not text, and one without end", async () => {
    expect(await refusal(configFile(Uint8Array.of(0x61, 0xff)))).toBe("not UTF-8");
    expect(await refusal(configFile("#".repeat(4 * 1_048_576 + 1)))).toBe("more than 4194304 bytes");
  });

  test("one that this user may not read", async (context) => {
    if (process.getuid?.() === 0) context.skip("root reads everything");
    expect(await refusal(configFile("a: 1", 0o200))).toBe("EACCES");
  });

  test("all of it together: a file is read, and a mistake names it", async () => {
    const good = configFile("enclave: { platform: nitro, image: app.eif }\n");
    expect((await readParentConfig(good)).enclave).toMatchObject({ kind: "run", cid: 16 });
    const bad = configFile("enclave: { platform: nitro, image: app.eif }\nnonsense: 1\n");
    await expect(readParentConfig(bad)).rejects.toMatchObject({
      code: "ERR_CONFIG_FIELD_UNKNOWN",
      details: { field: "nonsense", at: `${bad}:2:1` },
    });
    chmodSync(good, 0o666);
    await expect(readParentConfig(good)).rejects.toMatchObject({ code: "ERR_CONFIG_FILE" });
  });
});
