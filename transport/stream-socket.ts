/**
 * What the drivers over Node's own sockets share: connect with a deadline, listen, close.
 *
 * The sockets are plain `net.Socket`s with `allowHalfOpen`, so the end of one direction leaves the other open. An
 * `error` listener is always attached: a peer that resets its connection is an ordinary event, never an uncaught
 * exception; who uses the socket sees `error` and `close` as usual.
 *
 * @module
 */
import { createServer, connect as netConnect, type Server, type Socket, type TcpNetConnectOpts } from "node:net";
import type { Duplex } from "node:stream";
import { TransportError } from "../shared/errors/index.ts";
import { type Address, formatAddress } from "../shared/transport/address.ts";
import type { ConnectOptions, Listener } from "../shared/transport/transport.ts";

const CONNECT_TIMEOUT_MS = 10_000;
/** How long a closing listener waits for its peers to take what was written, in milliseconds. */
const LINGER_MS = 1_000;

/** The part of Node's options that the drivers set. */
export type NetTarget = { readonly path: string } | Pick<TcpNetConnectOpts, "host" | "port" | "noDelay">;

function ignore(): void {}

/** The system's name for what went wrong, such as `ECONNREFUSED`. */
function reasonOf(error: unknown): string {
  return error instanceof Error && "code" in error && typeof error.code === "string" ? error.code : "unknown";
}

function unreachable(address: Address, cause: unknown): TransportError {
  const details = { address: formatAddress(address), reason: reasonOf(cause) };
  return new TransportError("ERR_TRANSPORT_UNREACHABLE", details, { cause });
}

/**
 * Connects. A signal that aborts rejects with the signal's reason.
 *
 * @throws {TransportError} `ERR_TRANSPORT_UNREACHABLE`, `ERR_TRANSPORT_TIMEOUT`
 * @throws {RangeError} `timeoutMs` is not a number of milliseconds that a timer can hold
 */
export async function connectSocket(target: NetTarget, address: Address, options: ConnectOptions): Promise<Socket> {
  const { signal, timeoutMs = CONNECT_TIMEOUT_MS } = options;
  if (!(timeoutMs > 0 && timeoutMs <= 0x7fff_ffff)) throw new RangeError(`timeoutMs must be 1 to 2^31-1: ${timeoutMs}`);
  signal?.throwIfAborted();
  const socket = netConnect({ ...target, allowHalfOpen: true });
  socket.on("error", ignore);
  return new Promise<Socket>((resolve, reject) => {
    const settle = (): void => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", onAbort);
      socket.off("error", onError).off("connect", onConnect);
    };
    const fail = (error: unknown): void => {
      settle();
      socket.destroy();
      reject(error);
    };
    const onAbort = (): void => fail(signal?.reason);
    const onError = (cause: Error): void => fail(unreachable(address, cause));
    const onConnect = (): void => {
      settle();
      resolve(socket);
    };
    const timer = setTimeout(
      () => fail(new TransportError("ERR_TRANSPORT_TIMEOUT", { address: formatAddress(address), timeoutMs })),
      timeoutMs,
    );
    signal?.addEventListener("abort", onAbort, { once: true });
    socket.once("error", onError).once("connect", onConnect);
  });
}

/**
 * Listens; `bind` says where, `located` reads the address that came out of it.
 *
 * @throws {TransportError} `ERR_TRANSPORT_UNREACHABLE`
 */
export async function listenSocket(
  address: Address,
  bind: (server: Server) => void,
  located: (server: Server) => Address,
  onConnection: (socket: Duplex) => void,
): Promise<Listener> {
  const open = new Set<Socket>();
  const server = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
    socket.on("error", ignore);
    open.add(socket);
    socket.once("close", () => open.delete(socket));
    onConnection(socket);
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", (cause) => reject(unreachable(address, cause)));
    server.once("listening", resolve);
    bind(server);
  });
  // A failed accept (out of descriptors, peer already gone) concerns that connection; the listener goes on.
  server.on("error", ignore);
  return new SocketListener(server, open, located(server));
}

class SocketListener implements Listener {
  readonly address: Address;
  readonly #server: Server;
  readonly #open: ReadonlySet<Socket>;
  #closed: Promise<void> | undefined;

  constructor(server: Server, open: ReadonlySet<Socket>, address: Address) {
    this.#server = server;
    this.#open = open;
    this.address = address;
  }

  close(): Promise<void> {
    this.#closed ??= new Promise((resolve) => {
      const linger = setTimeout(() => {
        for (const socket of this.#open) socket.destroy();
      }, LINGER_MS);
      this.#server.close(() => {
        clearTimeout(linger);
        resolve();
      });
      for (const socket of this.#open) socket.destroySoon();
    });
    return this.#closed;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}
