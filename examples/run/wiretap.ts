/**
 * Forwards TCP and keeps what it forwards: all that the parent can read of what it carries.
 *
 * @module
 */
import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";

export class Wiretap implements AsyncDisposable {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  /** One for each direction of each connection. */
  readonly #heard: Buffer[][] = [];

  private constructor(port: number) {
    this.#server = createServer({ allowHalfOpen: true }, (client) => {
      const server = connect({ host: "127.0.0.1", port, allowHalfOpen: true });
      this.#carry(client, server);
      this.#carry(server, client);
    });
  }

  /** In front of a port of this machine. */
  static async before(port: number): Promise<Wiretap> {
    const tap = new Wiretap(port);
    tap.#server.listen(0, "127.0.0.1");
    await once(tap.#server, "listening");
    return tap;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  heard(bytes: Buffer): boolean {
    return this.#heard.some((direction) => Buffer.concat(direction).includes(bytes));
  }

  #carry(from: Socket, to: Socket): void {
    const direction: Buffer[] = [];
    this.#heard.push(direction);
    this.#sockets.add(from);
    from.on("data", (chunk: Buffer) => direction.push(chunk));
    from.once("close", () => {
      this.#sockets.delete(from);
      to.destroy();
    });
    from.on("error", () => to.destroy());
    from.pipe(to);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = once(this.#server, "close");
    this.#server.close();
    for (const socket of this.#sockets) socket.destroy();
    await closed;
  }
}
