/**
 * Where a peer listens: a URL string at every edge, a union tagged `kind` inside.
 *
 *   vsock://3:8001                 AF_VSOCK, context id and port
 *   unix:///run/x.sock             a Unix socket (unix://./x.sock is relative to the working directory)
 *   tcp://127.0.0.1:8443           TCP
 *
 * A `Peer` is an address without the port: a vsock context, or a folder in which each port is a Unix socket.
 *
 * @module
 */
import { TransportError } from "../errors/transport.ts";

export type Address =
  | { readonly kind: "vsock"; readonly cid: number; readonly port: number }
  | { readonly kind: "unix"; readonly path: string }
  | { readonly kind: "tcp"; readonly host: string; readonly port: number };

export type Peer =
  | { readonly kind: "vsock"; readonly cid: number }
  | { readonly kind: "unix"; readonly folder: string };

const U32_MAX = 0xffff_ffff;

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
  const unix = /^unix:\/\/(\/?.+)$/.exec(url);
  if (unix?.[1] !== undefined) {
    if (unix[1].includes("\0")) throw invalid(url, "a path has no NUL byte");
    return { kind: "unix", path: unix[1] };
  }
  const match = /^(vsock|tcp):\/\/(\[[0-9a-f:.]+\]|[^:/[\]@]+):([0-9]+)$/i.exec(url);
  if (!match) throw invalid(url, "expected vsock://<cid>:<port>, unix://<path> or tcp://<host>:<port>");
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

/** The URL form of an address; `parseAddress` inverts it. */
export function formatAddress(address: Address): string {
  switch (address.kind) {
    case "vsock":
      return `vsock://${address.cid}:${address.port}`;
    case "unix":
      return `unix://${address.path}`;
    case "tcp":
      return `tcp://${address.host.includes(":") ? `[${address.host}]` : address.host}:${address.port}`;
    default:
      throw new TypeError(`not an address: ${address satisfies never}`);
  }
}

/** The address of one port of a peer. */
export function addressOf(peer: Peer, port: number): Address {
  if (!Number.isInteger(port) || port < 0 || port > U32_MAX) throw new RangeError(`not a vsock port: ${port}`);
  return peer.kind === "vsock"
    ? { kind: "vsock", cid: peer.cid, port }
    : { kind: "unix", path: `${peer.folder}/${port}` };
}
