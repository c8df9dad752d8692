/**
 * The driver for TCP: `tcp://127.0.0.1:8443`. Stays on the loopback interface unless told otherwise by a long name.
 *
 * It takes IP addresses, not names: who connects by name decides which of a name's addresses are acceptable first
 * (`parent/egress/dial.ts`). `localhost` is read as 127.0.0.1.
 *
 * @module
 */
import { type AddressInfo, isIP, isIPv4, type Server } from "node:net";
import { TransportError } from "../shared/errors/index.ts";
import { type Address, formatAddress } from "../shared/transport/address.ts";
import type { Transport } from "../shared/transport/transport.ts";
import { connectSocket, listenSocket } from "./stream-socket.ts";

export interface TcpTransportOptions {
  /** Connects to and listens on any interface. Bytes then leave the host: TLS must be inside. Default false. */
  readonly dangerouslyAllowNonLoopback?: boolean;
}

export function createTcpTransport(options: TcpTransportOptions = {}): Transport {
  const anywhere = options.dangerouslyAllowNonLoopback === true;
  return {
    async connect(address, connectOptions = {}) {
      const { host, port } = endpointOf(address, anywhere);
      return connectSocket({ host, port, noDelay: true }, { ...connectOptions, address });
    },
    async listen(address, onConnection, options) {
      const { host, port } = endpointOf(address, anywhere);
      const located = (server: Server): Address => {
        return { kind: "tcp", host, port: (server.address() as AddressInfo).port };
      };
      return listenSocket({ address, bind: (server) => server.listen({ host, port }), located }, onConnection, options);
    },
  };
}

function endpointOf(address: Address, anywhere: boolean): { readonly host: string; readonly port: number } {
  if (address.kind !== "tcp") throw new TypeError(`the tcp driver got a ${address.kind} address`);
  const { port } = address;
  if (typeof port !== "number") throw new TypeError(`a TCP port is a number, not a ${typeof port}`);
  if (!Number.isInteger(port) || port < 0 || port > 65_535) throw new RangeError(`not a TCP port: ${port}`);
  const host = address.host === "localhost" ? "127.0.0.1" : address.host;
  const loopback = (isIPv4(host) && host.startsWith("127.")) || host === "::1";
  if (loopback || (anywhere && isIP(host) !== 0)) return { host, port };
  throw new TransportError("ERR_TRANSPORT_ADDRESS_INVALID", {
    address: formatAddress(address),
    rule: anywhere ? "the tcp driver takes IP addresses" : "the tcp driver stays on 127.0.0.0/8 and ::1",
  });
}
