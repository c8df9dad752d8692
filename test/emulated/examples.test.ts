/** Each example in an enclave that boots, by the command of its README. */
import { describe, expect, test } from "vitest";
import { hasMoto, hasPostgresql, tell } from "../examples/readme.ts";
import { hasEmulator } from "./emulator.ts";

const STORY_MS = 400_000;

describe.skipIf(!hasEmulator)("examples in an emulated enclave (needs `make emulator`)", () => {
  const whole = async (example: string): Promise<void> => {
    const { code, held, steps, text } = await tell(example, "--platform emulated");
    expect({ code, held }, text).toEqual({ code: 0, held: steps });
    expect(text).not.toContain("skipped");
  };

  test.each(["hono-app", "signing-service", "pii-tokeniser"])("%s", whole, STORY_MS);

  test.skipIf(!hasPostgresql() || !hasMoto())(
    "s3-and-postgresql (skipped where postgresql or moto is not installed)",
    () => whole("s3-and-postgresql"),
    STORY_MS,
  );
});
