/**
 * Reads the values that conditions compare: numbers, times, addresses, bytes. Strict, so that one text has one meaning.
 *
 *   number    decimal, with sign and fraction; no exponent, no hexadecimal
 *   time      the W3C profile of ISO 8601 (a time of day needs its zone; four digits are a year), or seconds since 1970
 *   address   IPv4 in four decimal numbers, IPv6 without zone; `/n` makes a range, and the bits after n do not matter
 *   bytes     base64 with its padding
 *
 * An IPv4-mapped IPv6 address is an IPv6 address. AWS writes that an address without `/n` is a `/32`; for IPv6 this
 * takes the one address.
 *
 * Source: IAM User Guide, "Condition operators"; W3C NOTE-datetime; RFC 4648 §4.
 *
 * @module
 */
import { isIPv4, isIPv6 } from "node:net";

/** NaN for another form. */
export function readNumber(value: string): number {
  return /^[+-]?\d+(\.\d+)?$/.test(value) ? Number(value) : Number.NaN;
}

/** Milliseconds since 1970; NaN for another form. */
export function readInstant(value: string): number {
  if (/^\d+$/.test(value) && value.length !== 4) return Number(value) * 1000;
  const isDate = /^\d{4}(-\d\d(-\d\d(T\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:\d\d))?)?)?$/.test(value);
  return isDate ? Date.parse(value) : Number.NaN;
}

export function isBase64(value: string): boolean {
  return Buffer.from(value, "base64").toString("base64") === value;
}

export interface AddressRange {
  readonly bits: 32 | 128;
  readonly address: bigint;
  /** How many of the bits count. */
  readonly prefix: number;
}

export function readAddressRange(value: string): AddressRange | undefined {
  const slash = value.indexOf("/");
  const text = slash < 0 ? value : value.slice(0, slash);
  const bits = isIPv4(text) ? 32 : isIPv6(text) && !text.includes("%") ? 128 : undefined;
  if (bits === undefined) return undefined;
  const address = bits === 32 ? ipv4(text) : ipv6(text);
  if (slash < 0) return { bits, address, prefix: bits };
  const digits = value.slice(slash + 1);
  const isPrefix = /^(0|[1-9]\d{0,2})$/.test(digits) && Number(digits) <= bits;
  return isPrefix ? { bits, address, prefix: Number(digits) } : undefined;
}

export function contains(range: AddressRange, { bits, address, prefix }: AddressRange): boolean {
  const rest = BigInt(range.bits - range.prefix);
  return range.bits === bits && prefix === bits && range.address >> rest === address >> rest;
}

function ipv4(text: string): bigint {
  return BigInt(text.split(".").reduce((sum, part) => sum * 256 + Number(part), 0));
}

function ipv6(text: string): bigint {
  const dotted = /[\d.]+$/.exec(text)?.[0] ?? "";
  const tail = dotted.includes(".") ? ipv4(dotted) : undefined;
  const plain =
    tail === undefined ? text : text.slice(0, -dotted.length) + [tail >> 16n, tail & 0xffffn].map(hex).join(":");
  const [head = "", after] = plain.split("::");
  const groups = (part: string): string[] => (part === "" ? [] : part.split(":"));
  const [left, right] = [groups(head), groups(after ?? "")];
  const zeros = Array.from({ length: 8 - left.length - right.length }, () => "0");
  return [...left, ...zeros, ...right].reduce((sum, group) => (sum << 16n) | BigInt(`0x${group}`), 0n);
}

function hex(value: bigint): string {
  return value.toString(16);
}
