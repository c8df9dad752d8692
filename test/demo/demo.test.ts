/**
 * The main job as a user runs it. The story checks itself; here it is checked that it is whole.
 */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import type { StepRecord } from "../../cli/demo/story.ts";
import { cloister } from "../built.ts";

interface DemoJson {
  readonly trust: string;
  readonly held: boolean;
  readonly steps: readonly StepRecord[];
}

const folder = mkdtempSync(join(tmpdir(), "cloister-demo-"));
afterAll(() => rmSync(folder, { recursive: true }));

/** Every refusal that the story must show, in order. */
const REFUSALS = [
  "ERR_KMS_ACCESS_DENIED", // the parent's own role, no document
  "ERR_ATTESTATION_SIGNATURE", // one bit flipped
  "ERR_ATTESTATION_STALE", // ten minutes later
  "ERR_ATTESTATION_ROOT_UNTRUSTED", // a forged root
  "ERR_ATTESTATION_CHAIN", // the genuine root in front of a forged chain
  "ERR_KMS_ACCESS_DENIED", // one byte of the image changed
  "ERR_ATTESTATION_PCR_MISMATCH",
  "ERR_KMS_ACCESS_DENIED", // debug mode
  "ERR_ATTESTATION_DEBUG_MODE",
  "ERR_TRANSPORT_HOST_NOT_ALLOWED",
  "ERR_KMS_PLAINTEXT_IN_RESPONSE",
  "ERR_KMS_KEY_ID_MISMATCH",
  "ERR_KMS_RECIPIENT_UNOPENABLE", // made for another key
  "ERR_KMS_RECIPIENT_UNOPENABLE", // names another recipient
  "ERR_DATA_NOT_OPENED", // another purpose
  "ERR_DATA_LOADED", // a second version
  "ERR_TRANSPORT_TLS_REFUSED", // the parent as KMS
  "ERR_ATTESTATION_NONCE_MISMATCH",
  "ERR_ATTESTATION_STALE",
  "ERR_ATTESTATION_USER_DATA_MISMATCH",
  "ERR_DATA_RESULT_SIGNATURE",
  "ERR_ATTESTATION_USER_DATA_MISMATCH", // another question
  "ERR_ATTESTATION_ROOT_UNTRUSTED",
];

describe("cloister demo", () => {
  test("the whole story holds, every attack refused for its own reason, no canary seen", {
    timeout: 120_000,
  }, async () => {
    const ran = await cloister(["demo", "--json"]);
    const story = JSON.parse(ran.stdout) as DemoJson;
    expect(story.steps.filter((step) => !step.held)).toEqual([]);
    expect(story.steps.flatMap(({ code }) => (code ? [code] : []))).toEqual(REFUSALS);
    expect(story).toMatchObject({ trust: "mock", held: true });
    expect(ran.code).toBe(0);
    expect(story.steps.map(({ title }) => title).join("\n")).toMatch(/planted canaries/);
    expect(ran.stderr).toMatch(/MOCK MODE/);
  });

  test("a broken row stops it with a code, the place and exit 2, and never quotes the value", {
    timeout: 60_000,
  }, async () => {
    const secret = "fifteen-minutes";
    const flights = join(folder, "flights.csv");
    const strikes = join(folder, "strikes.csv");
    const header = "date,origin,state,destination,distance_miles,delay_minutes";
    writeFileSync(
      flights,
      `${header}\n2001-01-01,SFO,California,LAX,337,5\n2001-01-01,SFO,California,LAX,337,${secret}\n`,
    );
    writeFileSync(strikes, "date,airport,state,operator,species,damage,cost_usd\n");
    const ran = await cloister(["demo", "--json", "--flights", flights, "--strikes", strikes]);
    const story = JSON.parse(ran.stdout) as DemoJson;
    expect(story.steps.at(-1)).toMatchObject({ held: false, code: "ERR_DATA_ROW" });
    expect(story.held).toBe(false);
    expect(ran.code).toBe(2);
    expect(ran.stderr).toContain("data set flights, line 3, column delay_minutes: expected an integer [ERR_DATA_ROW]");
    expect(ran.stderr + ran.stdout).not.toContain(secret);
    expect(ran.stderr).not.toContain("    at ");
  });
});
