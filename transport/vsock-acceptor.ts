/**
 * Takes connections from a listening vsock, and keeps its calm when the system runs out of something.
 *
 *   would block                         waits for the next
 *   the connection is gone already      goes on to the next
 *   a peer that is not allowed          is reset before a byte is read
 *   anything else, such as EMFILE       pauses for 100 ms and says so once; what waits in the backlog is not lost
 *
 * @module
 */
import type { OnConnection } from "../shared/transport/transport.ts";
import { errnoName, type NativeBinding, type NativeEndpoint, type Status } from "./native.ts";
import { OpenSockets } from "./socket-listener.ts";
import { adoptVsock } from "./vsock-socket.ts";

const PAUSE_MS = 100;
/** So that a flood of connections does not hold the event loop. */
const ACCEPTS_PER_TURN = 16;
const CONNECTION_GONE: ReadonlySet<string> = new Set(["ECONNABORTED", "ECONNRESET", "EPROTO", "ETIMEDOUT", "ENOTCONN"]);

export interface AcceptorOptions {
  readonly allowedCids: ReadonlySet<number> | "any";
  readonly onAcceptPaused: ((reason: string) => void) | undefined;
  readonly onAcceptResumed: (() => void) | undefined;
  readonly onConnection: OnConnection;
}

export class Acceptor {
  readonly open: OpenSockets = new OpenSockets();
  readonly #native: NativeBinding;
  readonly #endpoint: NativeEndpoint;
  readonly #options: AcceptorOptions;
  #stopped = false;
  #reported = false;
  #pause: NodeJS.Timeout | undefined;

  constructor(native: NativeBinding, endpoint: NativeEndpoint, options: AcceptorOptions) {
    this.#native = native;
    this.#endpoint = endpoint;
    this.#options = options;
  }

  start(): void {
    const status = this.#native.watch(this.#endpoint, false, (ready) => this.#take(ready));
    if (status < 0) this.#rest(errnoName(status));
  }

  /** Closes the listening vsock; the kernel resets what waits in its backlog. */
  async stop(): Promise<void> {
    this.#stopped = true;
    clearTimeout(this.#pause);
    this.#native.close(this.#endpoint);
  }

  #take(ready: Status): void {
    if (ready < 0) {
      this.#rest(errnoName(ready));
      return;
    }
    for (let count = 0; count < ACCEPTS_PER_TURN && !this.#stopped; count++) {
      const accepted = this.#native.accept(this.#endpoint);
      if (typeof accepted !== "number") {
        this.#receive(accepted);
        continue;
      }
      const reason = errnoName(accepted);
      if (reason === "EAGAIN") return;
      if (!CONNECTION_GONE.has(reason)) {
        this.#rest(reason);
        return;
      }
    }
  }

  #receive(endpoint: NativeEndpoint): void {
    if (this.#reported) {
      this.#reported = false;
      this.#options.onAcceptResumed?.();
    }
    const peer = this.#native.peerName(endpoint);
    const cid = typeof peer === "number" ? undefined : peer[0];
    const socket = this.#isAllowed(cid) ? adoptVsock(this.#native, endpoint) : -1;
    if (typeof socket === "number") {
      this.#native.close(endpoint);
      return;
    }
    this.open.add(socket);
    this.#options.onConnection(socket, cid === undefined ? {} : { cid });
  }

  #isAllowed(cid: number | undefined): boolean {
    const { allowedCids } = this.#options;
    return allowedCids === "any" || (cid !== undefined && allowedCids.has(cid));
  }

  #rest(reason: string): void {
    this.#native.unwatch(this.#endpoint);
    this.#pause = setTimeout(() => this.start(), PAUSE_MS);
    if (this.#reported) return;
    this.#reported = true;
    this.#options.onAcceptPaused?.(reason);
  }
}
