/**
 * `cloister/transport`: how bytes travel between an enclave, its parent and a laptop.
 *
 * @module
 */

export type { Address, Peer } from "../shared/transport/address.ts";
export { addressOf, formatAddress, parseAddress } from "../shared/transport/address.ts";
export { APP_PORT, CREDENTIALS_PORT, EGRESS_PORT, LOG_PORT } from "../shared/transport/ports.ts";
export type {
  Caller,
  ConnectOptions,
  Listener,
  ListenOptions,
  OnConnection,
  Transport,
} from "../shared/transport/transport.ts";
export type { TransportOptions } from "./create.ts";
export { createTransport } from "./create.ts";
export { createHybridTransport } from "./hybrid.ts";
export { createMemoryPair, createMemoryTransport } from "./memory.ts";
export type { NodeVsockBinding, NodeVsockOptions } from "./node-vsock.ts";
export { createNodeVsockTransport } from "./node-vsock.ts";
export type { TcpTransportOptions } from "./tcp.ts";
export { createTcpTransport } from "./tcp.ts";
export { createUnixTransport } from "./unix.ts";
export type { VsockTransportOptions } from "./vsock.ts";
export { createVsockTransport, VSOCK_CID_ANY, VSOCK_PORT_ANY } from "./vsock.ts";
