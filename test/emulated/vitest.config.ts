import { defineConfig } from "vitest/config";

/** Guests share two cores with each other: one file at a time. */
export default defineConfig({
  test: {
    include: ["test/emulated/*.test.ts"],
    fileParallelism: false,
    testTimeout: 60_000,
    env: { AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED: "true" },
  },
});
