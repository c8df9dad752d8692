/**
 * One transport for every kind of address: picks the driver that an address names.
 *
 * @module
 */
import type { Address } from "../shared/transport/address.ts";
import type { Transport } from "../shared/transport/transport.ts";
import { createHybridTransport } from "./hybrid.ts";
import { createTcpTransport, type TcpTransportOptions } from "./tcp.ts";
import { createUnixTransport } from "./unix.ts";
import { createVsockTransport } from "./vsock.ts";

export interface TransportOptions extends TcpTransportOptions {
  /**
   * The driver for `vsock://` addresses, for listeners that name the peers they take and for hosts that choose another.
   * Default: ours, for listeners that say themselves whom they take.
   */
  readonly vsock?: Transport;
}

/**
 * Makes a transport over vsock, hybrid vsock, Unix sockets and loopback TCP. The native binding is loaded when the first
 * vsock address is used; a host without it is refused then, with `ERR_TRANSPORT_UNSUPPORTED`.
 *
 * @example
 * ```ts
 * const transport = createTransport();
 * const socket = await transport.connect(parseAddress("tcp://127.0.0.1:8443"), { timeoutMs: 2_000 });
 * ```
 */
export function createTransport(options: TransportOptions = {}): Transport {
  const unix = createUnixTransport();
  const hybrid = createHybridTransport();
  const { vsock = createVsockTransport() } = options;
  const tcp = createTcpTransport(options);
  const driver = (address: Address): Transport => {
    switch (address.kind) {
      case "unix":
        return unix;
      case "hybrid":
        return hybrid;
      case "tcp":
        return tcp;
      case "vsock":
        return vsock;
      default:
        throw new TypeError(`not an address: ${JSON.stringify(address satisfies never)}`);
    }
  };
  return {
    connect: async (address, connectOptions) => driver(address).connect(address, connectOptions),
    listen: async (address, onConnection, listenOptions) =>
      driver(address).listen(address, onConnection, listenOptions),
  };
}
