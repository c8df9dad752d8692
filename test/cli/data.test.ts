/** `cloister data`: a file is sealed and opened through the emulated KMS, and what goes wrong leaves nothing behind. */
import { randomBytes } from "node:crypto";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, test, vi } from "vitest";
import { dataOpen } from "../../cli/commands/data-open.ts";
import { dataSeal } from "../../cli/commands/data-seal.ts";
import { report, terminalOver } from "../../cli/terminal.ts";
import { startMockAws } from "../../mock/aws/index.ts";
import { ADMIN_ENVIRONMENT, emulatorOptions, newKeyOf } from "./data-bed.ts";

const root = mkdtempSync(join(tmpdir(), "cloister-data-"));
let aws: Awaited<ReturnType<typeof startMockAws>>;
let key = "";
let folder = "";

beforeAll(async () => {
  aws = await startMockAws(emulatorOptions());
  key = await newKeyOf(aws.url);
  for (const [name, value] of Object.entries(ADMIN_ENVIRONMENT)) vi.stubEnv(name, value);
});
afterAll(async () => {
  vi.unstubAllEnvs();
  await aws.close();
  rmSync(root, { recursive: true });
});
beforeEach(() => void (folder = mkdtempSync(join(root, "run-"))));

interface Ran {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** As `cloister data seal|open` runs. */
async function data(verb: "seal" | "open", ...args: readonly string[]): Promise<Ran> {
  const written = { stdout: "", stderr: "" };
  const sink = (name: keyof typeof written) => ({ write: (text: string) => (written[name] += text) });
  const terminal = terminalOver({ stdout: sink("stdout"), stderr: sink("stderr"), hasColour: false, debug: false });
  const run = verb === "seal" ? dataSeal : dataOpen;
  const code = await run(args, terminal).catch((error: unknown) => report(error, terminal));
  return { code, ...written };
}
const at = (name: string): string => join(folder, name);
const usual = (output: string): string[] => [
  "--key",
  key,
  "--context",
  "dataset=x",
  "--output",
  at(output),
  "--endpoint",
  aws.url,
];

describe("cloister data", () => {
  test.each([0, 5, 1_000_000])("seals %i bytes and opens them", async (size) => {
    const plaintext = randomBytes(size);
    writeFileSync(at("plain"), plaintext);
    expect(await data("seal", at("plain"), ...usual("sealed"))).toMatchObject({ code: 0, stderr: "" });
    const opened = await data("open", at("sealed"), ...usual("back"), "--json");
    expect(opened).toMatchObject({ code: 0, stderr: "" });
    expect(JSON.parse(opened.stdout)).toEqual({
      output: at("back"),
      bytes: size,
      keyArn: key,
      context: { dataset: "x" },
    });
    expect(readFileSync(at("back")).equals(plaintext)).toBe(true);
    expect(statSync(at("back")).mode & 0o777).toBe(0o600);
    expect(readdirSync(folder).sort()).toEqual(["back", "plain", "sealed"]);
  });

  test("another context, and a changed file: exit 3, and no output", async () => {
    writeFileSync(at("plain"), "text");
    await data("seal", at("plain"), ...usual("sealed"));
    const other = usual("back").map((arg) => (arg === "dataset=x" ? "dataset=y" : arg));
    expect(await data("open", at("sealed"), ...other)).toMatchObject({ code: 3, stdout: "" });
    const message = readFileSync(at("sealed"));
    message.writeUInt8(message.readUInt8(message.length - 1) ^ 1, message.length - 1);
    writeFileSync(at("sealed"), message);
    const changed = await data("open", at("sealed"), ...usual("back"));
    expect(changed.code).toBe(3);
    expect(changed.stderr).toContain("[ERR_DATA_NOT_OPENED]");
    expect(readdirSync(folder).sort()).toEqual(["plain", "sealed"]);
  });

  test("a KMS that refuses: exit 4; one that is not there: exit 5; what was there stays", async () => {
    writeFileSync(at("plain"), "text");
    writeFileSync(at("sealed"), "kept");
    const absent = key.replace(/key\/.*/, "key/00000000-0000-4000-8000-000000000000");
    const refused = await data("seal", at("plain"), ...usual("sealed").map((arg) => (arg === key ? absent : arg)));
    expect(refused.code).toBe(4);
    const gone = usual("sealed").map((arg) => (arg === aws.url ? "http://127.0.0.1:1" : arg));
    expect((await data("seal", at("plain"), ...gone)).code).toBe(5);
    expect(readFileSync(at("sealed"), "utf8")).toBe("kept");
    expect(readdirSync(folder).sort()).toEqual(["plain", "sealed"]);
  }, 30_000);

  test.each([
    ["a file that is not there", ["absent"], 2],
    ["no key", ["plain", "--key", ""], 2],
    ["an alias", ["plain", "--key", "alias/x"], 2],
    ["a context that is none", ["plain", "--context", "x"], 2],
    ["a name twice", ["plain", "--context", "dataset=y"], 2],
    ["a name of AWS's", ["plain", "--context", "aws-crypto-x=y"], 2],
    ["the input as output", ["plain", "--output", "plain"], 2],
    ["a folder that is not there", ["plain", "--output", "no/where"], 2],
    ["two files", ["plain", "more"], 2],
  ])("%s: exit 2, nothing written", async (_, given, code) => {
    writeFileSync(at("plain"), "text");
    const [name = "", ...more] = given;
    const replaced = more.filter((arg) => arg === "--key" || arg === "--output");
    const rest = usual("sealed");
    for (const option of replaced) rest.splice(rest.indexOf(option), 2);
    const inFolder = more.map((arg, i) => (more[i - 1] === "--output" ? at(arg) : arg));
    const ran = await data("seal", at(name), ...rest, ...inFolder);
    expect(ran).toMatchObject({ code, stdout: "" });
    expect(readdirSync(folder)).toEqual(["plain"]);
    expect(readFileSync(at("plain"), "utf8")).toBe("text");
  });

  test("no context at all: exit 2", async () => {
    writeFileSync(at("plain"), "text");
    const rest = usual("sealed");
    rest.splice(rest.indexOf("--context"), 2);
    expect((await data("seal", at("plain"), ...rest)).code).toBe(2);
  });

  test("--help", async () => {
    for (const verb of ["seal", "open"] as const) {
      const ran = await data(verb, "--help");
      expect(ran).toMatchObject({ code: 0, stderr: "" });
      expect(ran.stdout).toContain(`usage: cloister data ${verb}`);
    }
    expect(existsSync(at("sealed"))).toBe(false);
  });
});
