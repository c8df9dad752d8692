/** The state folder: whose it is, and what is in it. */
import { once } from "node:events";
import { chmod, chown, mkdir, readdir, rm, symlink, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { removeStateFiles } from "../../mock/launcher/state-files.ts";
import { openStateFolder } from "../../mock/launcher/state-folder.ts";
import { verdict } from "../eif/craft.ts";
import { mockLauncher, scratch } from "./fixture.ts";

describe("the state folder", () => {
  const refused = /^ERR_LAUNCHER_STATE_FOLDER/;

  test("is emptied but for where a parent listens, which outlives the enclaves", async () => {
    const folder = await scratch();
    removeStateFiles(folder);
    await mkdir(join(folder, "v/16"), { recursive: true });
    await mkdir(join(folder, "v/3"));
    for (const name of ["v/16/8080", "v/3/8001", "processes.json", "control.sock"])
      await writeFile(join(folder, name), "");
    removeStateFiles(folder);
    expect((await readdir(folder, { recursive: true })).sort()).toEqual(["v", "v/3", "v/3/8001"]);
    await rm(join(folder, "v/3/8001"));
    removeStateFiles(folder);
    expect(await readdir(folder)).toEqual([]);
    await mkdir(join(folder, "v"));
    await symlink(await scratch(), join(folder, "v/3"));
    removeStateFiles(folder);
    expect(await readdir(folder, { recursive: true })).toEqual(["v", "v/3"]);
  });

  test("is made for this user alone; one that others may enter, a link and a file are refused", async () => {
    const home = await scratch();
    const folder = join(home, "a/b");
    await openStateFolder(folder);
    await openStateFolder(folder);
    for (const mode of [0o701, 0o710, 0o777]) {
      await chmod(folder, mode);
      expect(await verdict(() => openStateFolder(folder))).toMatch(refused);
    }
    await chmod(folder, 0o700);
    await symlink(folder, join(home, "link"));
    await writeFile(join(home, "file"), "");
    for (const name of ["link", "file"])
      expect(await verdict(() => openStateFolder(join(home, name)))).toMatch(refused);
    const launcher = await mockLauncher(join(home, "link"));
    expect(await verdict(() => launcher.list())).toMatch(refused);
    await rm(join(home, "link"));
  });

  test("one of another owner is refused", async () => {
    // What belongs to root is another's for everyone but root, who tries a folder that it has given away.
    const folder = process.getuid?.() === 0 ? await givenAway() : "/";
    expect(await verdict(() => openStateFolder(folder))).toMatch(refused);
  });

  test("a path too long for the sockets below it is refused, one byte less is not", async () => {
    const home = await scratch();
    const of = (length: number): string => join(home, "x".repeat(length - home.length - 1));
    expect(await verdict(() => openStateFolder(of(61)))).toMatch(refused);
    expect(await verdict(() => openStateFolder(of(60)))).toBe("accepted");
  });

  test("a launcher that only looks makes none", async () => {
    const home = await scratch();
    expect(await (await mockLauncher(join(home, "s"))).list()).toEqual([]);
    expect(await readdir(home)).toEqual([]);
  });

  test("someone else's socket in it is not taken for a keeper", async () => {
    const folder = join(await scratch(), "s");
    await openStateFolder(folder);
    const server = createServer((socket) => socket.resume().end("HTTP/1.1 400\r\n\r\n"));
    await once(server.listen(join(folder, "control.sock")), "listening");
    const launcher = await mockLauncher(folder);
    expect(await verdict(() => launcher.list())).toMatch(/^ERR_TRANSPORT_FRAME/);
    await new Promise((done) => server.close(done));
  });
});

async function givenAway(): Promise<string> {
  const folder = join(await scratch(), "other");
  await mkdir(folder, { mode: 0o700 });
  await chown(folder, 65_534, 65_534);
  return folder;
}
