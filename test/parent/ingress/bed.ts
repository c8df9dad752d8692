/** What the tests of the door share: enclaves that say who they are, and a door before them. */
import type { Duplex } from "node:stream";
import { type IngressOptions, type IngressService, startIngress } from "../../../parent/ingress/ingress.ts";
import type { ParentEvent } from "../../../parent/observability/observe.ts";
import { type Address, addressOf } from "../../../shared/transport/address.ts";
import { APP_PORT } from "../../../shared/transport/ports.ts";
import { collect } from "../../transport/streams.ts";
import { cleanups, freshPeer, transport } from "../fixture.ts";

export const LISTEN: Address = { kind: "tcp", host: "127.0.0.1", port: 0 };

export interface Enclave {
  readonly address: Address;
  /** One for each connection it took, in order. */
  readonly connections: Duplex[];
  /** All its connections are reset, as when the virtual machine is gone. */
  kill(): Promise<void>;
}

export async function enclave(
  onConnection: (socket: Duplex) => void,
  address: Address = addressOf(freshPeer(), APP_PORT),
): Promise<Enclave> {
  const connections: Duplex[] = [];
  const listener = await transport.listen(address, (socket) => {
    connections.push(socket);
    onConnection(socket);
  });
  cleanups.push(() => listener.close());
  return {
    address,
    connections,
    async kill() {
      for (const socket of connections) socket.destroy();
      await listener.close();
    },
  };
}

/** Answers a whole question with its name and the question. */
export const answering =
  (name: string) =>
  (socket: Duplex): void =>
    void collect(socket).then(
      (question) => socket.end(`${name}: ${question}`),
      () => socket.destroy(),
    );

export interface Door {
  readonly service: IngressService;
  readonly events: ParentEvent[];
  ask(question?: string): Promise<string>;
  /** The names of what happened, with the targets' if they have one. */
  told(): string[];
}

export async function door(options: Partial<IngressOptions> & Pick<IngressOptions, "targets">): Promise<Door> {
  const events: ParentEvent[] = [];
  const service = await startIngress({
    transport,
    listen: LISTEN,
    log: (event) => void events.push(event),
    ...options,
  });
  cleanups.push(() => service.close());
  return {
    service,
    events,
    async ask(question = "?") {
      const client = await transport.connect(service.address);
      client.end(question);
      const answer = await collect(client).catch(() => Buffer.from("reset"));
      client.destroy();
      return answer.toString();
    },
    told: () => events.map(({ event }) => event),
  };
}
