/** What a refused policy says of itself: the field, and the shape of what stood there, never its content. */
import { describe, expect, test } from "vitest";
import { readClock } from "../../shared/attestation/clock.ts";
import { attestationPolicyFromJson, createChallengeIssuer, createReplayGuard } from "../../shared/attestation/index.ts";
import { readMonotonic } from "../../shared/attestation/monotonic.ts";
import { readPolicy } from "../../shared/attestation/policy.ts";
import { isConfigError } from "../../shared/errors/index.ts";
import { policyFor } from "./row.ts";
import { PCR } from "./test-pki.ts";

const ROOT = new Uint8Array(100).fill(1);
const HEX = "ab".repeat(48);

function facts(call: () => unknown): Readonly<Record<string, unknown>> {
  try {
    call();
  } catch (error) {
    if (isConfigError(error)) return { code: error.code, ...error.details };
    throw error;
  }
  return expect.unreachable("it was accepted");
}

const read = (change: object): unknown => readPolicy({ ...policyFor(ROOT), ...change } as never);
const images = (image: unknown): object => ({ images: [image] });

test.each([
  [null, "null"],
  [new Uint8Array(3), "3 bytes"],
  ["ab", "a string of 2 characters"],
  [[1], "an array of 1"],
  [7, "7"],
  [true, "boolean"],
  [{}, "object"],
])("%o is shown as %s", (nonce, actual) => {
  expect(facts(() => read({ nonce }))).toMatchObject({ code: "ERR_CONFIG_FIELD_INVALID", field: "nonce", actual });
});

test("a policy that is none", () => {
  expect(facts(() => readPolicy(null as never))).toMatchObject({ field: "policy", actual: "null" });
  expect(facts(() => readPolicy("all" as never))).toMatchObject({
    field: "policy",
    actual: "a string of 3 characters",
  });
});

test.each([
  ["maxAgeMs", 0],
  ["maxAgeMs", -1],
  ["maxAgeMs", Number.NaN],
  ["maxAgeMs", Number.POSITIVE_INFINITY],
  ["maxAgeMs", "60000"],
  ["nonce", new Uint8Array(15)],
  ["nonce", new Uint8Array(1025)],
  ["userData", new Uint8Array(1025)],
  ["userData", "ab"],
  ["publicKey", new Uint8Array(1025)],
  ["revokedImages", "none"],
  ["images", []],
  ["images", {}],
])("%s of %o is refused by its name", (field, value) => {
  expect(facts(() => read({ [field]: value }))).toMatchObject({ field });
});

test.each([
  ["nonce", new Uint8Array(16)],
  ["nonce", new Uint8Array(1024)],
  ["userData", new Uint8Array(1024)],
  ["userData", new Uint8Array(0)],
  ["maxAgeMs", 0.5],
  ["userData", { purpose: "a", digest: "unchecked", minimumImageVersion: 0 }],
  ["userData", { purpose: `a${"9".repeat(31)}`, digest: PCR(1), minimumImageVersion: "unchecked" }],
  ["images", [{ 0: HEX, 1: HEX.toUpperCase(), 2: PCR(1), 31: HEX }]],
])("%s of %o is taken", (field, value) => void read({ [field]: value }));

describe("user data", () => {
  const good = { purpose: "demo", digest: PCR(1), minimumImageVersion: 1 };
  test.each([
    ["purpose", ""],
    ["purpose", "Demo"],
    ["purpose", " demo"],
    ["purpose", "demo "],
    ["purpose", "9demo"],
    ["purpose", `a${"b".repeat(32)}`],
    ["purpose", 5],
    ["minimumImageVersion", -1],
    ["minimumImageVersion", 1.5],
    ["minimumImageVersion", "1"],
    ["digest", new Uint8Array(47)],
    ["digest", HEX],
  ])("%s of %o", (field, value) => {
    expect(facts(() => read({ userData: { ...good, [field]: value } }))).toMatchObject({ field: `userData.${field}` });
  });
  test("a field that is missing is named as missing", () => {
    const { minimumImageVersion: _, ...rest } = good;
    expect(facts(() => read({ userData: rest }))).toMatchObject({
      code: "ERR_CONFIG_FIELD_MISSING",
      field: "userData.minimumImageVersion",
    });
  });
  test("a digest of its own is copied", () => {
    const digest = PCR(1);
    const policy = readPolicy({ ...policyFor(ROOT), userData: { ...good, digest } });
    digest.fill(0);
    expect(policy.userData).toMatchObject({ digest: PCR(1) });
    const unchecked = readPolicy({ ...policyFor(ROOT), userData: { ...good, digest: "unchecked" } });
    expect(unchecked.userData).toMatchObject({ digest: "unchecked" });
  });
});

describe("images", () => {
  const good = { 0: PCR(1), 1: PCR(2), 2: PCR(3) };
  test.each([
    ["images[0]", "text"],
    ["images[0]", null],
    ["images[0]", [PCR(1)]],
    ["images[0].01", { ...good, "01": HEX }],
    ["images[0].x1", { ...good, x1: HEX }],
    ["images[0].1x", { ...good, "1x": HEX }],
    ["images[0].32", { ...good, 32: HEX }],
    ["images[0].3", { ...good, 3: `${HEX}0` }],
    ["images[0].3", { ...good, 3: `g${HEX.slice(1)}` }],
    ["images[0].3", { ...good, 3: ` ${HEX}` }],
    ["images[0].3", { ...good, 3: `${HEX}00` }],
    ["images[0].3", { ...good, 3: `00${HEX}` }],
    ["images[0].3", { ...good, 3: new Uint8Array(47) }],
    ["images[0].3", { ...good, 3: 5 }],
    ["images[0].3", { ...good, 3: [HEX] }],
    ["images[0].3", { ...good, 3: Array.from(PCR(1)) }],
  ])("%s", (field, image) => expect(facts(() => read(images(image)))).toMatchObject({ field }));
});

describe("clocks", () => {
  test.each([
    ["now", { now: new Date("never"), clockSkewMs: 0 }, "object"],
    ["now", { now: 5 as never, clockSkewMs: 0 }, "number"],
    ["clockSkewMs", { now: new Date(), clockSkewMs: -1 }, "-1"],
    ["clockSkewMs", { now: new Date(), clockSkewMs: 300_001 }, "300001"],
    ["clockSkewMs", { now: new Date(), clockSkewMs: "5" as never }, "5"],
    ["clockSkewMs", { now: new Date(), clockSkewMs: Number.NaN }, "NaN"],
  ])("%s", (field, clock, actual) => {
    const told = facts(() => readClock(clock));
    expect(told).toMatchObject({ code: "ERR_CONFIG_FIELD_INVALID", field, actual });
    expect(told["expected"]).toMatch(field === "now" ? /Date/ : /0 to 300000/);
  });
  test.each([Number.NaN, Number.POSITIVE_INFINITY, "5", undefined])("a monotonic clock that gives %o", (value) =>
    expect(() => readMonotonic(() => value as number)).toThrow(TypeError),
  );
  test("one entry is enough for a guard and an issuer, none is not", () => {
    const monotonicMs = (): number => 0;
    const issuer = createChallengeIssuer({ lifetimeMs: 5, maxOpen: 1, monotonicMs });
    issuer.issue();
    expect(() => issuer.issue()).toThrow(/1 challenges are open/);
    expect(createReplayGuard({ windowMs: 5, maxEntries: 1, monotonicMs }).size).toBe(0);
    expect(() => createChallengeIssuer({ lifetimeMs: 5, maxOpen: 0, monotonicMs })).toThrow(RangeError);
    expect(() => createReplayGuard({ windowMs: 5, maxEntries: 0, monotonicMs })).toThrow(RangeError);
  });
});

describe("policies in JSON", () => {
  const good = { kind: "nsm", roots: ["aws"], images: [], nonce: "ab", maxAgeMs: 1, userData: "cd", publicKey: "ef" };
  test.each([
    ["policy", null, "object"],
    ["policy", [], "object"],
    ["roots", { ...good, roots: "aws" }, "string"],
    ["roots", { ...good, roots: [] }, "object"],
    ["roots[0]", { ...good, roots: ["other"] }, "string"],
    ["roots[0]", { ...good, roots: [null] }, "object"],
    ["roots[0]", { ...good, roots: [{ dangerouslyTrustRoot: 5 }] }, "object"],
    ["roots[0]", { ...good, roots: [{ dangerouslyTrustRoot: "AAAA", more: 1 }] }, "object"],
    ["roots[0]", { ...good, roots: [{ trustRoot: "AAAA" }] }, "object"],
    ["roots[0]", { ...good, roots: [{ dangerouslyTrustRoot: "not base64!" }] }, "object"],
    ["roots[0]", { ...good, roots: [{ dangerouslyTrustRoot: "AAAA" }] }, "object"],
    ["nonce", { ...good, nonce: "abc" }, "string"],
    ["nonce", { ...good, nonce: "xx" }, "string"],
    ["publicKey", { ...good, publicKey: 5 }, "number"],
    ["userData", { ...good, userData: true }, "boolean"],
    ["userData.digest", { ...good, userData: { purpose: "a", digest: "zz" } }, "string"],
  ])("%s", (field, json, actual) => {
    expect(facts(() => attestationPolicyFromJson(json))).toMatchObject({ field, actual });
  });
  test("hex becomes bytes, and unchecked stays", () => {
    const policy = attestationPolicyFromJson({ ...good, userData: "unchecked", $schema: "https://example.com/s" });
    expect(policy).toMatchObject({ nonce: Uint8Array.of(0xab), publicKey: Uint8Array.of(0xef), userData: "unchecked" });
    expect("$schema" in policy).toBe(false);
    expect(attestationPolicyFromJson({ ...good, userData: "" }).userData).toEqual(new Uint8Array(0));
  });
});
