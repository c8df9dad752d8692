/**
 * The directory of a state: this user's alone, and one process's at a time.
 *
 * The owner listens on a Unix socket in it, which the kernel closes when the process ends, however it ends. A contender
 * first makes its own, then tries to connect to every other: who answers, lives. A socket gets its lasting name when it
 * listens already, and a name is never used twice, so one that refuses is a dead process's and is removed without a
 * race. Two who look at the same moment both step back and try again; none ever goes on beside another. No number of a
 * process is trusted: it may come again, or mean another process in another container.
 *
 * @module
 */
import { randomBytes } from "node:crypto";
import { type FileHandle, lstat, mkdir, open, readdir, rename, rm } from "node:fs/promises";
import { connect, createServer, type Server } from "node:net";
import { join, resolve } from "node:path";
import { StateError } from "../../../shared/errors/state.ts";

const OWNER = /^owner\.([0-9]+)\.[0-9a-f]{8}$/;
const UNBORN = /^unborn\.[0-9a-f]{8}$/;
/** A socket's path may have so many bytes on every system that has them. */
const SOCKET_PATH_MAX = 103;
const ATTEMPTS = 5;
const RETRY_MS = 20;

/** A directory that no other process owns until it is released. */
export interface OwnedDirectory {
  readonly path: string;
  release(): Promise<void>;
}

/**
 * Makes the directory or checks the one that is there, and takes it.
 *
 * @throws {StateError} `ERR_STATE_DIRECTORY` a link, no directory, another owner, open to others ·
 *   `ERR_STATE_LOCKED` another process, or another part of this one, owns it
 */
export async function ownDirectory(given: string): Promise<OwnedDirectory> {
  const path = resolve(given);
  await checkDirectory(path);
  const handle = await open(path, "r");
  try {
    const socketFolder = socketFolderOf(path, handle);
    for (let attempt = 1; ; attempt++) {
      const outcome = await contend(path, socketFolder);
      if (typeof outcome !== "number") return { path, release: () => release(outcome, handle) };
      if (attempt === ATTEMPTS) throw new StateError("ERR_STATE_LOCKED", { path, pid: outcome });
      // Not the same time for each, or two would step back together for ever.
      await new Promise((done) => setTimeout(done, RETRY_MS * Math.random()));
    }
  } catch (error) {
    await handle.close();
    throw error;
  }
}

async function checkDirectory(path: string): Promise<void> {
  const refused = (rule: string, options?: ErrorOptions): StateError =>
    new StateError("ERR_STATE_DIRECTORY", { path, rule }, options);
  try {
    await mkdir(path, { recursive: true, mode: 0o700 });
  } catch (cause) {
    throw refused((cause as NodeJS.ErrnoException).code ?? "not usable", { cause });
  }
  const stat = await lstat(path);
  if (!stat.isDirectory()) throw refused("it is a directory, not a link");
  if (stat.uid !== process.getuid?.()) throw refused("its owner is this user");
  if ((stat.mode & 0o077) !== 0) throw refused("its mode is 0700");
}

/** Where a path is too long for a socket, Linux has a short one for each directory that is open. */
function socketFolderOf(path: string, { fd }: FileHandle): string {
  const name = `/owner.${process.pid}.01234567`;
  if (Buffer.byteLength(path) + name.length <= SOCKET_PATH_MAX) return path;
  if (process.platform === "linux") return `/proc/self/fd/${fd}`;
  throw new StateError("ERR_STATE_DIRECTORY", {
    path,
    rule: `its path has at most ${SOCKET_PATH_MAX - name.length} bytes`,
  });
}

interface OwnerSocket {
  readonly server: Server;
  readonly file: string;
}

/** The socket that owns the directory, or the number of the process that does. */
async function contend(path: string, socketFolder: string): Promise<OwnerSocket | number> {
  const tail = randomBytes(4).toString("hex");
  const own = `owner.${process.pid}.${tail}`;
  const server = await listen(path, join(socketFolder, `unborn.${tail}`));
  const file = join(path, own);
  try {
    await rename(join(path, `unborn.${tail}`), file);
    const rival = await findRival(path, { socketFolder, own });
    if (rival === undefined) {
      await removeUnborn(path, socketFolder);
      return { server, file };
    }
    await stepBack({ server, file });
    return rival;
  } catch (error) {
    await stepBack({ server, file });
    // The owner cleared it away a moment before it listened; so there is an owner.
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return process.pid;
    throw error;
  }
}

function listen(path: string, socket: string): Promise<Server> {
  const server = createServer((connection) => connection.destroy());
  return new Promise((done, reject) => {
    server.on("error", (cause: NodeJS.ErrnoException) => {
      reject(new StateError("ERR_STATE_DIRECTORY", { path, rule: `no socket in it: ${cause.code}` }, { cause }));
    });
    server.listen(socket, () => done(server.unref()));
  });
}

async function findRival(
  path: string,
  { socketFolder, own }: { readonly socketFolder: string; readonly own: string },
): Promise<number | undefined> {
  for (const name of await readdir(path)) {
    const [, pid] = OWNER.exec(name) ?? [];
    if (name === own || pid === undefined) continue;
    if (await answers(join(socketFolder, name))) return Number(pid);
    await rm(join(path, name), { force: true });
  }
  return undefined;
}

/** Clears away what a process left that ended before its socket had its lasting name. */
async function removeUnborn(path: string, socketFolder: string): Promise<void> {
  for (const name of await readdir(path)) {
    if (UNBORN.test(name) && !(await answers(join(socketFolder, name)))) await rm(join(path, name), { force: true });
  }
}

function answers(socket: string): Promise<boolean> {
  return new Promise((done) => {
    const connection = connect(socket, () => {
      connection.destroy();
      done(true);
    });
    // Whatever else may be wrong, only these two mean that nobody is there.
    connection.once("error", ({ code }: NodeJS.ErrnoException) => done(code !== "ECONNREFUSED" && code !== "ENOENT"));
  });
}

async function stepBack({ server, file }: OwnerSocket): Promise<void> {
  await rm(file, { force: true });
  await new Promise((done) => server.close(done));
}

async function release(socket: OwnerSocket, handle: FileHandle): Promise<void> {
  await stepBack(socket);
  await handle.close();
}
