/** The emulator's KMS and STS as boto3 sees them: `boto3_drive.py` does and checks, here is what it found. */
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { ACCOUNT, hasClients, PYTHON, run, startWorld, type World } from "./world.ts";

const FAMILIES = [
  ...["keys", "aliases", "tags", "policies", "grants", "encryption", "data_keys", "data_key_pairs", "random"],
  ...["signatures", "macs", "agreement", "imports", "rotation", "multi_region", "deletion", "key_stores", "sessions"],
];

describe.skipIf(!hasClients)("boto3 (skipped where it is not installed: make aws-clients)", () => {
  let world: World;
  const found = new Map<string, string | null>();
  let rest = "";

  beforeAll(async () => {
    world = await startWorld();
    const script = fileURLToPath(new URL("boto3_drive.py", import.meta.url));
    const { roles, token, randomOnly, aws } = world;
    const setting = { account: ACCOUNT, ...roles, token, randomOnly, certificate: aws.caCertificatePem };
    const { stdout, stderr } = await run(world, [PYTHON, script], { input: JSON.stringify(setting) });
    rest = stderr;
    for (const line of stdout.split("\n").filter((text) => text !== "")) {
      const { family, failure } = JSON.parse(line) as { family: string; failure: string | null };
      found.set(family, failure);
    }
  }, 300_000);
  afterAll(() => world[Symbol.asyncDispose]());

  test("every family was driven", () => {
    expect([...found.keys()], rest).toEqual(FAMILIES);
  });

  test.each(FAMILIES)("%s", (family) => {
    expect(found.get(family)).toBeNull();
  });

  test("it was boto3 that called, over TLS", () => {
    const records = world.aws.trail();
    expect(records.length).toBeGreaterThan(100);
    for (const { event } of records) {
      expect(event.userAgent).toMatch(/^Boto3\/\d/);
      expect(event.tlsDetails).toMatchObject({ tlsVersion: expect.stringMatching(/^TLSv1\.[23]$/) });
    }
  });
});
