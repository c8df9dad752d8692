import { defineConfig } from "vitest/config";

// What boots guests runs by itself: make test-emulated.
const APART = ["test/emulated/**", "**/node_modules/**"];
/** Files that share what they import, the AWS SDK above all: each leaves nothing behind. */
const SHARING = ["test/mock-aws/**/*.test.ts", "test/recorded/**/*.test.ts"];

export default defineConfig({
  test: {
    testTimeout: 20_000,
    // The default leaves a core free, of two.
    maxWorkers: 2,
    // The SDK's notice about future Node versions would stand between the results.
    env: { AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED: "true" },
    projects: [
      { extends: true, test: { name: "aws", include: SHARING, exclude: APART, isolate: false } },
      { extends: true, test: { name: "all", include: ["test/**/*.test.ts"], exclude: [...APART, ...SHARING] } },
    ],
    coverage: {
      include: ["shared/**/*.ts"],
      reporter: ["text-summary"],
      // The verification path: every branch is taken by a test, and none is left out of the count.
      thresholds: { "shared/{attestation,cose,cbor,der}/**": { branches: 100, functions: 100, lines: 100 } },
    },
  },
});
