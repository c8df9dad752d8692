/**
 * Serves the control of a mock AWS on a Unix socket: mode 0600, in a folder of this user's alone.
 *
 * Whoever reaches it may move the clock, seed keys and read the trail, so the file system decides who does: the folder is
 * made with mode 0700, and one that is there and open to others is refused. A socket that a dead process left is
 * replaced; one that answers is not.
 *
 * @module
 */
import { chmod, lstat, mkdir, rm } from "node:fs/promises";
import { connect, createServer, type Server, type Socket } from "node:net";
import { dirname, resolve } from "node:path";
import { ConfigError } from "../../shared/errors/index.ts";
import { serveControl } from "../../transport/control.ts";
import type { ConnectionControl } from "./running-control.ts";

export interface ControlSocket extends AsyncDisposable {
  readonly path: string;
  close(): Promise<void>;
}

/** A socket's path may have so many bytes on every system that has them. */
const PATH_MAX = 103;

/** @throws {ConfigError} `ERR_CONFIG_FILE` the folder or the path can not be used, or another process listens there */
export async function serveControlSocket(
  given: string,
  connectionControl: () => ConnectionControl,
): Promise<ControlSocket> {
  const path = resolve(given);
  if (Buffer.byteLength(path) > PATH_MAX) throw unusable(path, `a socket's path has at most ${PATH_MAX} bytes`);
  await checkFolder(dirname(path));
  await removeDead(path);
  const connections = new Set<Socket>();
  const server = createServer((socket) => {
    connections.add(socket);
    const { handlers, end } = connectionControl();
    socket.on("error", () => socket.destroy()); // whoever asked is gone
    socket.once("close", () => {
      connections.delete(socket);
      end();
    });
    serveControl(socket, socket, handlers, () => socket.destroy());
  });
  await listen(server, path);
  const close = async (): Promise<void> => {
    for (const socket of connections) socket.destroy();
    await new Promise((done) => server.close(done)); // takes the file along
  };
  return { path, close, [Symbol.asyncDispose]: close };
}

async function checkFolder(folder: string): Promise<void> {
  try {
    await mkdir(folder, { recursive: true, mode: 0o700 });
  } catch (cause) {
    throw unusable(folder, (cause as NodeJS.ErrnoException).code ?? "not usable", { cause });
  }
  const stat = await lstat(folder);
  if (!stat.isDirectory()) throw unusable(folder, "a control socket's folder is a directory, not a link");
  if (stat.uid !== process.getuid?.()) throw unusable(folder, "a control socket's folder is this user's");
  if ((stat.mode & 0o077) !== 0) throw unusable(folder, "a control socket's folder has mode 0700");
}

async function removeDead(path: string): Promise<void> {
  const stat = await lstat(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return undefined;
    throw error;
  });
  if (!stat) return;
  if (!stat.isSocket()) throw unusable(path, "there is something that is no socket");
  if (await answers(path)) throw unusable(path, "another process listens there");
  await rm(path, { force: true });
}

function answers(path: string): Promise<boolean> {
  return new Promise((done) => {
    const connection = connect(path, () => {
      connection.destroy();
      done(true);
    });
    connection.once("error", ({ code }: NodeJS.ErrnoException) => done(code !== "ECONNREFUSED" && code !== "ENOENT"));
  });
}

async function listen(server: Server, path: string): Promise<void> {
  await new Promise<void>((done, reject) => {
    server.once("error", (cause: NodeJS.ErrnoException) =>
      reject(unusable(path, cause.code ?? "not usable", { cause })),
    );
    server.listen(path, done);
  });
  // Nobody else gets through the folder meanwhile.
  await chmod(path, 0o600);
}

function unusable(path: string, reason: string, options?: ErrorOptions): ConfigError {
  return new ConfigError("ERR_CONFIG_FILE", { path, reason }, options);
}
