/**
 * What verifiers may remember: challenges, nonces, chains. Each is bounded, and none makes a check weaker.
 */
import { describe, expect, test, vi } from "vitest";
import {
  createChallengeIssuer,
  createReplayGuard,
  type VerifiedAttestation,
  verifyAttestation,
} from "../../shared/attestation/index.ts";
import { concat } from "../../shared/bytes.ts";
import { isAttestationError } from "../../shared/errors/index.ts";
import { makeDocument, NOW, policyFor } from "./test-pki.ts";
import { twinOf } from "./twin.ts";

function codeOf(run: () => unknown): string {
  try {
    run();
    return "accepted";
  } catch (error) {
    if (!isAttestationError(error)) throw error;
    return error.code;
  }
}

/** A refusal by its code and its facts. */
const refused = (code: string, details: object): Error => expect.objectContaining({ code, details });

/** The same document with the twin of its signature. */
const twin = (document: Uint8Array): Uint8Array => concat(document.subarray(0, -96), twinOf(document.subarray(-96)));

async function answering(
  nonce: Uint8Array | null,
): Promise<{ attestation: VerifiedAttestation; document: Uint8Array; root: Uint8Array }> {
  const { document, root } = await makeDocument({ payload: (fields) => void fields.set("nonce", nonce) });
  const attestation = await verifyAttestation(document, policyFor(root), { now: NOW });
  return { attestation, document, root };
}

describe("a challenge", () => {
  const make = (options: { lifetimeMs?: number; maxOpen?: number } = {}) => {
    const clock = { ms: 0 };
    const issuer = createChallengeIssuer({ lifetimeMs: 1_000, ...options, monotonicMs: () => clock.ms });
    return { clock, issuer };
  };

  test("is 32 bytes, never the same, and is redeemed once", async () => {
    const { issuer } = make();
    const [nonce, other] = [issuer.issue(), issuer.issue()];
    expect(nonce.length).toBe(32);
    expect(nonce).not.toEqual(other);
    const { attestation } = await answering(nonce);
    expect(codeOf(() => issuer.redeem(attestation))).toBe("accepted");
    expect(codeOf(() => issuer.redeem(attestation))).toBe("ERR_ATTESTATION_CHALLENGE_UNKNOWN");
  });

  test("S06, N03: the malleable twin of an answer hits the same entry", async () => {
    const { issuer } = make();
    const { attestation, document, root } = await answering(issuer.issue());
    const again = await verifyAttestation(twin(document), policyFor(root), { now: NOW });
    expect(twin(document)).not.toEqual(document);
    issuer.redeem(attestation);
    expect(codeOf(() => issuer.redeem(again))).toBe("ERR_ATTESTATION_CHALLENGE_UNKNOWN");
  });

  test("N05: of another issuer is unknown", async () => {
    const { attestation } = await answering(make().issuer.issue());
    expect(codeOf(() => make().issuer.redeem(attestation))).toBe("ERR_ATTESTATION_CHALLENGE_UNKNOWN");
  });

  test("a document without a nonce answers none", async () => {
    const { attestation } = await answering(null);
    expect(codeOf(() => make().issuer.redeem(attestation))).toBe("ERR_ATTESTATION_CHALLENGE_UNKNOWN");
  });

  test("N06: lives up to its lifetime and not a millisecond longer", async () => {
    const { issuer, clock } = make();
    const [first, second] = [await answering(issuer.issue()), await answering(issuer.issue())];
    clock.ms = 999;
    expect(codeOf(() => issuer.redeem(first.attestation))).toBe("accepted");
    clock.ms = 1_000;
    const expired = refused("ERR_ATTESTATION_CHALLENGE_EXPIRED", { lifetimeMs: 1_000 });
    expect(() => issuer.redeem(second.attestation)).toThrow(expired);
  });

  test("T10: a system clock set back an hour changes nothing", async () => {
    const { issuer, clock } = make();
    const { attestation } = await answering(issuer.issue());
    vi.useFakeTimers({ now: NOW.getTime() - 3_600_000 });
    clock.ms = 1_000;
    expect(codeOf(() => issuer.redeem(attestation))).toBe("ERR_ATTESTATION_CHALLENGE_EXPIRED");
    vi.useRealTimers();
  });

  test("memory is bounded: no new one while all are open, and none is dropped", async () => {
    const { issuer, clock } = make({ maxOpen: 2 });
    const { attestation } = await answering(issuer.issue());
    issuer.issue();
    expect(() => issuer.issue()).toThrow(refused("ERR_ATTESTATION_CHALLENGES_EXHAUSTED", { maxOpen: 2 }));
    expect(issuer.size).toBe(2);
    expect(codeOf(() => issuer.redeem(attestation))).toBe("accepted");
    clock.ms = 1_000;
    issuer.issue();
    expect(issuer.size).toBe(1);
  });

  test.each([0, -1, Number.NaN, Number.POSITIVE_INFINITY])("a lifetime of %s ms is none", (lifetimeMs) => {
    expect(() => make({ lifetimeMs })).toThrow(RangeError);
  });

  test.each([0, -1, 1.5, Number.NaN])("%s challenges can not be open", (maxOpen) => {
    expect(() => make({ maxOpen })).toThrow(RangeError);
  });
});

describe("a replay guard", () => {
  const make = (maxEntries = 10) => {
    const clock = { ms: 0 };
    return { clock, guard: createReplayGuard({ windowMs: 1_000, maxEntries, monotonicMs: () => clock.ms }) };
  };
  const nonce = (byte: number) => new Uint8Array(16).fill(byte);

  test("N03, S06: admits a nonce once, whatever document carries it", async () => {
    const { guard } = make();
    const { attestation, document, root } = await answering(nonce(1));
    expect(codeOf(() => guard.admit(attestation))).toBe("accepted");
    const again = await verifyAttestation(twin(document), policyFor(root), { now: NOW });
    expect(codeOf(() => guard.admit(again))).toBe("ERR_ATTESTATION_REPLAYED");
  });

  test("forgets after its window, not before", async () => {
    const { guard, clock } = make();
    const { attestation } = await answering(nonce(1));
    guard.admit(attestation);
    clock.ms = 999;
    expect(codeOf(() => guard.admit(attestation))).toBe("ERR_ATTESTATION_REPLAYED");
    clock.ms = 1_000;
    expect(codeOf(() => guard.admit(attestation))).toBe("accepted");
  });

  test("is full rather than forgetful", async () => {
    const { guard } = make(1);
    const [first, second] = [await answering(nonce(1)), await answering(nonce(2))];
    guard.admit(first.attestation);
    const full = refused("ERR_ATTESTATION_REPLAY_GUARD_FULL", { maxEntries: 1 });
    expect(() => guard.admit(second.attestation)).toThrow(full);
    expect(codeOf(() => guard.admit(first.attestation))).toBe("ERR_ATTESTATION_REPLAYED");
    expect(guard.size).toBe(1);
  });

  test.each([0, -1, Number.NaN, Number.POSITIVE_INFINITY])("a window of %s ms is none", (windowMs) => {
    expect(() => createReplayGuard({ windowMs, monotonicMs: () => 0 })).toThrow(RangeError);
  });

  test.each([0, -1, 1.5, Number.NaN])("%s nonces can not be remembered", (maxEntries) => {
    expect(() => make(maxEntries)).toThrow(RangeError);
  });

  test("demands a nonce of 16 bytes", async () => {
    const { guard } = make();
    for (const value of [null, new Uint8Array(0), new Uint8Array(15)]) {
      const { attestation } = await answering(value);
      const details = { expectedBytes: 16, actualBytes: value?.length ?? -1 };
      expect(() => guard.admit(attestation)).toThrow(refused("ERR_ATTESTATION_NONCE_MISMATCH", details));
    }
  });
});

describe("a clock that gives no number", () => {
  test.each<[string, unknown]>([
    ["NaN", Number.NaN],
    ["Infinity", Number.POSITIVE_INFINITY],
    ["nothing", undefined],
    ["a text", "1000"],
    ["a Date", new Date()],
    ["a function", performance.now],
    ["a bigint", 1n],
  ])("is refused rather than believed: %s", async (_, value) => {
    const { attestation } = await answering(new Uint8Array(16));
    const monotonicMs = () => value as number;
    expect(() => createReplayGuard({ windowMs: 1, monotonicMs }).admit(attestation)).toThrow(TypeError);
    expect(() => createChallengeIssuer({ lifetimeMs: 1, monotonicMs }).issue()).toThrow(TypeError);
    let ms: unknown = 0;
    const issuer = createChallengeIssuer({ lifetimeMs: 1, monotonicMs: () => ms as number });
    const answer = await answering(issuer.issue());
    ms = value;
    expect(() => issuer.redeem(answer.attestation)).toThrow(TypeError);
  });
});

describe("functions that take a VerifiedAttestation", () => {
  test("refuse a cast, a copy and plain JavaScript at run time", async () => {
    const { attestation } = await answering(new Uint8Array(16));
    const guard = createReplayGuard({ windowMs: 1, monotonicMs: () => 0 });
    const issuer = createChallengeIssuer({ lifetimeMs: 1, monotonicMs: () => 0 });
    for (const fake of [{ ...attestation }, { nonce: new Uint8Array(16) }, null, undefined, "x"]) {
      expect(() => guard.admit(fake as VerifiedAttestation)).toThrow(TypeError);
      expect(() => issuer.redeem(fake as VerifiedAttestation)).toThrow(TypeError);
    }
  });
});
