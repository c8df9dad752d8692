/**
 * The contestants that run in Node, behind one narrow interface: it sends, it says when to send more, it hears.
 *
 *   cloister              our driver for AF_VSOCK
 *   node-vsock, driver    the binding of node-vsock behind our driver for it
 *   node-vsock, raw       the same binding called as its own documentation does: what our driver costs of it is the
 *                         difference. Its write blocks the event loop, so there is never anything to wait for
 *
 * @module
 */
import { once } from "node:events";
import { createRequire } from "node:module";
import type { Duplex } from "node:stream";
import type { Transport } from "../../shared/transport/transport.ts";
import { createNodeVsockTransport, type NodeVsockBinding, type NodeVsockSocket } from "../../transport/node-vsock.ts";
import { createVsockTransport, VSOCK_CID_ANY } from "../../transport/vsock.ts";

export interface Link {
  /** False asks to wait for `drained`. */
  send(bytes: Uint8Array): boolean;
  drained(): Promise<unknown>;
  /** Says what hears the bytes, in place of what heard them before. */
  hear(take: (bytes: Uint8Array) => void): void;
  /** Resolves with why, when the connection is no more. */
  readonly gone: Promise<string>;
}

export interface Links {
  connect(port: number): Promise<Link>;
  listen(port: number, onLink: (link: Link) => void): Promise<void>;
}

export const LINK_KINDS = ["cloister", "node-vsock-driver", "node-vsock-raw"] as const;
export type LinkKind = (typeof LINK_KINDS)[number];

const LOOPBACK_CID = 1;

export function openLinks(kind: LinkKind, nodeVsockPath: string): Links {
  const binding = (): NodeVsockBinding => createRequire(import.meta.url)(nodeVsockPath) as NodeVsockBinding;
  switch (kind) {
    case "cloister":
      return overTransport(createVsockTransport({ allowedCids: "any" }));
    case "node-vsock-driver":
      return overTransport(createNodeVsockTransport(binding()));
    case "node-vsock-raw":
      return overBinding(binding());
    default:
      throw new TypeError(`no such contestant: ${kind satisfies never}`);
  }
}

function overTransport(transport: Transport): Links {
  return {
    connect: async (port) => ofSocket(await transport.connect({ kind: "vsock", cid: LOOPBACK_CID, port })),
    async listen(port, onLink) {
      await transport.listen({ kind: "vsock", cid: VSOCK_CID_ANY, port }, (socket) => onLink(ofSocket(socket)));
    },
  };
}

function ofSocket(socket: Duplex): Link {
  let failure = "it closed";
  socket.on("error", (error) => {
    failure = error.message;
  });
  return {
    send: (bytes) => socket.write(bytes),
    drained: () => once(socket, "drain"),
    hear: (take) => void socket.removeAllListeners("data").on("data", take),
    gone: new Promise((resolve) => socket.once("close", () => resolve(failure))),
  };
}

/** Never collected: the binding closes a descriptor with its object. */
const held = new Set<NodeVsockSocket>();

type Hears = (name: string, value: unknown) => void;

function overBinding({ VsockSocket }: NodeVsockBinding): Links {
  const open = (hears: Hears, fd?: number): NodeVsockSocket => {
    const emit = (...event: unknown[]): void => {
      // Its threads put an error first, its methods do not.
      const [name, value] = typeof event[0] === "string" ? event : event.slice(1);
      hears(String(name), value);
    };
    const socket = fd === undefined ? new VsockSocket(emit) : new VsockSocket(emit, fd);
    held.add(socket);
    return socket;
  };
  return {
    connect: (port) =>
      new Promise((resolve, reject) => {
        const raw = new RawLink(
          (hears) => open(hears),
          () => resolve(raw),
        );
        void raw.gone.then((reason) => reject(new Error(reason)));
        raw.socket.setMaxConnectionAttempts(1);
        raw.socket.connect(LOOPBACK_CID, port);
      }),
    async listen(port, onLink) {
      const server = open((name, fd) => {
        if (name !== "_connection") return;
        const raw = new RawLink((hears) => open(hears, fd as number));
        raw.socket.startRecv();
        onLink(raw);
      });
      server.listen(port);
    },
  };
}

class RawLink implements Link {
  readonly socket: NodeVsockSocket;
  readonly gone: Promise<string>;
  #take: (bytes: Uint8Array) => void = () => {};

  constructor(open: (hears: Hears) => NodeVsockSocket, onConnect: () => void = () => {}) {
    let lose: (reason: string) => void = () => {};
    this.gone = new Promise((resolve) => {
      lose = resolve;
    });
    this.socket = open((name, value) => {
      if (name === "_data") this.#take(value as Uint8Array);
      else if (name === "_connect") {
        this.socket.startRecv();
        onConnect();
      } else if (name === "end" || name === "_error") lose(`${name} ${String(value ?? "")}`);
    });
  }

  send(bytes: Uint8Array): boolean {
    this.socket.writeBuffer(bytes as Buffer);
    return true;
  }

  async drained(): Promise<void> {}

  hear(take: (bytes: Uint8Array) => void): void {
    this.#take = take;
  }
}
