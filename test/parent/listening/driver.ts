/** A driver whose connections, context ids and shortages are the test's to make. */
import type { Duplex } from "node:stream";
import type { Address } from "../../../shared/transport/address.ts";
import type { ListenOptions, OnConnection, Transport } from "../../../shared/transport/transport.ts";
import { createMemoryPair, createMemoryTransport } from "../../../transport/memory.ts";

export interface Driver {
  readonly transport: Transport;
  readonly address: Address;
  /** A peer connects; gives its end. */
  arrive(cid?: number): Duplex;
  /** Runs out of something, as accept(2) does; then has it again. */
  pause(reason: string): void;
  resume(): void;
  readonly isAccepting: () => boolean;
}

export function driver(): Driver {
  const memory = createMemoryTransport();
  let onConnection: OnConnection = () => {};
  let options: ListenOptions = {};
  let accepting = false;
  return {
    address: { kind: "vsock", cid: 0xffff_ffff, port: 8_001 },
    transport: {
      connect: memory.connect,
      listen: async (address, given, listenOptions = {}) => {
        [onConnection, options, accepting] = [given, listenOptions, true];
        const stopAccepting = (): void => void (accepting = false);
        const close = async (): Promise<void> => stopAccepting();
        return { address, stopAccepting, close, [Symbol.asyncDispose]: close };
      },
    },
    arrive(cid) {
      const [near, far] = createMemoryPair();
      onConnection(far, cid === undefined ? {} : { cid });
      return near;
    },
    pause: (reason) => options.onAcceptPaused?.(reason),
    resume: () => options.onAcceptResumed?.(),
    isAccepting: () => accepting,
  };
}
