import fc from "fast-check";
import { describe, expect, test, vi } from "vitest";
import { DOCUMENT_MAX } from "../../shared/attestation/parse.ts";
import { concat } from "../../shared/bytes.ts";
import { decodeCbor } from "../../shared/cbor/decode.ts";
import { encodeCbor } from "../../shared/cbor/encode.ts";
import { isEncodingError } from "../../shared/errors/index.ts";
import { isAccepted, madePolicy, noise, RUNS, tryParse } from "./noise.ts";
import { policyFor } from "./row.ts";
import { makeDocument, NOW } from "./test-pki.ts";

describe("the work that an input can cause is bounded", () => {
  /** Counts each byte that is read or handed on; the gate can do nothing else with its input. */
  function counting(bytes: Uint8Array): { view: Uint8Array; visits: () => number } {
    let count = 0;
    const view = new Proxy(bytes, {
      get(target, name) {
        if (typeof name === "string" && /^\d+$/.test(name)) count++;
        const value: unknown = Reflect.get(target, name, target);
        if (typeof value !== "function") return value;
        return (...parts: unknown[]) => {
          const result: unknown = value.apply(target, parts);
          if (result instanceof Uint8Array) count += result.length;
          return result;
        };
      },
    });
    return { view, visits: () => count };
  }

  function visitsOf(bytes: Uint8Array, limits = { maxDepth: 3, indefinite: true }): number {
    const { view, visits } = counting(bytes);
    try {
      decodeCbor(view, limits);
    } catch (error) {
      // What passes the gate goes to cbor-x, which takes no proxy.
      if (!isEncodingError(error) && !(error instanceof TypeError)) throw error;
    }
    return visits();
  }

  const full = (byte: number): Uint8Array => new Uint8Array(DOCUMENT_MAX).fill(byte);
  const repeated = (...bytes: number[]): Uint8Array => full(0).map((_, index) => bytes[index % bytes.length] ?? 0);
  const keys = concat(
    Uint8Array.of(0xbf),
    ...Array.from({ length: 8_000 }, (_, index) => concat(encodeCbor(index), Uint8Array.of(0))),
  ).subarray(0, DOCUMENT_MAX);

  test.each<[string, Uint8Array]>([
    ["arrays in arrays", full(0x81)],
    ["endless arrays in arrays", full(0x9f)],
    ["maps in maps", repeated(0xa1, 0x00)],
    ["one endless array of numbers", full(0).with(0, 0x9f)],
    ["one endless array of empty maps", full(0xa0).with(0, 0x9f)],
    ["an endless map of numbers", keys],
    ["texts of one character", repeated(0x61, 0x61).with(0, 0x9f)],
    ["long heads", repeated(0x1b, 1, 1, 1, 1, 1, 1, 1, 1)],
    ["one long text", concat(Uint8Array.of(0x7a, 0, 0, 0x7f, 0xfb), full(0x61).subarray(5))],
    ["one long key", concat(Uint8Array.of(0xa1, 0x7a, 0, 0, 0x7f, 0xf9), full(0x61).subarray(6))],
    [
      "a count that the input does not have",
      concat(Uint8Array.of(0x9b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff), full(0).subarray(9)),
    ],
  ])("B20, B22, B23: the gate visits each byte of %s a few times at most", (_, bytes) => {
    expect(bytes.length).toBeLessThanOrEqual(DOCUMENT_MAX);
    expect(visitsOf(bytes)).toBeLessThanOrEqual(6 * bytes.length);
  });

  test("B20: of 2^32 announced bytes none is visited, or allocated for", () => {
    expect(visitsOf(Uint8Array.of(0x5a, 0xff, 0xff, 0xff, 0xff, 0, 0, 0))).toBeLessThanOrEqual(6);
  });

  test("the gate visits each byte of any input a few times at most", () => {
    fc.assert(
      fc.property(fc.oneof(noise, fc.uint8Array({ maxLength: 2_000 })), (bytes) => {
        expect(visitsOf(bytes, { maxDepth: 8, indefinite: true })).toBeLessThanOrEqual(6 * bytes.length + 6);
      }),
      { numRuns: RUNS },
    );
  });

  test("no input costs more than six signature checks, and none before the document is well-formed", async () => {
    const verify = vi.spyOn(crypto.subtle, "verify");
    const longest = await makeDocument({
      chain: (list) => {
        const [root, ...rest] = list.splice(0);
        if (!root) throw new TypeError("a root");
        list.push(root, { ...root, subject: "CN=super" }, ...rest);
        for (const [index, recipe] of list.entries()) recipe.subject = `CN=${index}`;
      },
      message: (m) => void (m.signer = 5),
    });
    try {
      const policy = { ...madePolicy, roots: policyFor(longest.root).roots };
      expect(await isAccepted(longest.document, policy, { now: NOW })).toBe(true);
      expect(verify).toHaveBeenCalledTimes(6);
      await fc.assert(
        fc.asyncProperty(noise, async (input) => {
          verify.mockClear();
          await isAccepted(input, madePolicy, { now: NOW });
          expect(verify.mock.calls.length).toBeLessThanOrEqual(tryParse(input) ? 6 : 0);
        }),
        { numRuns: RUNS },
      );
    } finally {
      verify.mockRestore();
    }
  });
});
