import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { toHex } from "../../shared/bytes.ts";
import { makeDocument, NOW, PCR } from "../attestation/test-pki.ts";
import { cloister } from "../built.ts";

const folder = mkdtempSync(join(tmpdir(), "cloister-cli-"));
afterAll(() => rmSync(folder, { recursive: true }));

const file = (name: string, content: string | Uint8Array): string => {
  const path = join(folder, name);
  writeFileSync(path, content);
  return path;
};

let document: string;
let policy: Record<string, unknown>;
const at = ["--at", NOW.toISOString()];

beforeAll(async () => {
  const made = await makeDocument();
  document = file("document.cose", made.document);
  policy = {
    kind: "nsm",
    roots: [{ dangerouslyTrustRoot: Buffer.from(made.root).toString("base64") }],
    images: [{ 0: toHex(PCR(1)), 1: toHex(PCR(2)), 2: toHex(PCR(3)) }],
    nonce: "09".repeat(32),
    maxAgeMs: 60_000,
    userData: "unchecked",
    publicKey: "unchecked",
  };
});

const policyFile = (changes: object = {}): string => file("policy.json", JSON.stringify({ ...policy, ...changes }));

describe("cloister attest verify", () => {
  test("accepts: exit 0, the claims as JSON", async () => {
    const ran = await cloister(["attest", "verify", document, "--policy", policyFile(), ...at, "--json"]);
    expect(ran).toMatchObject({ code: 0, stderr: "" });
    expect(JSON.parse(ran.stdout)).toMatchObject({ verified: true, debug: false, pcrs: { 0: toHex(PCR(1)) } });
  });

  test("reads base64 from standard input when told so", async () => {
    const stdin = readFileSync(document).toString("base64");
    const args = ["attest", "verify", "-", "--encoding", "base64", "--policy", policyFile(), ...at];
    expect((await cloister(args, { stdin })).code).toBe(0);
  });

  test("refused by policy: exit 4, the code, what was expected and what came", async () => {
    const changed = policyFile({ images: [{ 0: toHex(PCR(7)), 1: toHex(PCR(2)), 2: toHex(PCR(3)) }] });
    const ran = await cloister(["attest", "verify", document, "--policy", changed, ...at]);
    expect(ran).toMatchObject({ code: 4, stdout: "" });
    expect(ran.stderr).toMatch(
      /^cloister: error: PCR0 must be 0707\S+, the document says 0101\S+ \[ERR_ATTESTATION_PCR_/,
    );
  });

  test("a refusal is JSON too where JSON is asked for", async () => {
    const ran = await cloister([
      "attest",
      "verify",
      document,
      "--policy",
      policyFile({ nonce: "08".repeat(32) }),
      ...at,
      "--json",
    ]);
    expect(ran.code).toBe(4);
    const json = JSON.parse(ran.stdout);
    expect(json).toMatchObject({ verified: false, code: "ERR_ATTESTATION_NONCE_MISMATCH", live: false });
  });

  test("a closed pipe ends it without a stack", async () => {
    const ran = await cloister(["attest", "inspect", document], { closeStdout: true });
    expect(ran.stderr).toBe("");
  });

  test("not authentic: exit 3", async () => {
    const broken = file("broken.cose", "not a document");
    const ran = await cloister(["attest", "verify", broken, "--policy", policyFile(), ...at]);
    expect(ran).toMatchObject({ code: 3, stdout: "" });
    expect(ran.stderr).toContain("[ERR_ATTESTATION_MALFORMED]");
    expect(ran.stderr).toContain("hint:");
  });

  test("a policy that lacks a field: exit 2, the field named, no stack", async () => {
    const { nonce: _, ...rest } = policy;
    const lacking = file("lacking.json", JSON.stringify(rest));
    const ran = await cloister(["attest", "verify", document, "--policy", lacking, ...at]);
    expect(ran.code).toBe(2);
    expect(ran.stderr).toContain("nonce is missing");
    expect(ran.stderr).not.toContain("    at ");
  });

  test("--debug shows the stack", async () => {
    const ran = await cloister(["--debug", "attest", "verify", document, "--policy", "/nonexistent.json", ...at]);
    expect(ran.code).toBe(2);
    expect(ran.stderr).toContain("    at ");
  });

  test.each([
    ["no policy", ["attest", "verify", "x"]],
    ["no file", ["attest", "verify", "--policy", "x"]],
    ["an unknown option", ["attest", "verify", "x", "--policy", "y", "--skip-chain"]],
    ["an unknown command", ["attest", "believe"]],
    ["nothing", []],
    ["a time that is none", ["attest", "verify", "x", "--policy", "y", "--at", "yesterday"]],
    ["a time without its zone", ["attest", "verify", "x", "--policy", "y", "--at", "2026-01-31T12:00:00"]],
    ["a missing file", ["attest", "verify", "/nonexistent", "--policy", "/nonexistent"]],
    ["an encoding to guess", ["attest", "verify", "x", "--policy", "y", "--encoding", "auto"]],
  ])("%s: exit 2", async (_, args) => {
    const ran = await cloister(args);
    expect(ran.code).toBe(2);
    expect(ran.stderr + ran.stdout).not.toContain("    at ");
  });
});

describe("cloister attest inspect", () => {
  test("marks everything unverified", async () => {
    const text = await cloister(["attest", "inspect", document]);
    expect(text.stdout.split("\n")[0]).toMatch(/^UNVERIFIED/);
    const json = await cloister(["attest", "inspect", document, "--json"]);
    const shown = JSON.parse(json.stdout);
    expect(shown).toMatchObject({ verified: false, kind: "nsm", debug: false });
    expect(shown.certificates.map(({ subject }: { subject: string }) => subject)).toEqual([
      "CN=root",
      "CN=regional",
      "CN=zonal",
      "CN=instance",
      "CN=leaf",
    ]);
    expect(text.stdout).toMatch(/certificate leaf, .*CN=leaf/);
    expect(text.stdout).toMatch(/PCR0 .* image/);
  });

  test("lets nothing of a document steer a terminal", async () => {
    const hostile = (await makeDocument({ payload: (fields) => void fields.set("\u009b31m\u202e", 1) })).document;
    const ran = await cloister(["attest", "inspect", file("hostile.cose", hostile)]);
    expect(ran.code).toBe(0);
    expect(ran.stdout).toMatch(/^[\n -~]*$/);
  });
});

describe("cloister attest challenge", () => {
  test("prints 32 bytes in hex, never the same", async () => {
    const [a, b] = [await cloister(["attest", "challenge"]), await cloister(["attest", "challenge"])];
    expect(a).toMatchObject({ code: 0, stderr: "" });
    expect(a.stdout).toMatch(/^[0-9a-f]{64}\n$/);
    expect(a.stdout).not.toBe(b.stdout);
  });
});

describe("cloister eif measure", () => {
  test("a file that is no image: exit 3", async () => {
    expect((await cloister(["eif", "measure", document])).code).toBe(3);
  });

  test("no file: exit 2", async () => {
    expect((await cloister(["eif", "measure", join(folder, "nothing.eif")])).code).toBe(2);
  });
});
