/** S3 and PostgreSQL from inside, by the command of the README. Where a server is not installed its part is skipped by name. */
import { describe, expect, test } from "vitest";
import { hasMoto, hasPostgresql, linesOf, tell } from "./readme.ts";

describe("S3 and PostgreSQL from inside", () => {
  test.skipIf(!hasPostgresql() || !hasMoto())(
    "runs from its folder by its README's command (skipped where postgresql or moto is not installed)",
    async () => {
      const { code, held, steps, text } = await tell("s3-and-postgresql");
      expect({ code, held }, text).toEqual({ code: 0, held: steps });
      expect(steps).toBe(9);
      expect(text).not.toContain("skipped");
    },
    120_000,
  );

  test("is under 150 lines, both of its files", () => {
    expect(linesOf("s3-and-postgresql") + linesOf("s3-and-postgresql", "database.ts")).toBeLessThan(150);
  });
});
