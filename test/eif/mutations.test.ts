/** `FUZZ_RUNS` mutations of images, 5,000 unless told; `FUZZ_SEED` repeats a run. */
import { expect, test } from "vitest";
import { describeEif } from "../../shared/eif/describe.ts";
import { collecting } from "../../shared/eif/finding.ts";
import { inspectEif } from "../../shared/eif/inspect.ts";
import { readEif } from "../../shared/eif/read.ts";
import { bytesSource, parseBytes } from "../../shared/eif/source.ts";
import { isEifError } from "../../shared/errors/eif.ts";
import { xorshift } from "../fuzz/fuzzer.ts";
import { craft, nodeDigests } from "./craft.ts";
import { mutateEif, SHAPES } from "./mutator.ts";

const runs = Number(process.env["FUZZ_RUNS"] ?? 5_000);
const seed = Number(process.env["FUZZ_SEED"] ?? Date.now() & 0x7fffffff);

/** `accepted`, or the code; anything that is not a refusal by design is a finding of the fuzzer. */
function verdictOf(read: () => unknown): string {
  try {
    read();
    return "accepted";
  } catch (error) {
    if (isEifError(error)) return error.code;
    throw error;
  }
}

test(`E33: ${runs} mutations give nothing but EifError (seed ${seed})`, { timeout: 60_000 + runs * 2 }, async () => {
  const random = xorshift(seed);
  const seen = new Map<string, number>();
  const memory = process.memoryUsage().rss;
  for (let run = 0; run < runs; run++) {
    const file = mutateEif(random);
    const found = verdictOf(() => readEif(file));
    seen.set(found, (seen.get(found) ?? 0) + 1);
    // The checksum is compared last, when all the rest is accepted.
    const structure = found === "ERR_EIF_CRC" ? "accepted" : found;
    const findings = collecting();
    const lenient = verdictOf(() => parseBytes(describeEif(file.length, findings), file));
    const errors = findings.all.filter(({ severity }) => severity === "error");
    // Both readers are one: what the strict one refuses first is what the other one collects first, or is refused by both.
    const first = errors[0]?.code ?? lenient;
    if (first !== structure) throw new Error(`run ${run}: strict ${structure}, collecting ${first}`);
    if (run % 100 === 0) {
      const inspected = await inspectEif(bytesSource(file), { digests: nodeDigests }).then(
        () => "accepted",
        (error: unknown) => verdictOf(() => raise(error)),
      );
      if (inspected !== found) throw new Error(`run ${run}: in memory ${found}, by pieces ${inspected}`);
    }
  }
  console.log(
    `fuzz eif: ${runs} runs, seed ${seed}: ${[...seen].map(([code, count]) => `${code} ${count}`).join(", ")}`,
  );
  expect(process.memoryUsage().rss - memory).toBeLessThan(256 * 2 ** 20);
  // Every way out was taken, or the mutations are not what they claim to be.
  const ways = ["accepted", "ERR_EIF_CRC", "ERR_EIF_HEADER", "ERR_EIF_SECTION", "ERR_EIF_SIGNATURE"];
  expect([...seen.keys()].sort()).toEqual(ways.sort());
});

function raise(error: unknown): never {
  throw error;
}

test("what is mutated is accepted before", () => {
  expect(SHAPES.map((parts) => verdictOf(() => readEif(craft(parts))))).toEqual(SHAPES.map(() => "accepted"));
});
