/**
 * Decides whether an address of the configuration is one that its user takes: a listener of this host, or DNS.
 *
 * The rules are those of `transport/tcp.ts` and of `node:dns`, asked before anything starts.
 *
 * @module
 */
import { isIP, isIPv4, isIPv6 } from "node:net";
import type { Address } from "../../shared/transport/address.ts";

/** Who may connect: anybody who has a route, or this host. */
export type Reach = "anywhere" | "loopback";

/** A Unix socket, or an IP address: no name is looked up, and `localhost` is 127.0.0.1. */
export function mayListenAt(address: Address, reach: Reach): boolean {
  if (address.kind !== "tcp") return address.kind === "unix";
  const { host } = address;
  const isLoopback = host === "localhost" || host === "::1" || (isIPv4(host) && host.startsWith("127."));
  return isLoopback || (reach === "anywhere" && isIP(host) !== 0);
}

/** An address, or one with a port: `10.0.0.2`, `10.0.0.2:53`, `fd00::2`, `[fd00::2]:53`. */
export function isNameServer(text: string): boolean {
  const [, six, four, port = "53"] = /^(?:\[([^\]]+)\]|([^:]+))(?::([1-9][0-9]{0,4}))?$/.exec(text) ?? [];
  const isAddress = isIPv6(text) || isIPv6(six ?? "") || isIPv4(four ?? "");
  return isAddress && Number(port) <= 65_535;
}
