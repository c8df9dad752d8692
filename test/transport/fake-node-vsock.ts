/** node-vsock's binding as it behaves: unlimited reading, one shutdown for both directions, errors as text. */
import type { NodeVsockSocket } from "../../transport/node-vsock.ts";

type Emit = (...event: unknown[]) => void;

/** One kernel's worth of sockets; notes what a driver must not do. */
export class FakeNodeVsock {
  readonly violations: string[] = [];
  readonly VsockSocket: new (
    emit: Emit,
    fd?: number,
  ) => NodeVsockSocket;
  readonly open = new Set<object>();
  /** How the next attempts to connect end, by the system's name; `undefined` holds them. */
  connectFailure: string | undefined;
  hold: ((outcome: () => void) => void) | undefined;
  readonly #listeners = new Map<number, FakeSocket>();
  readonly #accepted = new Map<number, FakeSocket>();
  #nextFd = 100;

  constructor() {
    const kernel = this;
    this.VsockSocket = class {
      constructor(emit: Emit, fd?: number) {
        const socket = kernel.#accepted.get(fd ?? -1) ?? new FakeSocket(kernel);
        socket.emit = emit;
        kernel.open.add(socket);
        // biome-ignore lint/correctness/noConstructorReturn: an accepted socket has been there before its wrapper
        return socket as never;
      }
    } as unknown as new (
      emit: Emit,
      fd?: number,
    ) => NodeVsockSocket;
  }

  listen(port: number, socket: FakeSocket): void {
    if (this.#listeners.has(port)) throw new Error("Bind socket address failed: EADDRINUSE");
    this.#listeners.set(port, socket);
  }

  connect(port: number, near: FakeSocket): void {
    const finish = (): void => {
      const listener = this.#listeners.get(port);
      const failure = this.connectFailure ?? (listener ? undefined : "ECONNRESET: Connection reset by peer");
      if (failure !== undefined || !listener) {
        near.emit(null, "_error", new Error(`Connect socket failed: ${failure}`));
        return;
      }
      const far = new FakeSocket(this);
      [near.peer, far.peer] = [far, near];
      const fd = this.#nextFd++;
      this.#accepted.set(fd, far);
      near.emit(null, "_connect");
      listener.emit(null, "_connection", fd);
    };
    if (this.hold) this.hold(finish);
    else setImmediate(finish);
  }
}

class FakeSocket implements NodeVsockSocket {
  emit: Emit = () => {};
  peer: FakeSocket | undefined;
  readonly #kernel: FakeNodeVsock;
  readonly #early: (readonly unknown[])[] = [];
  #reading = false;
  #listening = false;
  #connecting = false;
  #closed = false;
  #shut = false;

  constructor(kernel: FakeNodeVsock) {
    this.#kernel = kernel;
  }

  setMaxConnectionAttempts(): void {}

  connect(_cid: number, port: number): void {
    this.#connecting = true;
    const inner = this.emit;
    this.emit = (...event) => {
      this.#connecting = false;
      inner(...event);
    };
    this.#kernel.connect(port, this);
  }

  listen(port: number): void {
    this.#kernel.listen(port, this);
    this.#listening = true;
  }

  startRecv(): void {
    this.#reading = true;
    for (const event of this.#early.splice(0)) this.arrive(...event);
  }

  /** An event of the reading thread. */
  arrive(...event: readonly unknown[]): void {
    if (!this.#reading) {
      this.#early.push(event);
      return;
    }
    setImmediate(() => {
      if (!this.#reading) return;
      if (event[0] !== "_data") this.#reading = false;
      this.emit(null, ...event);
    });
  }

  writeBuffer(bytes: Buffer): void {
    if (this.#shut || !this.peer || this.peer.#shut) throw new Error("send data failed EPIPE");
    this.peer.arrive("_data", Buffer.from(bytes));
  }

  shutdown(): void {
    if (this.#shut) return;
    if (!this.peer) throw new Error("operation failed, errno: ENOTCONN");
    this.#shut = true;
    this.emit("_shutdown");
    this.arrive("end");
    this.peer.arrive("end");
  }

  close(): void {
    if (this.#reading || this.#listening || this.#connecting)
      this.#kernel.violations.push("closed while a thread used it");
    if (this.#closed) this.#kernel.violations.push("closed twice");
    this.#closed = true;
    this.#kernel.open.delete(this);
  }
}
