/**
 * Turns a connected vsock into a `net.Socket`.
 *
 * @module
 */
import { Socket } from "node:net";
import type { NativeBinding, NativeEndpoint, Status } from "./native.ts";
import { ignoreError } from "./socket-listener.ts";

/** `manualStart`, as Node's own standard input has it: nothing is read until the vsock is in place. */
const OPTIONS = { allowHalfOpen: true, readable: true, writable: true, manualStart: true } as const;

/** Takes the endpoint over, or gives a negative errno and leaves it to the caller to close. */
export function adoptVsock(native: NativeBinding, endpoint: NativeEndpoint): Socket | Status {
  let socket: Socket | undefined;
  const status = native.adopt(endpoint, (fd) => {
    socket = new Socket({ ...OPTIONS, fd });
  });
  if (!socket || status < 0) {
    socket?.destroy();
    return status;
  }
  socket.on("error", ignoreError);
  // As Node does when it connects or accepts: the peer's end is noticed before anyone reads.
  socket.read(0);
  return socket;
}
