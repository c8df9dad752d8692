import { once } from "node:events";
import { createServer } from "node:https";

export interface EchoServer {
  readonly port: number;
  /** Ends the connections that rest, as a server does after its keep-alive time. */
  dropIdle(): void;
  close(): void;
}

/** An HTTPS server that answers with what it is sent. */
export async function startEchoServer(
  identity: { readonly key: string; readonly cert: string },
  onConnection: () => void,
): Promise<EchoServer> {
  const server = createServer(identity, (incoming, outgoing) => {
    incoming.on("data", (bytes) => outgoing.write(bytes)).on("end", () => outgoing.end());
  });
  server.on("secureConnection", onConnection).listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    port: (server.address() as { port: number }).port,
    dropIdle: () => server.closeIdleConnections(),
    close: () => {
      server.close();
      server.closeAllConnections();
    },
  };
}
