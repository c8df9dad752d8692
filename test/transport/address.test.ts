import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  type Address,
  addressOf,
  checkVsockPort,
  formatAddress,
  parseAddress,
} from "../../shared/transport/address.ts";

function outcome(url: string): Address | string {
  try {
    return parseAddress(url);
  } catch (error) {
    return (error as { code?: string }).code ?? String(error);
  }
}

const u32 = fc.integer({ min: 0, max: 0xffff_ffff });
const path = fc.string({ minLength: 1, unit: fc.constantFrom("a", "/", ":", ".", " ", "ü", "\n") });

describe("addresses", () => {
  test.each<[string, Address]>([
    ["vsock://3:8001", { kind: "vsock", cid: 3, port: 8001 }],
    ["vsock://4294967295:4294967295", { kind: "vsock", cid: 0xffff_ffff, port: 0xffff_ffff }],
    ["unix:///run/x.sock", { kind: "unix", path: "/run/x.sock" }],
    ["unix://./x.sock", { kind: "unix", path: "./x.sock" }],
    ["vsock+unix:///run/vm.sock:8080", { kind: "hybrid", path: "/run/vm.sock", port: 8080 }],
    ["vsock+unix:///run/a:1:0", { kind: "hybrid", path: "/run/a:1", port: 0 }],
    ["vsock+unix://./vm:4294967295", { kind: "hybrid", path: "./vm", port: 0xffff_ffff }],
    ["tcp://127.0.0.1:0", { kind: "tcp", host: "127.0.0.1", port: 0 }],
    ["tcp://[::1]:443", { kind: "tcp", host: "::1", port: 443 }],
  ])("%s", (url, address) => {
    expect(parseAddress(url)).toEqual(address);
    expect(formatAddress(address)).toBe(url);
  });

  test.each([
    "",
    "3:8001",
    "vsock://3",
    "vsock://3:",
    "vsock://3:01",
    "vsock://3:4294967296",
    "vsock://4294967296:1",
    "vsock://-1:1",
    "vsock://3:8001/",
    "unix://",
    "unix:///a\0b",
    "vsock+unix:///run/vm.sock",
    "vsock+unix:///run/vm.sock:",
    "vsock+unix:///run/vm.sock:-1",
    "vsock+unix:///run/vm.sock:08080",
    "vsock+unix:///run/vm.sock:4294967296",
    "vsock+unix:///run/vm.sock:8080/",
    "vsock+unix:///a\0b:1",
    "vsock+unix://:8080",
    "tcp://127.0.0.1:65536",
    "tcp://user@host:1",
    "http://127.0.0.1:80",
  ])("V15: %j is none", (url) => {
    expect(outcome(url)).toBe("ERR_TRANSPORT_ADDRESS_INVALID");
  });

  test("parsing inverts formatting", () => {
    const address: fc.Arbitrary<Address> = fc.oneof(
      fc.record({ kind: fc.constant("vsock" as const), cid: u32, port: u32 }),
      fc.record({ kind: fc.constant("unix" as const), path }),
      fc.record({ kind: fc.constant("hybrid" as const), path, port: u32 }),
    );
    fc.assert(fc.property(address, (one) => void expect(parseAddress(formatAddress(one))).toEqual(one)));
  });

  test("a peer's port is an address of its kind", () => {
    expect(addressOf({ kind: "vsock", cid: 3 }, 1)).toEqual({ kind: "vsock", cid: 3, port: 1 });
    expect(addressOf({ kind: "unix", folder: "/run" }, 1)).toEqual({ kind: "unix", path: "/run/1" });
    expect(addressOf({ kind: "hybrid", path: "/vm" }, 1)).toEqual({ kind: "hybrid", path: "/vm", port: 1 });
  });

  test.each([
    ["V15: -1", -1, RangeError],
    ["V15: 1.5", 1.5, RangeError],
    ["V15: 2^32", 2 ** 32, RangeError],
    ["V15: NaN", Number.NaN, RangeError],
    ["V15: text", "8000", TypeError],
    ["V15: nothing", undefined, TypeError],
  ])("%s is no port", (_, port, mistake) => {
    expect(() => checkVsockPort(port)).toThrow(mistake);
    expect(() => addressOf({ kind: "vsock", cid: 3 }, port as number)).toThrow(mistake);
  });
});
