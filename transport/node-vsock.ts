/**
 * A driver over `node-vsock`, for hosts that choose it by name: the loaded module is handed in, nothing here depends on
 * it. Ours (`vsock.ts`) is the default; what this one can not keep of the contract follows from the binding:
 *
 *   end()        ends both directions, so an answer that is under way then is lost; whoever still reads sees a
 *                premature close, never a clean end
 *   write()      blocks the event loop while the peer does not read
 *   reading      can not make the peer wait: what is unread is held in memory, up to a limit that ends the connection
 *   listening    takes any peer, on every context id (`cid` must be 4294967295), and keeps its port when it is closed
 *   refusals     come after a second; an attempt that is given up holds its descriptor until the kernel answers
 *
 * One thing is mended: the binding closes a descriptor that its own thread still reads, so that a later connection may
 * lose bytes to it. Here a descriptor is shut down first and closed when the thread has said that it is done.
 *
 * Source: node-vsock 0.0.5, read and run; Linux net/vmw_vsock/af_vsock.c.
 *
 * @module
 */
import { Duplex } from "node:stream";
import { TransportError } from "../shared/errors/index.ts";
import { type Address, checkVsockPort, formatAddress } from "../shared/transport/address.ts";
import type { Transport } from "../shared/transport/transport.ts";
import { attemptConnection, systemError, unreachable } from "./attempt.ts";
import { ignoreError, OpenSockets, SocketListener } from "./socket-listener.ts";

/** The part of the binding that is used; events arrive as (error, name, value). */
export interface NodeVsockBinding {
  readonly VsockSocket: new (emit: (...event: unknown[]) => void, fd?: number) => NodeVsockSocket;
}

export interface NodeVsockSocket {
  setMaxConnectionAttempts(attempts: number): void;
  connect(cid: number, port: number): void;
  listen(port: number): void;
  startRecv(): void;
  writeBuffer(bytes: Buffer): void;
  shutdown(): void;
  close(): void;
}

export interface NodeVsockOptions {
  /** How much may wait unread on a connection, in bytes. Default 64 MiB: the binding can not make the peer wait. */
  readonly maxUnreadBytes?: number;
}

type VsockAddress = Extract<Address, { readonly kind: "vsock" }>;
type Events = Readonly<Record<string, (value: unknown) => void>>;

const MAX_UNREAD_BYTES = 67_108_864;
const CID_ANY = 0xffff_ffff;
/** Never collected: the binding would close the descriptor that its thread goes on accepting from. */
const accepting = new Set<NodeVsockSocket>();

/**
 * @example
 * ```ts
 * const binding = createRequire(import.meta.url)("node-vsock-linux-x64-gnu") as NodeVsockBinding;
 * const transport = createTransport({ vsock: createNodeVsockTransport(binding) });
 * ```
 */
export function createNodeVsockTransport(binding: NodeVsockBinding, options: NodeVsockOptions = {}): Transport {
  const { maxUnreadBytes = MAX_UNREAD_BYTES } = options;
  return {
    async connect(address, connectOptions = {}) {
      const { cid, port } = vsockOf(address);
      return attemptConnection<Duplex>({ ...connectOptions, address }, ({ succeed, fail }) => {
        const release = (): void => closeQuietly(socket);
        let events: Events = {
          _connect: () => succeed(new NodeVsockDuplex(socket, (later) => (events = later), maxUnreadBytes)),
          _error: (error) => {
            release();
            fail(failure(address, error, "connect"));
          },
        };
        const socket = openSocket(binding, (name, value) => events[name]?.(value));
        socket.setMaxConnectionAttempts(1);
        socket.connect(cid, port);
        // The binding's thread is inside connect(2): the descriptor is its own until it has said how that ended.
        return () => {
          events = { _connect: release, _error: release };
        };
      });
    },
    async listen(address, onConnection) {
      const open = new OpenSockets();
      let closed = false;
      listenOnEveryCid(binding, address, (fd) => {
        let events: Events = {};
        const socket = openSocket(binding, (name, value) => events[name]?.(value), fd);
        if (closed) {
          closeQuietly(socket);
          return;
        }
        const duplex = new NodeVsockDuplex(socket, (later) => (events = later), maxUnreadBytes);
        open.add(duplex);
        onConnection(duplex);
      });
      // Closing the descriptor would leave the binding's thread accepting from whatever gets its number next.
      return new SocketListener(address, open, async () => {
        closed = true;
      });
    },
  };
}

function listenOnEveryCid(binding: NodeVsockBinding, address: Address, onConnection: (fd: number) => void): void {
  const { cid, port } = vsockOf(address);
  if (cid !== CID_ANY) {
    const reason = `node-vsock listens on every context id; write ${CID_ANY} to have that`;
    throw new TransportError("ERR_TRANSPORT_UNSUPPORTED", { address: formatAddress(address), reason });
  }
  const server = openSocket(binding, (name, value) => {
    if (name === "_connection") onConnection(value as number);
  });
  try {
    server.listen(port);
  } catch (error) {
    closeQuietly(server);
    throw failure(address, error, "listen");
  }
  accepting.add(server);
}

function vsockOf(address: Address): VsockAddress {
  if (address.kind !== "vsock") throw new TypeError(`the node-vsock driver got a ${address.kind} address`);
  checkVsockPort(address.port);
  return address;
}

/** The binding calls back with an error first from its threads, and without one from its methods. */
function openSocket(
  { VsockSocket }: NodeVsockBinding,
  on: (name: string, value: unknown) => void,
  fd?: number,
): NodeVsockSocket {
  const emit = (first: unknown, ...rest: unknown[]): void => {
    const [name, value] = typeof first === "string" ? [first, ...rest] : rest;
    if (typeof name === "string") on(name, value);
  };
  return fd === undefined ? new VsockSocket(emit) : new VsockSocket(emit, fd);
}

/** The binding tells the system's name only in its text. */
function failure(address: Address, error: unknown, call: string): TransportError {
  const text = error instanceof Error ? error.message : String(error);
  return unreachable(address, systemError(/\bE[A-Z0-9]{3,}\b/.exec(text)?.[0] ?? "unknown", call));
}

function closeQuietly(socket: NodeVsockSocket): void {
  try {
    socket.close();
  } catch {
    // Its descriptor is gone either way, and nobody has an interest in this connection any more.
  }
}

class NodeVsockDuplex extends Duplex {
  readonly #socket: NodeVsockSocket;
  readonly #maxUnreadBytes: number;
  #peerEnded = false;
  /** The binding's thread reads until it has told of the end, or of an error. */
  #threadDone = false;

  constructor(socket: NodeVsockSocket, subscribe: (events: Events) => void, maxUnreadBytes: number) {
    super({ allowHalfOpen: true });
    this.#socket = socket;
    this.#maxUnreadBytes = maxUnreadBytes;
    this.on("error", ignoreError);
    subscribe({
      _data: (bytes) => this.#received(bytes as Buffer),
      end: () => this.#ended(),
      _error: (error) => this.#failed(error),
    });
    socket.startRecv();
  }

  override _read(): void {}

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    try {
      this.#socket.writeBuffer(chunk);
    } catch (error) {
      done(systemError(/\bE[A-Z0-9]{3,}\b/.exec(String(error))?.[0] ?? "EPIPE", "write"));
      return;
    }
    setImmediate(done);
  }

  override _final(done: (error?: Error | null) => void): void {
    const whole = this.#peerEnded;
    this.#shutdown();
    done();
    if (!whole) setImmediate(() => this.destroy());
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this.#shutdown();
    if (this.#threadDone) closeQuietly(this.#socket);
    done(error);
  }

  #received(bytes: Buffer): void {
    if (this.destroyed) return;
    this.push(bytes);
    if (this.readableLength <= this.#maxUnreadBytes) return;
    this.destroy(new TransportError("ERR_TRANSPORT_UNREAD", { maximum: this.#maxUnreadBytes }));
  }

  #ended(): void {
    this.#threadEnded();
    if (this.destroyed || this.writableEnded) return;
    this.#peerEnded = true;
    this.push(null);
  }

  #failed(error: unknown): void {
    this.#threadEnded();
    this.destroy(systemError(/\bE[A-Z0-9]{3,}\b/.exec(String(error))?.[0] ?? "ECONNRESET", "read"));
  }

  #threadEnded(): void {
    if (this.#threadDone) return;
    this.#threadDone = true;
    if (this.destroyed) closeQuietly(this.#socket);
  }

  #shutdown(): void {
    try {
      this.#socket.shutdown();
    } catch {
      // ENOTCONN: the peer has reset the connection, and the thread hears of it by itself.
    }
  }
}
