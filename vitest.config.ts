import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["test/**/*.test.ts"],
    // What boots guests runs by itself: make test-emulated.
    exclude: ["test/emulated/**", "**/node_modules/**"],
    testTimeout: 20_000,
    // The SDK's notice about future Node versions would stand between the results.
    env: { AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED: "true" },
    coverage: {
      include: ["shared/**/*.ts"],
      reporter: ["text-summary"],
      // The verification path: every branch is taken by a test, and none is left out of the count.
      thresholds: { "shared/{attestation,cose,cbor,der}/**": { branches: 100, functions: 100, lines: 100 } },
    },
  },
});
