/**
 * Every row of the reference table of negative cases (§2 documents, §3.2 images, §3.3 vsock and NSM, §3.4 the parent, §3.5 AWS as far as the
 * emulator and client go, §3.1 CMS, §3.6 messages and keys, §3.7 secrets) has a test of its id that would run,
 * or stands in rows.json as judged wrong, with the reason. Ids are read from the titles that vitest itself collects, so a
 * row in a comment, in a skipped test or in a table that no test reads does not count.
 */
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { beforeAll, describe, expect, test } from "vitest";
import { ATTESTATION_TABLE } from "../shared/errors/attestation.ts";
import { hasVectors } from "./vectors.ts";

type Entry =
  | { readonly id: string; readonly "covered by": "automatic" }
  | { readonly id: string; readonly "judged wrong": string };

const FOLDERS = [
  ...["test/attestation", "test/conformance", "test/cbor"],
  ...["test/mock-aws", "test/kms"],
  ...["test/eif", "test/image", "test/transport", "test/native", "test/nsm", "test/fuzz"],
  ...["test/parent", "test/cli", "test/enclave", "test/envelope", "test/client", "test/canaries"],
];
const root = fileURLToPath(new URL("..", import.meta.url));
const entries = JSON.parse(readFileSync(new URL("rows.json", import.meta.url), "utf8")) as readonly Entry[];

/** How many rows each letter has in the table. */
const COUNTS = {
  B: 31,
  C: 21,
  S: 12,
  D: 36,
  X: 45,
  T: 10,
  N: 10,
  P: 13,
  E: 34,
  V: 20,
  NSM: 8,
  K: 45,
  R: 32,
  M: 29,
  L: 9,
  H: 14,
  G: 12,
} as const;
const ROW_ID = /\b(?:[BCSDXTNPEVKRMLHG]|NSM)\d\d\b/g;

/** Full titles of the tests that would run; vitest leaves out those that are skipped. */
function collectTitles(): string[] {
  const own = Object.entries(process.env).filter(([name]) => !/^VITEST|^TEST$|^NODE_ENV$|^NODE_OPTIONS$/.test(name));
  const vitest = fileURLToPath(new URL("../node_modules/vitest/vitest.mjs", import.meta.url));
  const output = execFileSync(process.execPath, [vitest, "list", ...FOLDERS, "--json", "--no-isolate"], {
    cwd: root,
    encoding: "utf8",
    env: Object.fromEntries(own),
    maxBuffer: 1 << 26,
    stdio: ["ignore", "pipe", "ignore"],
  });
  return (JSON.parse(output.slice(output.indexOf("["))) as { name: string }[]).map(({ name }) => name);
}

describe("rows of the reference table", () => {
  let titles: string[] = [];
  beforeAll(() => void (titles = collectTitles()), 180_000);

  test("rows.json has each row once", () => {
    const ids = entries.map(({ id }) => id);
    expect(new Set(ids).size).toBe(ids.length);
    for (const [letter, count] of Object.entries(COUNTS)) {
      expect(ids.filter((id) => id.replace(/\d+$/, "") === letter).length, letter).toBe(count);
    }
  });

  test.skipIf(!hasVectors)("each row is a test, or judged wrong with a reason (needs the reference vectors)", () => {
    expect(titles.length).toBeGreaterThan(1_000);
    const declared = new Set(titles.flatMap((title) => title.match(ROW_ID) ?? []));
    const judged = entries.filter((entry) => "judged wrong" in entry);
    const covered = entries.filter((entry) => "covered by" in entry && declared.has(entry.id));
    process.stdout.write(`rows: ${covered.length + judged.length} of ${entries.length}`);
    process.stdout.write(` (${covered.length} by tests, ${judged.length} judged wrong)\n`);
    const missing = entries.filter((entry) => "covered by" in entry && !declared.has(entry.id)).map(({ id }) => id);
    expect(missing).toEqual([]);
    expect([...declared].filter((id) => !entries.some((entry) => entry.id === id))).toEqual([]);
    for (const entry of judged) expect("judged wrong" in entry && entry["judged wrong"].length).toBeGreaterThan(40);
  });

  test("every code of a refusal has a row", () => {
    // The last five are about what a verifier remembers: state.test.ts.
    const remembered = /_(REPLAYED|REPLAY_GUARD_FULL|CHALLENGE_UNKNOWN|CHALLENGE_EXPIRED|CHALLENGES_EXHAUSTED)$/;
    const expected = new Set(titles.flatMap((title) => title.match(/ERR_ATTESTATION_[A-Z_]+/g) ?? []));
    expect(Object.keys(ATTESTATION_TABLE).filter((code) => !expected.has(code) && !remembered.test(code))).toEqual([]);
  });
});
