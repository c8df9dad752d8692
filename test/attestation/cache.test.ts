/**
 * The chain cache saves work, and weakens no check.
 */
import { describe, expect, test, vi } from "vitest";
import { createChainCache, verifyAttestation } from "../../shared/attestation/index.ts";
import { isAttestationError } from "../../shared/errors/index.ts";
import { makeChain, makeDocument, NOW, policyFor } from "./test-pki.ts";
import { twinCertificate } from "./twin.ts";

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

  test("of one chain remembers the last", async () => {
    const cache = createChainCache({ maxEntries: 1 });
    const anew = { chain: () => undefined };
    for (const { document, root } of [await makeDocument(anew), await makeDocument(anew)]) {
      expect(await verdict(document, root, cache)).toBe("accepted");
      expect(cache.size).toBe(1);
    }
  });

  test.each([0, -1, 1.5, Number.NaN])("%s chains can not be remembered", (maxEntries) => {
    expect(() => createChainCache({ maxEntries })).toThrow(RangeError);
  });

  test("X44: issuers with the twin of a signature are verified in full, with the same verdict", async () => {
    const cache = createChainCache();
    const spy = spyVerify();
    const chain = await makeChain();
    const [root] = chain.certificates;
    if (!root) throw new TypeError("a chain has a root");
    const twins = chain.certificates.map((der, index) => (index === 2 ? twinCertificate(der) : der));
    for (const certificates of [chain.certificates, twins, chain.certificates, twins]) {
      const { document } = await makeDocument({ certificates: () => [...certificates] });
      expect(await verdict(document, root, cache)).toBe("accepted");
    }
    expect(spy).toHaveBeenCalledTimes(5 + 5 + 2 + 2);
    spy.mockRestore();
  });
});
