/** The verifier is one small file that needs WebCrypto and nothing of Node. */
import { readFileSync } from "node:fs";
import { createContext, runInContext } from "node:vm";
import { gzipSync } from "node:zlib";
import { beforeAll, describe, expect, test } from "vitest";
import { mockRows, type Row } from "./rows.ts";
import { bundleVerifier, surroundingsOf, type VerifierBundle } from "./verifier-bundle.ts";

const GZIPPED_MAX = 40_000;
/** What the verifier takes from its surroundings; all of it is in every browser, Node, Deno and Workers. */
const WEB_PLATFORM = ["TextDecoder", "TextEncoder", "atob", "crypto"];

let bundle: VerifierBundle;
beforeAll(async () => {
  bundle = await bundleVerifier();
});

describe("the verifier, bundled and minified", () => {
  test(`has at most ${GZIPPED_MAX} bytes gzipped`, () => {
    const gzipped = gzipSync(bundle.text, { level: 9 }).length;
    console.log(`verifier: ${gzipped} bytes gzipped, ${bundle.text.length} minified`);
    expect(gzipped).toBeGreaterThan(5_000);
    expect(gzipped).toBeLessThanOrEqual(GZIPPED_MAX);
  });

  test("imports nothing, and is made of shared/ and cbor-x alone", () => {
    expect(bundle.imports).toEqual([]);
    const foreign = bundle.inputs.filter((path) => !path.startsWith("shared/"));
    expect(foreign).toEqual(["node_modules/cbor-x/dist/decode-no-eval.cjs"]);
    expect(bundle.inputs.length).toBeGreaterThan(20);
  });

  test("our part of it uses the web platform only: no Buffer, no process", async () => {
    const ours = await bundleVerifier({ external: ["cbor-x/*"] });
    expect(surroundingsOf(ours.text)).toEqual(WEB_PLATFORM);
  });

  test("cbor-x adds names that it probes, and Buffer in the branch for indefinite strings, which the gate refuses", () => {
    const added = surroundingsOf(bundle.text).filter((name) => !WEB_PLATFORM.includes(name));
    expect(added).toEqual(["Buffer", "define", "self"]);
    expect(bundle.text.match(/\bBuffer\.\w+/g)).toEqual(["Buffer.concat"]);
  });

  test("the guard sees Node's names", () => {
    expect(surroundingsOf("Buffer.from([]); process.exit(); new Uint8Array(1); setImmediate(f)")).toEqual([
      "Buffer",
      "f",
      "process",
      "setImmediate",
    ]);
  });
});

describe("a context with the language, WebCrypto and text codecs, where no code is made from strings", () => {
  const judge = readFileSync(new URL("./judge.mjs", import.meta.url), "utf8").replace("export ", "");

  async function verdicts(rows: readonly Row[]): Promise<unknown[]> {
    const { text } = await bundleVerifier({ format: "iife" });
    const context = createContext(
      { TextDecoder, TextEncoder, atob, crypto },
      { codeGeneration: { strings: false, wasm: false } },
    );
    runInContext(`${text};${judge}`, context);
    return Promise.all(rows.map((row) => runInContext(`judge(cloister, ${JSON.stringify(row)})`, context)));
  }

  test("judges as Node does", async () => {
    const rows = await mockRows();
    expect(await verdicts(rows)).toEqual(rows.map((row) => row.expect));
  });

  test("has neither Buffer, process, require nor eval", () => {
    const context = createContext({}, { codeGeneration: { strings: false, wasm: false } });
    expect(runInContext("[typeof Buffer, typeof process, typeof require]", context).join()).toBe(
      "undefined,undefined,undefined",
    );
    expect(() => runInContext("new Function('return 1')", context)).toThrow(/Code generation from strings/);
  });
});
