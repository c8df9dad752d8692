import { describe, expect, test } from "vitest";
import { endpointsOf, LOCAL_HEADER, proxyHeader } from "../../../parent/ingress/proxy-protocol.ts";
import { createMemoryPair } from "../../../transport/memory.ts";

const SIGNATURE = "0d0a0d0a000d0a515549540a";
const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");
const between = (from: string, to: string): string => {
  return hex(proxyHeader({ source: { address: from, port: 51_966 }, destination: { address: to, port: 443 } }));
};

describe("the header of the PROXY protocol, version 2", () => {
  test.each<[string, string, string, string]>([
    ["IPv4", "192.0.2.1", "198.51.100.7", `2111000c${"c0000201"}${"c6336407"}cafe01bb`],
    [
      "IPv6",
      "2001:db8::1",
      "2001:db8:0:1:2:3:4:5",
      `21210024${"20010db8000000000000000000000001"}${"20010db8000000010002000300040005"}cafe01bb`,
    ],
    [
      "IPv4 clients of a socket for both",
      "::ffff:192.0.2.1",
      "::ffff:198.51.100.7",
      "2111000cc0000201c6336407cafe01bb",
    ],
    [
      "one end of each family",
      "192.0.2.1",
      "2001:db8::1",
      `21210024${"00000000000000000000ffffc0000201"}${"20010db8000000000000000000000001"}cafe01bb`,
    ],
  ])("%s", (_, from, to, rest) => {
    expect(between(from, to)).toBe(SIGNATURE + rest);
  });

  test("a Unix socket's client has no address: the family is not specified", () => {
    expect(hex(proxyHeader(undefined))).toBe(`${SIGNATURE}21000000`);
    expect(endpointsOf(createMemoryPair()[0])).toBeUndefined();
  });

  test("a connection of the proxy's own is LOCAL", () => {
    expect(hex(LOCAL_HEADER)).toBe(`${SIGNATURE}20000000`);
  });
});
