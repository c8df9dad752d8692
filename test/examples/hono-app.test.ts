/** The Hono example, by the command of its README; and the program that runs examples. */
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, describe, expect, test } from "vitest";
import { accepted, named, searched } from "../../examples/run/outcomes.ts";
import { RemoteError } from "../../shared/errors/index.ts";
import { linesOf, tell } from "./readme.ts";

describe("the Hono app", () => {
  test("runs from its folder by its README's command, and all of its story holds", async () => {
    const { code, held, steps, text } = await tell("hono-app");
    expect({ code, held }, text).toEqual({ code: 0, held: steps });
    expect(steps).toBe(5);
  }, 120_000);

  test("is under 150 lines", () => expect(linesOf("hono-app")).toBeLessThan(150));
});

describe("the program that runs examples", () => {
  const empty = mkdtempSync(join(tmpdir(), "none-"));
  afterAll(() => rmSync(empty, { recursive: true }));
  const run = (...args: string[]): { readonly status: number | null; readonly stderr: string } =>
    spawnSync(process.execPath, [fileURLToPath(new URL("../../dist/examples/run/main.js", import.meta.url)), ...args], {
      cwd: empty,
      encoding: "utf8",
    });

  test.each([[[]], [["--platform", "nitro"]], [["--what"]]])("%j in a folder without an example: usage", (args) => {
    const { status, stderr } = run(...args);
    expect({ status, stderr }).toMatchObject({ status: 2, stderr: expect.stringContaining("usage: node") });
  });

  test("an answer that is a refusal is thrown with its code, one of the SDK's by KMS's name", async () => {
    const refused = Response.json({ code: "ERR_X", message: "no" }, { status: 403 });
    await expect(accepted(refused)).rejects.toMatchObject({ code: "ERR_X" });
    await expect(accepted(new Response("<html>", { status: 500 }))).rejects.toMatchObject({ code: "ERR_HTTP_500" });
    expect((await accepted(new Response("fine"))).status).toBe(200);
    const denied = Object.assign(new Error("no"), { name: "AccessDeniedException", $fault: "client" });
    await expect(named(() => Promise.reject(denied))).rejects.toMatchObject({ code: "ERR_KMS_ACCESS_DENIED" });
    const own = new RemoteError("ERR_X", "refused by policy", "no", {});
    await expect(named(() => Promise.reject(own))).rejects.toBe(own);
  });

  test("a search counts only if it finds what is there", () => {
    const heard = Buffer.from("…http/1.1… a secret …");
    const saw = (bytes: Buffer): boolean => heard.includes(bytes);
    expect(searched(saw, { key: "another" })).toBe("not found: key");
    expect(() => searched(saw, { key: "a secret" })).toThrow("the parent saw key");
    expect(() => searched(() => false, { key: "another" })).toThrow("the search");
  });
});
