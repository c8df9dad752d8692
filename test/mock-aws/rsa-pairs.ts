/**
 * RSA pairs that many keys of a test file share, where what a key is made of is not the subject: two primes of 2,048
 * bits take a second or two.
 *
 * @module
 */
import { afterAll, beforeAll, type MockInstance, vi } from "vitest";
import { generateKeyMaterial, KeyPairPool, type RsaKeySpec } from "../../mock/aws/kms/algorithms/index.ts";

/** While the file's tests run, the emulators' pools give these numbers of pairs, in turn; other specs are made as ever. */
export function shareRsaPairs(numbers: Readonly<Partial<Record<RsaKeySpec, number>>>): void {
  let spy: MockInstance<KeyPairPool["take"]> | undefined;
  beforeAll(() => {
    const take = KeyPairPool.prototype.take;
    const made = new Map<string, Promise<Uint8Array>[]>();
    for (const [spec, count] of Object.entries(numbers) as [RsaKeySpec, number][])
      made.set(
        spec,
        Array.from({ length: count }, () => generateKeyMaterial(spec)),
      );
    spy = vi.spyOn(KeyPairPool.prototype, "take").mockImplementation(function (this: KeyPairPool, spec) {
      const pairs = made.get(spec);
      const next = pairs?.shift();
      if (!pairs || !next) return take.call(this, spec);
      pairs.push(next);
      return next.then((pair) => Uint8Array.from(pair));
    });
  });
  afterAll(() => spy?.mockRestore());
}
