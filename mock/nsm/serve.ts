/**
 * Offers a software NSM on a Unix socket, as `/dev/nsm` is offered to one enclave.
 *
 * Each message stands after its length. A request that is too large is answered with the device's own word for it and
 * the connection ends, before a byte is allocated. Who may connect follows from the folder: it belongs to one enclave.
 *
 * @module
 */
import { chmod } from "node:fs/promises";
import { createServer, type Socket } from "node:net";
import { isTransportError } from "../../shared/errors/transport.ts";
import { NSM_REQUEST_MAX, type NsmExchange } from "../../shared/nsm/device.ts";
import { NsmFrameReader, nsmFrame } from "../../shared/nsm/frame.ts";
import { encodeNsmResponse } from "../../shared/nsm/messages.ts";

// A Unix socket's path has 107 bytes (Linux, `sun_path`); a longer one would be cut.
const PATH_MAX = 107;

/**
 * @throws {RangeError} a path that is too long for a socket
 */
export async function serveNsm(path: string, handle: NsmExchange): Promise<AsyncDisposable> {
  if (Buffer.byteLength(path) > PATH_MAX) throw new RangeError(`a socket's path has at most ${PATH_MAX} bytes`);
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.once("close", () => sockets.delete(socket));
    answer(socket, handle);
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(path, resolve);
  });
  await chmod(path, 0o600);
  return {
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
}

function answer(socket: Socket, handle: NsmExchange): void {
  const reader = new NsmFrameReader(NSM_REQUEST_MAX);
  const respond = async (request: Uint8Array): Promise<void> => {
    const response = await handle(request);
    if (socket.writable) socket.write(nsmFrame(response));
  };
  socket.on("data", (chunk) => {
    try {
      for (const request of reader.push(chunk)) void respond(request).catch((error: Error) => socket.destroy(error));
    } catch (error) {
      if (!isTransportError(error)) throw error;
      socket.end(nsmFrame(encodeNsmResponse({ kind: "Error", code: "InputTooLarge" })));
    }
  });
  // The enclave went away; there is nobody left to tell.
  socket.on("error", () => socket.destroy());
}
