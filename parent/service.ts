/**
 * The life of a listening service: accept up to a limit, number and count the connections, survive each of them.
 *
 * One connection's failure is that connection's: it is logged and counted, and the service goes on.
 *
 * @module
 */
import type { Duplex } from "node:stream";
import type { Address } from "../shared/transport/address.ts";
import type { Listener, Transport } from "../shared/transport/transport.ts";
import { codeOf, type ParentEvent, type ParentLog, type RunningService, type Service } from "./observe.ts";

/** What a connection came to. */
export type Outcome = "served" | "refused";

export interface Connection {
  readonly id: string;
  readonly socket: Duplex;
  readonly log: (event: ParentEvent["event"], facts?: Pick<ParentEvent, "target" | "code">) => void;
}

export interface ServiceOptions {
  readonly service: Service;
  readonly transport: Transport;
  readonly address: Address;
  /** Over vsock, the only peers that are served. */
  readonly allowedCids?: readonly number[] | undefined;
  readonly log: ParentLog;
  /** How many connections at once; one more is closed as soon as it is accepted. */
  readonly maxConnections: number;
  /** Serves one connection; resolves when it is over. What it throws is counted as a failure. */
  readonly serve: (connection: Connection) => Promise<Outcome>;
}

export interface ListeningService extends RunningService {
  readonly address: Address;
}

export async function listenService(options: ServiceOptions): Promise<ListeningService> {
  const { service, transport, address, allowedCids, log, maxConnections, serve } = options;
  const counts = { open: 0, accepted: 0, refused: 0, failed: 0 };
  const onConnection = (socket: Duplex): void => {
    // A peer's reset is an event of its connection, whatever driver it came through.
    socket.on("error", () => {});
    const id = `${service}-${++counts.accepted}`;
    const connection: Connection = {
      id,
      socket,
      log: (event, facts) => log({ service, event, connectionId: id, ...facts }),
    };
    if (counts.open >= maxConnections) {
      counts.refused++;
      socket.destroy();
      connection.log("full");
      return;
    }
    counts.open++;
    connection.log("accepted");
    void serve(connection)
      .then((outcome) => {
        if (outcome === "refused") counts.refused++;
      })
      .catch((error: unknown) => {
        counts.failed++;
        socket.destroy();
        connection.log("failed", { code: codeOf(error) });
      })
      .finally(() => {
        counts.open--;
        connection.log("closed");
      });
  };
  const listener: Listener = await transport.listen(address, onConnection, allowedCids && { allowedCids });
  return {
    address: listener.address,
    stats: () => ({ ...counts }),
    close: () => listener.close(),
    [Symbol.asyncDispose]: () => listener.close(),
  };
}
