/**
 * Decides what kind of place an IP address is, so that a name cannot lead the proxy where it must not go.
 *
 *   public    anywhere on the Internet
 *   private   this host and the networks around it: only for targets that say so (VPC endpoints are such addresses)
 *   never     link-local and instance metadata, multicast, reserved: no setting opens these
 *
 * An IPv6 address that carries an IPv4 address is what that IPv4 address is. What no rule names is `never`.
 *
 * Source: IANA IPv4 and IPv6 Special-Purpose Address Registries; RFC 6052 §2.1 (64:ff9b::/96), RFC 3056 (2002::/16);
 * EC2 user guide for `fd00:ec2::/32`.
 *
 * @module
 */
import { isIPv4, isIPv6 } from "node:net";

export type AddressClass = "public" | "private" | "never";

type Rule = readonly [prefix: string, bits: number, class_: AddressClass];

const IPV4_RULES: readonly Rule[] = [
  ["0.0.0.0", 8, "never"],
  ["10.0.0.0", 8, "private"],
  ["100.64.0.0", 10, "private"],
  ["127.0.0.0", 8, "private"],
  ["169.254.0.0", 16, "never"],
  ["172.16.0.0", 12, "private"],
  ["192.0.0.0", 24, "never"],
  ["192.0.2.0", 24, "never"],
  ["192.88.99.0", 24, "never"],
  ["192.168.0.0", 16, "private"],
  ["198.18.0.0", 15, "private"],
  ["198.51.100.0", 24, "never"],
  ["203.0.113.0", 24, "never"],
  ["224.0.0.0", 3, "never"],
];

/** First match decides. */
const IPV6_RULES: readonly Rule[] = [
  ["::1", 128, "private"],
  ["fd00:ec2::", 32, "never"],
  ["fc00::", 7, "private"],
  ["2001::", 23, "never"],
  ["2001:db8::", 32, "never"],
  ["3fff::", 20, "never"],
  ["2000::", 3, "public"],
];

/** Prefixes behind which an IPv4 address stands, and at which byte. */
const EMBEDDINGS: readonly (readonly [prefix: string, bits: number, at: number])[] = [
  ["::ffff:0:0", 96, 12],
  ["64:ff9b::", 96, 12],
  ["2002::", 16, 2],
  ["::", 96, 12],
];

/** Classifies an address as a resolver gives it; text that is not an IP address is `never`. */
export function classifyAddress(text: string): AddressClass {
  if (isIPv4(text)) return classify4(ipv4Bytes(text));
  // A zone (`%eth0`) belongs to link-local addresses only.
  if (!isIPv6(text) || text.includes("%")) return "never";
  const bytes = ipv6Bytes(text);
  if (matches(bytes, ipv6Bytes("::1"), 128)) return "private";
  for (const [prefix, bits, at] of EMBEDDINGS) {
    if (matches(bytes, ipv6Bytes(prefix), bits)) return classify4(bytes.subarray(at, at + 4));
  }
  return IPV6_RULES.find(([prefix, bits]) => matches(bytes, ipv6Bytes(prefix), bits))?.[2] ?? "never";
}

function classify4(bytes: Uint8Array): AddressClass {
  return IPV4_RULES.find(([prefix, bits]) => matches(bytes, ipv4Bytes(prefix), bits))?.[2] ?? "public";
}

function matches(address: Uint8Array, prefix: Uint8Array, bits: number): boolean {
  return prefix.every((byte, i) => {
    const significant = Math.min(8, Math.max(0, bits - 8 * i));
    const mask = 0xff00 >> significant;
    return ((address[i] ?? 0) & mask & 0xff) === (byte & mask & 0xff);
  });
}

/** The 4 bytes of an address that `isIPv4` accepted. */
export function ipv4Bytes(text: string): Uint8Array {
  return Uint8Array.from(text.split("."), Number);
}

/** The 16 bytes of an address that `isIPv6` accepted. */
export function ipv6Bytes(text: string): Uint8Array {
  const plain = text.replace(/[0-9]+\.[0-9.]+$/, (v4) => {
    const [a = 0, b = 0, c = 0, d = 0] = ipv4Bytes(v4);
    return `${((a << 8) | b).toString(16)}:${((c << 8) | d).toString(16)}`;
  });
  const [head = "", tail] = plain.split("::");
  const before = head === "" ? [] : head.split(":");
  const after = tail === undefined || tail === "" ? [] : tail.split(":");
  const zeros = new Array<string>(8 - before.length - after.length).fill("0");
  const groups = [...before, ...zeros, ...after].map((group) => Number.parseInt(group, 16));
  return Uint8Array.from(groups.flatMap((group) => [group >> 8, group & 0xff]));
}
