/**
 * Writes the header that tells the enclave who the client is: PROXY protocol, version 2, before the client's bytes.
 *
 *   signature        12 bytes that no other protocol begins with
 *   version, command 0x21 PROXY: for somebody else · 0x20 LOCAL: the proxy's own connection, as a health check is
 *   family           0x11 TCP over IPv4 · 0x21 TCP over IPv6 · 0x00 unknown, for Unix sockets
 *   length           of what follows, 16 bits
 *   addresses        source address, destination address, source port, destination port
 *
 * The enclave is told, it is not proven: the parent may write any address here. The address serves logs and limits, and
 * no decision on who may do what.
 *
 * Source: HAProxy doc/proxy-protocol.txt §2.2.
 *
 * @module
 */
import { isIPv4, isIPv6, Socket } from "node:net";
import type { Duplex } from "node:stream";
import { ipv4Bytes, ipv6Bytes } from "../egress/address-class.ts";

export interface Endpoint {
  /** An IP address. */
  readonly address: string;
  readonly port: number;
}

export interface ProxiedEndpoints {
  readonly source: Endpoint;
  readonly destination: Endpoint;
}

const SIGNATURE = Uint8Array.of(0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d, 0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a);
const LOCAL = 0x20;
const PROXY = 0x21;
const UNSPECIFIED = 0x00;
const TCP4 = 0x11;
const TCP6 = 0x21;

/** The header of a connection that the proxy makes for itself. */
export const LOCAL_HEADER: Uint8Array = header(LOCAL, UNSPECIFIED, new Uint8Array());

/** The header for a client's connection; without endpoints it says that they are not known. */
export function proxyHeader(endpoints: ProxiedEndpoints | undefined): Uint8Array {
  if (!endpoints) return header(PROXY, UNSPECIFIED, new Uint8Array());
  const { source, destination } = endpoints;
  const ports = new DataView(new ArrayBuffer(4));
  ports.setUint16(0, source.port);
  ports.setUint16(2, destination.port);
  const [from, to] = [plainAddress(source.address), plainAddress(destination.address)];
  const [family, bytes] = isIPv4(from) && isIPv4(to) ? [TCP4, ipv4Bytes] : [TCP6, carriedBytes];
  return header(PROXY, family, Uint8Array.of(...bytes(from), ...bytes(to), ...new Uint8Array(ports.buffer)));
}

/** Both ends of a client's TCP connection; undefined for a Unix socket, and when the client has gone already. */
export function endpointsOf(socket: Duplex): ProxiedEndpoints | undefined {
  if (!(socket instanceof Socket)) return undefined;
  const source = endpoint(socket.remoteAddress, socket.remotePort);
  const destination = endpoint(socket.localAddress, socket.localPort);
  return source && destination && { source, destination };
}

function endpoint(address: string | undefined, port: number | undefined): Endpoint | undefined {
  // A link-local IPv6 address comes with its zone, which means nothing to another machine.
  const plain = address?.replace(/%.*$/, "");
  if (plain === undefined || port === undefined || !(isIPv4(plain) || isIPv6(plain))) return undefined;
  return { address: plain, port };
}

/** A socket that takes both families sees its IPv4 clients as `::ffff:a.b.c.d`. */
function plainAddress(address: string): string {
  const mapped = /^::ffff:([0-9.]+)$/i.exec(address)?.[1];
  return mapped !== undefined && isIPv4(mapped) ? mapped : address;
}

/** The header has one family for both ends: where only one end is IPv4, it is the IPv6 address that carries it. */
function carriedBytes(address: string): Uint8Array {
  return ipv6Bytes(isIPv4(address) ? `::ffff:${address}` : address);
}

function header(versionAndCommand: number, family: number, addresses: Uint8Array): Uint8Array {
  const length = addresses.length;
  return Uint8Array.of(...SIGNATURE, versionAndCommand, family, length >> 8, length & 0xff, ...addresses);
}
