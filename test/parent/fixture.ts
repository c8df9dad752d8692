/** What the tests of the parent share: a proxy, a server behind it, a folder of sockets; all gone after each test. */
import { once } from "node:events";
import { mkdirSync } from "node:fs";
import { createServer, type Server } from "node:net";
import { join } from "node:path";
import type { Duplex } from "node:stream";
import { afterEach, expect, vi } from "vitest";
import { connectThroughParent } from "../../enclave/egress/connect.ts";
import { type EgressOptions, type EgressService, startEgress } from "../../parent/egress/egress.ts";
import type { ParentEvent } from "../../parent/observability/observe.ts";
import { addressOf, type Peer } from "../../shared/transport/address.ts";
import { EGRESS_PORT } from "../../shared/transport/ports.ts";
import type { Transport } from "../../shared/transport/transport.ts";
import { createTransport } from "../../transport/create.ts";
import { collect, scratchFolder } from "../transport/streams.ts";

const root = scratchFolder();
export const transport: Transport = createTransport();
let folders = 0;
export const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  vi.useRealTimers();
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

export function freshPeer(): Peer {
  const folder = join(root, `${++folders}`);
  mkdirSync(folder);
  return { kind: "unix", folder };
}

export const until = async (condition: () => boolean): Promise<void> => {
  while (!condition()) await new Promise(setImmediate);
};

export const turns = async (count: number): Promise<void> => {
  for (let i = 0; i < count; i++) await new Promise(setImmediate);
};

export interface RunningProxy {
  readonly service: EgressService;
  readonly parent: Peer;
  readonly events: ParentEvent[];
  /** Connects as an enclave that does not keep to the rules. */
  raw(text: string | Uint8Array): Promise<string>;
  through(host: string, port: number): Promise<Duplex>;
}

export async function proxy(options: Partial<EgressOptions> & Pick<EgressOptions, "allowlist">): Promise<RunningProxy> {
  const parent = freshPeer();
  const events: ParentEvent[] = [];
  const address = addressOf(parent, EGRESS_PORT);
  const service = await startEgress({ transport, address, log: (event) => void events.push(event), ...options });
  cleanups.push(() => service.close());
  return {
    service,
    parent,
    events,
    async raw(text) {
      const socket = await transport.connect(address);
      socket.write(text);
      const answer = await collect(socket).catch(() => Buffer.alloc(0));
      socket.destroy();
      return answer.toString("latin1");
    },
    async through(host, port) {
      const socket = await connectThroughParent({ transport, parent, host, port });
      cleanups.push(() => socket.destroy());
      return socket;
    },
  };
}

export async function upstream(onConnection: (socket: Duplex) => void, host = "127.0.0.1"): Promise<number> {
  const server: Server = createServer({ allowHalfOpen: true }, (socket) => {
    cleanups.push(() => socket.destroy());
    socket.on("error", () => {});
    onConnection(socket);
  }).listen(0, host);
  await once(server, "listening");
  cleanups.push(() => server.close());
  return (server.address() as { port: number }).port;
}

export const connect = (authority: string, rest = ""): string =>
  `CONNECT ${authority} HTTP/1.1\r\nHost: ${authority}\r\n${rest}\r\n`;
export const statusOf = (answer: string): string => /^HTTP\/1\.1 (\d{3}) /.exec(answer)?.[1] ?? "closed";
export const bodyOf = (answer: string): unknown => JSON.parse(answer.split("\r\n\r\n")[1] ?? "");
export const lived = async (under: RunningProxy, port: number): Promise<void> => {
  const socket = await under.through("echo.test", port);
  socket.end("alive");
  expect((await collect(socket)).toString()).toBe("alive");
};
export const echo = (): Promise<number> => upstream((socket) => socket.pipe(socket));
