import { chmodSync, chownSync, mkdirSync, readdirSync, symlinkSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { ownDirectory } from "../../../mock/aws/state/directory.ts";
import { codeOf, newDirectory } from "./testbed.ts";

describe("a state's directory", () => {
  test("has one owner at a time, and is free again when that one releases it", async () => {
    const path = newDirectory();
    const owner = await ownDirectory(path);
    await expect(ownDirectory(path)).rejects.toMatchObject({
      code: "ERR_STATE_LOCKED",
      details: { path, pid: process.pid },
    });
    await owner.release();
    expect(readdirSync(path)).toEqual([]);
    await (await ownDirectory(path)).release();
  });

  test("has one owner at most, however many try at once", async () => {
    const path = newDirectory();
    for (let round = 0; round < 10; round++) {
      const outcomes = await Promise.allSettled(Array.from({ length: 8 }, () => ownDirectory(path)));
      const owners = outcomes.filter((outcome) => outcome.status === "fulfilled");
      expect(owners.length).toBeLessThanOrEqual(1);
      for (const outcome of outcomes)
        if (outcome.status === "rejected") expect(outcome.reason).toMatchObject({ code: "ERR_STATE_LOCKED" });
      for (const { value } of owners) await value.release();
    }
    await (await ownDirectory(path)).release();
    expect(readdirSync(path)).toEqual([]);
  });

  test("is taken over from a dead owner, whose number may be that of a living process", async () => {
    const path = newDirectory();
    mkdirSync(path, { mode: 0o700 });
    await deadSocket(join(path, `owner.${process.pid}.00000000`));
    await deadSocket(join(path, "owner.1.11111111"));
    await deadSocket(join(path, "unborn.22222222"));
    const owner = await ownDirectory(path);
    expect(readdirSync(path)).toHaveLength(1);
    await owner.release();
  });

  test("may have a path that is too long for a socket", async () => {
    const path = join(newDirectory(), "a".repeat(200));
    const owner = await ownDirectory(path);
    expect(await codeOf(ownDirectory(path))).toBe("ERR_STATE_LOCKED");
    await owner.release();
    expect(readdirSync(path)).toEqual([]);
  });

  test.each([0o755, 0o770, 0o701, 0o777, 0o1777])("of mode %o is refused", async (mode) => {
    const path = newDirectory();
    mkdirSync(path);
    chmodSync(path, mode);
    expect(await codeOf(ownDirectory(path))).toBe("ERR_STATE_DIRECTORY");
    expect(readdirSync(path)).toEqual([]);
  });

  test("is refused where it is a link or a file", async () => {
    const path = newDirectory();
    mkdirSync(path, { mode: 0o700 });
    symlinkSync(path, `${path}.link`);
    writeFileSync(`${path}.file`, "");
    expect(await codeOf(ownDirectory(`${path}.link`))).toBe("ERR_STATE_DIRECTORY");
    expect(await codeOf(ownDirectory(`${path}.file`))).toBe("ERR_STATE_DIRECTORY");
    expect(await codeOf(ownDirectory(`${path}.file/below`))).toBe("ERR_STATE_DIRECTORY");
  });

  test.skipIf(process.getuid?.() !== 0)("of another owner is refused (needs root to make one)", async () => {
    const path = newDirectory();
    mkdirSync(path, { mode: 0o700 });
    chownSync(path, 65534, 65534);
    expect(await codeOf(ownDirectory(path))).toBe("ERR_STATE_DIRECTORY");
  });
});

/** What a process leaves that was killed: a socket that nobody listens on. */
async function deadSocket(path: string): Promise<void> {
  const server = createServer();
  await new Promise<void>((done) => server.listen(`${path}.x`, done));
  const { rename } = await import("node:fs/promises");
  await rename(`${path}.x`, path);
  await new Promise((done) => server.close(done));
}
