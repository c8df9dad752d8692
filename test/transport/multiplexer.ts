/**
 * The monitor's half of hybrid vsock, with the "guest" in this process: `CONNECT <port>` leads to what listens on
 * `<path>_<port>`. Ends, resets and backpressure cross it.
 */
import { once } from "node:events";
import { createServer, connect as netConnect, type Socket } from "node:net";

export interface Multiplexer extends AsyncDisposable {
  readonly path: string;
}

export async function startMultiplexer(path: string): Promise<Multiplexer> {
  const sockets = new Set<Socket>();
  let connections = 0;
  const server = createServer({ allowHalfOpen: true }, (host) => {
    keep(host);
    void readLine(host).then((line) => {
      const port = /^CONNECT ([0-9]+)$/.exec(line)?.[1];
      if (port === undefined) return host.destroy();
      const guest = netConnect({ path: `${path}_${port}`, allowHalfOpen: true });
      keep(guest);
      guest.once("error", () => host.destroy());
      return guest.once("connect", () => {
        host.write(`OK ${++connections}\n`);
        splice(host, guest);
        splice(guest, host);
      });
    });
  });
  const keep = (socket: Socket): void => {
    sockets.add(socket);
    socket.on("error", () => {}).once("close", () => sockets.delete(socket));
  };
  server.listen(path);
  await once(server, "listening");
  return {
    path,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, "close");
    },
  };
}

async function readLine(socket: Socket): Promise<string> {
  let line = "";
  for (;;) {
    const byte = (socket.read(1) as Buffer | null)?.toString("latin1");
    if (byte === "\n" || socket.readableEnded || socket.destroyed) return line;
    if (byte === undefined) await Promise.race([once(socket, "readable"), once(socket, "close")]).catch(() => {});
    else line += byte;
  }
}

function splice(from: Socket, to: Socket): void {
  from.pipe(to);
  from.once("close", (failed) => {
    if (failed || !from.readableEnded) to.destroy();
  });
}
