import { defineConfig } from "vitest/config";

/** The tests that judge mutants of the verifier: fast ones, without the fuzzer and the property runs. */
export default defineConfig({
  test: {
    include: ["test/attestation/*.test.ts", "test/cbor/*.test.ts", "test/der/*.test.ts", "test/cose/*.test.ts"],
    exclude: ["test/attestation/properties.test.ts", "test/attestation/second-opinion.test.ts"],
    testTimeout: 20_000,
  },
});
