/**
 * The driver for vsock of a guest on this host, through its monitor's Unix socket: `vsock+unix:///run/vm.sock:8080`.
 *
 *   host → guest   connect to the socket, write `CONNECT <port>\n`, read `OK <number>\n`; then bytes, both ways
 *   guest → host   the guest dials CID 2, port P; the monitor connects to the socket's path with `_P` after it
 *
 * So `connect` dials into the guest and `listen` takes what the guest dials. A guest in which nobody listens is a
 * connection that ends before its answer: `ECONNRESET`, as AF_VSOCK itself calls it. The answer is read byte by byte,
 * so that what the guest says first stays in the stream; it is bounded, and any other answer is refused.
 *
 * Source: Firecracker docs/vsock.md; vhost-device-vsock README.
 *
 * @module
 */
import type { Socket } from "node:net";
import { TransportError } from "../shared/errors/index.ts";
import { type Address, checkVsockPort, formatAddress } from "../shared/transport/address.ts";
import type { Listener, Transport } from "../shared/transport/transport.ts";
import { systemError, unreachable } from "./attempt.ts";
import { connectSocket } from "./stream-socket.ts";
import { createUnixTransport, socketPath } from "./unix.ts";

type HybridAddress = Address & { readonly kind: "hybrid" };

const ANSWER = /^OK (?:0|[1-9][0-9]{0,9})$/;
const ANSWER_BYTES_MAX = "OK 4294967295".length;
const NEWLINE = 0x0a;

export function createHybridTransport(): Transport {
  const unix = createUnixTransport();
  return {
    async connect(address, options = {}) {
      const hybrid = hybridOf(address);
      const path = socketPath(hybrid.path, address);
      return connectSocket({ path }, { ...options, address, greet: (socket) => askForPort(socket, hybrid) });
    },
    async listen(address, onConnection, options) {
      const { path, port } = hybridOf(address);
      const listener = await unix.listen({ kind: "unix", path: `${path}_${port}` }, onConnection, options);
      return new HybridListener(address, listener);
    },
  };
}

function hybridOf(address: Address): HybridAddress {
  if (address.kind !== "hybrid") throw new TypeError(`the hybrid driver got a ${address.kind} address`);
  checkVsockPort(address.port);
  return address;
}

function refused(address: Address, rule: string): TransportError {
  return new TransportError("ERR_TRANSPORT_HYBRID_INVALID", { address: formatAddress(address), rule });
}

/** Resolves after the answer's newline; nothing behind it has been read then. */
function askForPort(socket: Socket, address: HybridAddress): Promise<void> {
  return new Promise((resolve, reject) => {
    let answer = "";
    const settle = (outcome: () => void): void => {
      socket.off("readable", onReadable).off("end", onEnd).off("close", onEnd);
      outcome();
    };
    const refuse = (rule: string): void => settle(() => reject(refused(address, rule)));
    const onEnd = (): void => {
      if (answer !== "") refuse("the answer is cut short");
      else settle(() => reject(unreachable(address, systemError("ECONNRESET", "connect"))));
    };
    const onReadable = (): void => {
      let byte = readByte(socket);
      while (byte !== undefined && byte !== NEWLINE && answer.length < ANSWER_BYTES_MAX) {
        answer += String.fromCharCode(byte);
        byte = readByte(socket);
      }
      if (byte === undefined) return;
      if (byte === NEWLINE && ANSWER.test(answer)) settle(resolve);
      else refuse(`the answer is OK and a number, in a line of at most ${ANSWER_BYTES_MAX} bytes`);
    };
    socket.on("readable", onReadable).once("end", onEnd).once("close", onEnd);
    socket.write(`CONNECT ${address.port}\n`);
  });
}

function readByte(socket: Socket): number | undefined {
  return (socket.read(1) as Uint8Array | null)?.[0];
}

class HybridListener implements Listener {
  readonly address: Address;
  readonly #listener: Listener;

  constructor(address: Address, listener: Listener) {
    this.address = address;
    this.#listener = listener;
  }

  stopAccepting(): void {
    this.#listener.stopAccepting();
  }

  close(): Promise<void> {
    return this.#listener.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}
