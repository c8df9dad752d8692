/**
 * Waits for what a socket does next.
 *
 * @module
 */
import type { Socket } from "node:net";

/** Until the event, or until the other side or the socket has ended; leaves no listener behind. */
export function next(socket: Socket, event: "drain" | "readable"): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      socket.off(event, done).off("end", done).off("close", done);
      resolve();
    };
    socket.on(event, done).on("end", done).on("close", done);
    if (socket.closed) done();
  });
}
