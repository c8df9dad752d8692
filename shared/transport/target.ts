/**
 * Decides whether text names a host and a port, and gives the one spelling they are compared by.
 *
 *   host    ASCII letters, digits, hyphens in labels; lower case; one trailing dot removed
 *   IPv4    four decimal numbers without leading zeros, as written; no other spelling of an IP address is one
 *   port    1 to 65535, no sign, no leading zero
 *
 * Everything else is refused: brackets, `user@`, escapes, spaces, control characters, non-ASCII, wildcards. Bypasses of
 * other proxies were spellings that two readers understood differently (CVE-2022-24825, CVE-2022-29188); here the same
 * function reads the allowlist and the request, and the comparison after it is exact.
 *
 * Source: RFC 952, RFC 1123 §2.1; WHATWG URL §3.5 "ends in a number" for what a resolver may take as an address.
 *
 * @module
 */
import { TransportError } from "../errors/transport.ts";

export interface Target {
  /** In the canonical spelling. */
  readonly host: string;
  readonly port: number;
}

const HOST_MAX = 253;
const LABEL = /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/;
const NUMBER = /^(?:[0-9]+|0x[0-9a-f]*)$/;
const IPV4 = /^(?:(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])(?:\.(?!$)|$)){4}$/;

function refused(text: string, rule: string): TransportError {
  // What a peer sent may end in a log: printable, and not long.
  const address = text.slice(0, 300).replace(/[^\x21-\x7e]/g, "?");
  return new TransportError("ERR_TRANSPORT_ADDRESS_INVALID", { address, rule });
}

export function isIpv4Literal(host: string): boolean {
  return IPV4.test(host);
}

/**
 * Reads a host name, or an IPv4 address as written.
 *
 * @throws {TransportError} `ERR_TRANSPORT_ADDRESS_INVALID`
 */
export function canonicalHost(text: string): string {
  if (isIpv4Literal(text)) return text;
  // Only A to Z change: `toLowerCase` would also fold the Kelvin sign into k.
  const name = text.replace(/[A-Z]/g, (letter) => letter.toLowerCase()).replace(/\.$/, "");
  if (name.length < 1 || name.length > HOST_MAX) throw refused(text, `a host name has 1 to ${HOST_MAX} characters`);
  const labels = name.split(".");
  if (!labels.every((label) => LABEL.test(label))) {
    throw refused(text, "a host name is labels of ASCII letters, digits and hyphens with single dots between");
  }
  if (NUMBER.test(labels.at(-1) ?? "")) throw refused(text, "an IP address is written as four decimal numbers");
  return name;
}

/**
 * Reads `host:port`.
 *
 * @throws {TransportError} `ERR_TRANSPORT_ADDRESS_INVALID`
 */
export function parseTarget(text: string): Target {
  const colon = text.lastIndexOf(":");
  if (colon < 0) throw refused(text, "expected host:port");
  return { host: canonicalHost(text.slice(0, colon)), port: parsePort(text, text.slice(colon + 1)) };
}

function parsePort(text: string, digits: string): number {
  const port = /^[1-9][0-9]{0,4}$/.test(digits) ? Number(digits) : 0;
  if (port < 1 || port > 65_535) throw refused(text, "a port is 1 to 65535, without leading zeros");
  return port;
}
