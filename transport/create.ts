/**
 * One transport for every kind of address: picks the driver that an address names.
 *
 * @module
 */
import { TransportError } from "../shared/errors/index.ts";
import { type Address, formatAddress } from "../shared/transport/address.ts";
import type { Transport } from "../shared/transport/transport.ts";
import { createTcpTransport, type TcpTransportOptions } from "./tcp.ts";
import { createUnixTransport } from "./unix.ts";

/**
 * Makes a transport over Unix sockets and loopback TCP.
 *
 * Addresses of kind `vsock` are refused with `ERR_TRANSPORT_UNSUPPORTED`: the native driver for AF_VSOCK comes with a
 * later release.
 *
 * @example
 * ```ts
 * const transport = createTransport();
 * const socket = await transport.connect(parseAddress("tcp://127.0.0.1:8443"), { timeoutMs: 2_000 });
 * ```
 */
export function createTransport(options: TcpTransportOptions = {}): Transport {
  const unix = createUnixTransport();
  const tcp = createTcpTransport(options);
  const driver = (address: Address): Transport => {
    switch (address.kind) {
      case "unix":
        return unix;
      case "tcp":
        return tcp;
      case "vsock":
        throw new TransportError("ERR_TRANSPORT_UNSUPPORTED", {
          address: formatAddress(address),
          reason: "the native AF_VSOCK driver comes with a later release",
        });
      default:
        throw new TypeError(`not an address: ${JSON.stringify(address satisfies never)}`);
    }
  };
  return {
    connect: async (address, connectOptions) => driver(address).connect(address, connectOptions),
    listen: async (address, onConnection) => driver(address).listen(address, onConnection),
  };
}
