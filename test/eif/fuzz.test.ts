/** Changes without a name: every word of the header, any byte, any patch. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { EIF_FIELD, EIF_HEADER_BYTES } from "../../shared/eif/layout.ts";
import { readEif } from "../../shared/eif/read.ts";
import { isEifError } from "../../shared/errors/eif.ts";
import { baseline, sealed, verdict, viewOf } from "./craft.ts";

describe("every 16-bit word of the header", () => {
  const words = Array.from({ length: EIF_HEADER_BYTES / 2 }, (_, index) => 2 * index);
  // No other field of the header may take another value: these words are the memory and the cpus.
  const free = new Set([8, 10, 12, 14, 16, 18, 20, 22]);

  test("flipped, is refused by structure or checksum", async () => {
    for (const at of words) {
      const file = baseline();
      viewOf(file).setUint16(at, viewOf(file).getUint16(at) ^ 0xffff);
      expect(`${at} ${await verdict(() => readEif(file))}`).toMatch(/ ERR_EIF_/);
    }
  });

  test("flipped with the checksum made right, is refused by structure alone", async () => {
    for (const at of words.filter((at) => at < EIF_FIELD.crc && !free.has(at))) {
      const file = baseline();
      viewOf(file).setUint16(at, viewOf(file).getUint16(at) ^ 0xffff);
      expect(`${at} ${await verdict(() => readEif(sealed(file)))}`).toMatch(/ ERR_EIF_(HEADER|SECTION)/);
    }
  });
});

test("any change of any byte is refused", () => {
  const file = baseline();
  const property = fc.property(fc.nat(file.length - 1), fc.integer({ min: 1, max: 255 }), (at, mask) => {
    const changed = file.slice();
    changed[at] = (changed[at] ?? 0) ^ mask;
    expect(() => readEif(changed)).toThrow();
  });
  fc.assert(property, { numRuns: process.env["SLOW"] ? 20_000 : 2_000 });
});

test("reading throws nothing but its own error", () => {
  const property = fc.property(fc.uint8Array({ maxLength: 40 }), fc.nat(), fc.boolean(), (patch, at, seal) => {
    const changed = baseline();
    changed.set(patch, at % (changed.length - patch.length));
    try {
      readEif(seal ? sealed(changed) : changed);
    } catch (error) {
      if (!isEifError(error)) throw error;
    }
  });
  fc.assert(property, { numRuns: process.env["SLOW"] ? 20_000 : 2_000 });
});
