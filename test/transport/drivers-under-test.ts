/** The drivers that need nothing of the machine, each ready for the compliance suite. */
import { join } from "node:path";
import { afterAll, beforeAll, describe } from "vitest";
import type { Address } from "../../shared/transport/address.ts";
import { createHybridTransport } from "../../transport/hybrid.ts";
import { createMemoryTransport } from "../../transport/memory.ts";
import { createTcpTransport } from "../../transport/tcp.ts";
import { createUnixTransport } from "../../transport/unix.ts";
import { describeTransport } from "./describe-transport.ts";
import { type Multiplexer, startMultiplexer } from "./multiplexer.ts";
import { scratchFolder } from "./streams.ts";

export const tcpPlace = (): Address => ({ kind: "tcp", host: "127.0.0.1", port: 0 });

/** A port that was free a moment ago. */
async function freedPort(): Promise<Address> {
  const listener = await createTcpTransport().listen(tcpPlace(), () => {});
  await listener.close();
  return listener.address;
}

function describeHybrid(): void {
  const folder = scratchFolder();
  let multiplexer: Multiplexer;
  let port = 0;
  const place = (): Address => ({ kind: "hybrid", path: multiplexer.path, port: ++port });
  describe("through a monitor", () => {
    beforeAll(async () => void (multiplexer = await startMultiplexer(join(folder, "vm"))));
    afterAll(() => multiplexer[Symbol.asyncDispose]());
    describeTransport("hybrid", () => ({ transport: createHybridTransport(), place, nowhere: async () => place() }));
  });
}

/** Declares the compliance suite for a driver. */
export function describeDriver(name: "memory" | "unix" | "tcp" | "hybrid"): void {
  let places = 0;
  switch (name) {
    case "memory": {
      const place = (): Address => ({ kind: "vsock", cid: 3, port: ++places });
      describeTransport(name, () => ({ transport: createMemoryTransport(), place, nowhere: async () => place() }));
      break;
    }
    case "unix": {
      const folder = scratchFolder();
      const place = (): Address => ({ kind: "unix", path: join(folder, `${++places}`) });
      describeTransport(name, () => ({ transport: createUnixTransport(), place, nowhere: async () => place() }));
      break;
    }
    case "tcp":
      describeTransport(name, () => ({ transport: createTcpTransport(), place: tcpPlace, nowhere: freedPort }));
      break;
    case "hybrid":
      describeHybrid();
      break;
    default:
      throw new TypeError(`not a driver: ${name satisfies never}`);
  }
}
