/**
 * Reaches a host on the Internet through the parent: HTTP CONNECT, then bytes.
 *
 * The parent decides whether it forwards; it is not believed in anything else. Its answer is read strictly, at most
 * 8 KiB of it, and what comes after it belongs to the tunnel. Whoever uses the tunnel puts TLS into it (`agent.ts`).
 *
 * Source: RFC 9110 §9.3.6; RFC 9112 §4.
 *
 * @module
 */
import type { Duplex } from "node:stream";
import { TransportError } from "../../shared/errors/index.ts";
import { addressOf, formatAddress, type Peer } from "../../shared/transport/address.ts";
import { parseHead, readHead } from "../../shared/transport/http-head.ts";
import { EGRESS_PORT } from "../../shared/transport/ports.ts";
import { parseTarget } from "../../shared/transport/target.ts";
import type { Transport } from "../../shared/transport/transport.ts";

export interface ConnectThroughParentOptions {
  readonly transport: Transport;
  readonly parent: Peer;
  /** A host name, or an IPv4 address. */
  readonly host: string;
  readonly port: number;
  readonly signal?: AbortSignal | undefined;
  /** To reach the parent, and again for its answer, in milliseconds. Default 10 000: the parent gives up after 5 000. */
  readonly timeoutMs?: number | undefined;
}

/**
 * Opens a tunnel.
 *
 * @throws {TransportError} `ERR_TRANSPORT_HOST_NOT_ALLOWED`, `ERR_TRANSPORT_PROXY_REFUSED`,
 * `ERR_TRANSPORT_PROXY_INVALID`, `ERR_TRANSPORT_ADDRESS_INVALID`, or why the parent was not reached
 */
export async function connectThroughParent(options: ConnectThroughParentOptions): Promise<Duplex> {
  const { transport, parent, signal, timeoutMs = 10_000 } = options;
  const { host, port } = parseTarget(`${options.host}:${options.port}`);
  const proxy = addressOf(parent, EGRESS_PORT);
  const socket = await transport.connect(proxy, { timeoutMs, ...(signal && { signal }) });
  // The parent may reset at any moment; whoever has the tunnel sees `close`.
  socket.on("error", () => {});
  try {
    socket.write(`CONNECT ${host}:${port} HTTP/1.1\r\nHost: ${host}:${port}\r\n\r\n`);
    const status = statusOf(await readHead(socket, { address: formatAddress(proxy), timeoutMs, signal }));
    if (status === 403) throw new TransportError("ERR_TRANSPORT_HOST_NOT_ALLOWED", { host, port });
    if (status !== 200) throw new TransportError("ERR_TRANSPORT_PROXY_REFUSED", { host, port, status });
    return socket;
  } catch (error) {
    socket.destroy();
    throw error;
  }
}

function statusOf(head: Uint8Array): number {
  const { start } = parseHead(head);
  const status = /^HTTP\/1\.1 ([1-5][0-9]{2}) /.exec(start)?.[1];
  if (status === undefined) {
    throw new TransportError("ERR_TRANSPORT_PROXY_INVALID", { rule: "the first line is HTTP/1.1 and a status" });
  }
  return Number(status);
}
