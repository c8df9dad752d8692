/**
 * The driver for Unix sockets: `unix:///run/cloister/8001`.
 *
 * A listener's socket file has mode 0600 from its first moment, and goes when the listener closes. A file left behind
 * by a process that died is replaced, but only when it is a socket and nobody answers on it.
 *
 * @module
 */
import { chmodSync } from "node:fs";
import { lstat, unlink } from "node:fs/promises";
import type { Server } from "node:net";
import { isMainThread } from "node:worker_threads";
import { isTransportError, TransportError } from "../shared/errors/index.ts";
import { type Address, formatAddress } from "../shared/transport/address.ts";
import type { Listener, ListenOptions, OnConnection, Transport } from "../shared/transport/transport.ts";
import { connectSocket, listenSocket } from "./stream-socket.ts";

/** Linux unix(7): `sun_path` has 108 bytes with the final NUL. libuv cuts a longer path silently: another socket. */
const PATH_BYTES_MAX = 107;
const PROBE_TIMEOUT_MS = 1_000;

export function createUnixTransport(): Transport {
  return {
    async connect(address, options = {}) {
      return connectSocket({ path: pathOf(address) }, { ...options, address });
    },
    async listen(address, onConnection, options) {
      const path = pathOf(address);
      try {
        return await listenAt({ path, address, options }, onConnection);
      } catch (error) {
        const inUse = isTransportError(error) && "reason" in error.details && error.details.reason === "EADDRINUSE";
        if (!inUse || !(await isStale(path, address))) throw error;
        await unlink(path);
        return await listenAt({ path, address, options }, onConnection);
      }
    },
  };
}

function pathOf(address: Address): string {
  if (address.kind !== "unix") throw new TypeError(`the unix driver got a ${address.kind} address`);
  return socketPath(address.path, address);
}

/**
 * Refuses a path that is not the name of a socket.
 *
 * @throws {TransportError} `ERR_TRANSPORT_ADDRESS_INVALID`
 */
export function socketPath(path: string, address: Address): string {
  const bytes = Buffer.byteLength(path);
  if (bytes < 1 || bytes > PATH_BYTES_MAX || path.includes("\0")) {
    throw new TransportError("ERR_TRANSPORT_ADDRESS_INVALID", {
      address: formatAddress(address),
      rule: `a socket's path has 1 to ${PATH_BYTES_MAX} bytes and no NUL, this has ${bytes}`,
    });
  }
  return path;
}

interface ListenPlace {
  readonly path: string;
  readonly address: Address;
  readonly options: ListenOptions | undefined;
}

function listenAt({ path, address, options }: ListenPlace, onConnection: OnConnection): Promise<Listener> {
  const place = { address, bind: (server: Server) => bindPrivately(server, path), located: () => address };
  return listenSocket(place, onConnection, options);
}

/** Node binds inside `listen`, before it returns: the umask covers exactly that call. A worker has no umask to set. */
function bindPrivately(server: Server, path: string): void {
  if (!isMainThread) {
    server.once("listening", () => chmodSync(path, 0o600));
    server.listen({ path });
    return;
  }
  const before = process.umask(0o177);
  try {
    server.listen({ path });
  } finally {
    process.umask(before);
  }
}

/** Whether the file is a socket that nobody answers on. */
async function isStale(path: string, address: Address): Promise<boolean> {
  if (!(await lstat(path)).isSocket()) return false;
  try {
    const socket = await connectSocket({ path }, { address, timeoutMs: PROBE_TIMEOUT_MS });
    socket.destroy();
    return false;
  } catch (error) {
    return isTransportError(error) && "reason" in error.details && error.details.reason === "ECONNREFUSED";
  }
}
