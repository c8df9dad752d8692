/**
 * `cloister/transport`: how bytes travel between an enclave, its parent and a laptop.
 *
 * @module
 */

export type { Address, Peer } from "../shared/transport/address.ts";
export { addressOf, formatAddress, parseAddress } from "../shared/transport/address.ts";
export { APP_PORT, CREDENTIALS_PORT, EGRESS_PORT, LOG_PORT } from "../shared/transport/ports.ts";
export type { ConnectOptions, Listener, Transport } from "../shared/transport/transport.ts";
export { createTransport } from "./create.ts";
export type { TcpTransportOptions } from "./tcp.ts";
export { createTcpTransport } from "./tcp.ts";
export { createUnixTransport } from "./unix.ts";
