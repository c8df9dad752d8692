/**
 * Where a peer listens: a URL string at every edge, a union tagged `kind` inside.
 *
 *   vsock://3:8001                 AF_VSOCK, context id and port
 *   unix:///run/x.sock             a Unix socket (unix://./x.sock is relative to the working directory)
 *   vsock+unix:///run/vm.sock:8080 vsock of a guest on this host, through its monitor's Unix socket ("hybrid")
 *   tcp://127.0.0.1:8443           TCP
 *
 * A `Peer` is an address without the port: a vsock context, a folder in which each port is a Unix socket, or the socket
 * of a guest's monitor.
 *
 * @module
 */
import { TransportError } from "../errors/transport.ts";

export type Address =
  | { readonly kind: "vsock"; readonly cid: number; readonly port: number }
  | { readonly kind: "unix"; readonly path: string }
  | { readonly kind: "hybrid"; readonly path: string; readonly port: number }
  | { readonly kind: "tcp"; readonly host: string; readonly port: number };

export type Peer =
  | { readonly kind: "vsock"; readonly cid: number }
  | { readonly kind: "unix"; readonly folder: string }
  | { readonly kind: "hybrid"; readonly path: string };

const U32_MAX = 0xffff_ffff;
const EXPECTED = "expected vsock://<cid>:<port>, unix://<path>, vsock+unix://<path>:<port> or tcp://<host>:<port>";

function invalid(address: string, rule: string): TransportError {
  return new TransportError("ERR_TRANSPORT_ADDRESS_INVALID", { address, rule });
}

function integer(text: string, maximum: number): number | undefined {
  if (!/^(0|[1-9][0-9]{0,9})$/.test(text)) return undefined;
  const value = Number(text);
  return value <= maximum ? value : undefined;
}

/**
 * Reads an address.
 *
 * @throws {TransportError} `ERR_TRANSPORT_ADDRESS_INVALID`
 */
export function parseAddress(url: string): Address {
  const unix = /^(vsock\+)?unix:\/\/(.+)$/s.exec(url);
  if (unix?.[2] !== undefined) {
    if (unix[2].includes("\0")) throw invalid(url, "a path has no NUL byte");
    return unix[1] === undefined ? { kind: "unix", path: unix[2] } : parseHybrid(url, unix[2]);
  }
  const match = /^(vsock|tcp):\/\/(\[[0-9a-f:.]+\]|[^:/[\]@]+):([0-9]+)$/i.exec(url);
  if (!match) throw invalid(url, EXPECTED);
  const [, kind, name = "", digits = ""] = match;
  if (kind === "vsock") {
    const cid = integer(name, U32_MAX);
    const port = integer(digits, U32_MAX);
    if (cid === undefined || port === undefined) throw invalid(url, "cid and port are integers of 32 bits");
    return { kind: "vsock", cid, port };
  }
  const port = integer(digits, 65_535);
  if (port === undefined) throw invalid(url, "a TCP port is 0 to 65535");
  return { kind: "tcp", host: name.replace(/^\[|\]$/g, ""), port };
}

/** The last colon divides: a path may hold others. */
function parseHybrid(url: string, text: string): Address {
  const colon = text.lastIndexOf(":");
  const port = integer(text.slice(colon + 1), U32_MAX);
  if (colon < 1 || port === undefined) throw invalid(url, "a path, then a colon and a port of 32 bits");
  return { kind: "hybrid", path: text.slice(0, colon), port };
}

/** The URL form of an address; `parseAddress` inverts it. */
export function formatAddress(address: Address): string {
  switch (address.kind) {
    case "vsock":
      return `vsock://${address.cid}:${address.port}`;
    case "unix":
      return `unix://${address.path}`;
    case "hybrid":
      return `vsock+unix://${address.path}:${address.port}`;
    case "tcp":
      return `tcp://${address.host.includes(":") ? `[${address.host}]` : address.host}:${address.port}`;
    default:
      throw new TypeError(`not an address: ${address satisfies never}`);
  }
}

/**
 * Refuses what is no vsock port: a mistake of the program, not of a peer.
 *
 * @throws {TypeError} not a number
 * @throws {RangeError} not an integer of 32 bits
 */
export function checkVsockPort(port: unknown): void {
  if (typeof port !== "number") throw new TypeError(`a vsock port is a number, not a ${typeof port}`);
  if (!Number.isInteger(port) || port < 0 || port > U32_MAX) throw new RangeError(`not a vsock port: ${port}`);
}

/** The address of one port of a peer. */
export function addressOf(peer: Peer, port: number): Address {
  checkVsockPort(port);
  switch (peer.kind) {
    case "vsock":
      return { kind: "vsock", cid: peer.cid, port };
    case "unix":
      return { kind: "unix", path: `${peer.folder}/${port}` };
    case "hybrid":
      return { kind: "hybrid", path: peer.path, port };
    default:
      throw new TypeError(`not a peer: ${peer satisfies never}`);
  }
}
