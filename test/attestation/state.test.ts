/**
 * What verifiers may remember: challenges, nonces, chains. Each is bounded, and none makes a check weaker.
 */
import { describe, expect, test, vi } from "vitest";
import {
  type AttestationPolicy,
  createChainCache,
  createChallengeIssuer,
  createReplayGuard,
  dangerouslyTrustRoot,
  type VerifiedAttestation,
  verifyAttestation,
} from "../../shared/attestation/index.ts";
import { isAttestationError } from "../../shared/errors/index.ts";
import { makeChain, makeDocument, NOW, PCR } from "./test-pki.ts";

function codeOf(run: () => unknown): string {
  try {
    run();
    return "accepted";
  } catch (error) {
    if (!isAttestationError(error)) throw error;
    return error.code;
  }
}

/** Order of the P-384 group (FIPS 186-5). */
const N = 0xffffffffffffffffffffffffffffffffffffffffffffffffc7634d81f4372ddf581a0db248b0a77aecec196accc52973n;

/** The same signature's twin, (r, n - s), which verifies as well. */
function twin(document: Uint8Array): Uint8Array {
  const s = BigInt(`0x${Buffer.from(document.subarray(-48)).toString("hex")}`);
  const mirrored = Buffer.from((N - s).toString(16).padStart(96, "0"), "hex");
  return Uint8Array.from([...document.subarray(0, -48), ...mirrored]);
}

const policyFor = (root: Uint8Array, nonce: Uint8Array | "unchecked" = "unchecked"): AttestationPolicy => ({
  kind: "nsm",
  roots: [dangerouslyTrustRoot(root)],
  images: [{ 0: PCR(1), 1: PCR(2), 2: PCR(3) }],
  nonce,
  maxAgeMs: 60_000,
  userData: "unchecked",
  publicKey: "unchecked",
});

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
    expect(codeOf(() => issuer.redeem(second.attestation))).toBe("ERR_ATTESTATION_CHALLENGE_EXPIRED");
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
    expect(codeOf(() => issuer.issue())).toBe("ERR_ATTESTATION_CHALLENGES_EXHAUSTED");
    expect(issuer.size).toBe(2);
    expect(codeOf(() => issuer.redeem(attestation))).toBe("accepted");
    clock.ms = 1_000;
    issuer.issue();
    expect(issuer.size).toBe(1);
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
    expect(codeOf(() => guard.admit(second.attestation))).toBe("ERR_ATTESTATION_REPLAY_GUARD_FULL");
    expect(codeOf(() => guard.admit(first.attestation))).toBe("ERR_ATTESTATION_REPLAYED");
    expect(guard.size).toBe(1);
  });

  test("demands a nonce of 16 bytes", async () => {
    const { guard } = make();
    for (const value of [null, new Uint8Array(0), new Uint8Array(15)]) {
      const { attestation } = await answering(value);
      expect(codeOf(() => guard.admit(attestation))).toBe("ERR_ATTESTATION_NONCE_MISMATCH");
    }
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

describe("a chain cache", () => {
  const verdict = async (
    document: Uint8Array,
    root: Uint8Array,
    cache: ReturnType<typeof createChainCache>,
    now = NOW,
  ) =>
    verifyAttestation(document, policyFor(root), { now, clockSkewMs: 0, chainCache: cache }).then(
      () => "accepted",
      (error: unknown) => (isAttestationError(error) ? error.code : Promise.reject(error)),
    );
  const spyVerify = () => vi.spyOn(crypto.subtle, "verify");

  test("costs five checks cold and two warm", async () => {
    const cache = createChainCache();
    const { document, root } = await makeDocument();
    const spy = spyVerify();
    expect(await verdict(document, root, cache)).toBe("accepted");
    expect(spy).toHaveBeenCalledTimes(5);
    expect(await verdict(document, root, cache)).toBe("accepted");
    expect(spy).toHaveBeenCalledTimes(7);
    spy.mockRestore();
    expect(cache.size).toBe(1);
  });

  test("X43: the whole chain is judged for time again on a hit", async () => {
    const cache = createChainCache();
    const expires = new Date(NOW.getTime() + 1_800_000);
    const { document, root } = await makeDocument({ chain: (list) => void (list[1] && (list[1].notAfter = expires)) });
    expect(await verdict(document, root, cache)).toBe("accepted");
    const later = new Date(expires.getTime() + 1_000);
    const policy = { ...policyFor(root), maxAgeMs: "unchecked" as const };
    const judging = verifyAttestation(document, policy, { now: later, clockSkewMs: 0, chainCache: cache });
    await expect(judging).rejects.toMatchObject({ code: "ERR_ATTESTATION_CERTIFICATE_TIME" });
  });

  test("a hit never replaces the root's pin", async () => {
    const cache = createChainCache();
    const { document, root } = await makeDocument();
    expect(await verdict(document, root, cache)).toBe("accepted");
    expect(await verdict(document, Uint8Array.of(1), cache)).toBe("ERR_ATTESTATION_ROOT_UNTRUSTED");
  });

  test("the leaf's link and the document's signature are checked on a hit", async () => {
    const cache = createChainCache();
    const { document, root } = await makeDocument();
    expect(await verdict(document, root, cache)).toBe("accepted");
    const broken = document.with(-1, (document.at(-1) ?? 0) ^ 1);
    expect(await verdict(broken, root, cache)).toBe("ERR_ATTESTATION_SIGNATURE");
  });

  test("X44: the key is the exact bytes: an issuer signed anew is another chain, and takes another entry", async () => {
    const cache = createChainCache();
    const chain = await makeChain();
    const again = await makeChain();
    const [root] = chain.certificates;
    if (!root) throw new TypeError("a chain has a root");
    const [, ...others] = again.certificates;
    for (const certificates of [chain.certificates, [root, ...others]]) {
      const { document } = await makeDocument({ certificates: () => [...certificates] });
      expect(await verdict(document, root, cache)).toBe("accepted");
    }
    expect(cache.size).toBe(2);
  });

  test("a refused chain is not remembered", async () => {
    const cache = createChainCache();
    const { document, root } = await makeDocument({ bytes: (d) => d.with(-1, (d.at(-1) ?? 0) ^ 1) });
    expect(await verdict(document, root, cache)).toBe("ERR_ATTESTATION_SIGNATURE");
    expect(cache.size).toBe(0);
  });

  test("is bounded; the least recently used goes", async () => {
    const cache = createChainCache({ maxEntries: 2 });
    const anew = { chain: () => undefined };
    const documents = [await makeDocument(anew), await makeDocument(anew), await makeDocument(anew)];
    const [a, b, c] = documents;
    if (!a || !b || !c) throw new TypeError("three documents");
    for (const { document, root } of [a, b, a, c]) expect(await verdict(document, root, cache)).toBe("accepted");
    expect(cache.size).toBe(2);
    const spy = spyVerify();
    expect(await verdict(a.document, a.root, cache)).toBe("accepted");
    expect(spy).toHaveBeenCalledTimes(2);
    expect(await verdict(b.document, b.root, cache)).toBe("accepted");
    expect(spy).toHaveBeenCalledTimes(7);
    spy.mockRestore();
  });
});
