/**
 * What the drivers over Node's own sockets share: connect, listen.
 *
 * The sockets are plain `net.Socket`s with `allowHalfOpen`, so the end of one direction leaves the other open. An
 * `error` listener is always attached: a peer that resets its connection is an ordinary event, never an uncaught
 * exception; who uses the socket sees `error` and `close` as usual.
 *
 * @module
 */
import { createServer, connect as netConnect, type Server, type Socket, type TcpNetConnectOpts } from "node:net";
import type { Address } from "../shared/transport/address.ts";
import type { ConnectOptions, Listener, ListenOptions, OnConnection } from "../shared/transport/transport.ts";
import { attemptConnection, unreachable } from "./attempt.ts";
import { ignoreError, OpenSockets, SocketListener } from "./socket-listener.ts";

/** The part of Node's options that the drivers set. */
export type NetTarget = { readonly path: string } | Pick<TcpNetConnectOpts, "host" | "port" | "noDelay">;

/** What a driver says and hears on a new connection before it hands it out; within the deadline of the attempt. */
export type Greeting = (socket: Socket) => Promise<void>;

/**
 * Connects. A signal that aborts rejects with the signal's reason.
 *
 * @throws {TransportError} `ERR_TRANSPORT_UNREACHABLE`, `ERR_TRANSPORT_TIMEOUT`, or what the greeting throws
 * @throws {RangeError} `timeoutMs` is not a number of milliseconds that a timer can hold
 */
export async function connectSocket(
  target: NetTarget,
  { greet, ...options }: ConnectOptions & { readonly address: Address; readonly greet?: Greeting },
): Promise<Socket> {
  return attemptConnection<Socket>(options, ({ succeed, fail }) => {
    const socket = netConnect({ ...target, allowHalfOpen: true });
    socket.on("error", ignoreError);
    const onError = (cause: Error): void => fail(unreachable(options.address, cause));
    const ready = (): void => {
      socket.off("error", onError);
      succeed(socket);
    };
    socket.once("error", onError).once("connect", () => {
      if (greet) greet(socket).then(ready, fail);
      else ready();
    });
    return () => {
      socket.off("error", onError);
      socket.destroy();
    };
  });
}

export interface ListenTarget {
  readonly address: Address;
  readonly bind: (server: Server) => void;
  /** Reads the address that came out of it. */
  readonly located: (server: Server) => Address;
}

/**
 * Listens.
 *
 * @throws {TransportError} `ERR_TRANSPORT_UNREACHABLE`
 */
export async function listenSocket(
  { address, bind, located }: ListenTarget,
  onConnection: OnConnection,
  { onAcceptPaused, onAcceptResumed }: ListenOptions = {},
): Promise<Listener> {
  let paused = false;
  const open = new OpenSockets();
  const server = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
    open.add(socket);
    if (paused) {
      paused = false;
      onAcceptResumed?.();
    }
    onConnection(socket);
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", (cause) => reject(unreachable(address, cause)));
    server.once("listening", resolve);
    bind(server);
  });
  // A failed accept (out of descriptors, peer already gone) concerns that connection; the listener goes on.
  server.on("error", (error: NodeJS.ErrnoException) => {
    if (paused || (error.code !== "EMFILE" && error.code !== "ENFILE")) return;
    paused = true;
    onAcceptPaused?.(error.code);
  });
  const stop = (): Promise<void> => new Promise((resolve) => server.close(() => resolve()));
  return new SocketListener(located(server), open, stop);
}
