import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { readClientHello } from "../../../parent/egress/client-hello.ts";
import { extension, hello, hostEntry, realHello, records, serverName } from "./hello.ts";

/** The name, or what became of it. */
function verdict(bytes: Uint8Array): string {
  const read = readClientHello(bytes);
  if (read.kind !== "hello") return read.kind;
  return `${read.serverName ?? "no name"}${read.isEncrypted ? ", encrypted" : ""}`;
}

const KMS = serverName(hostEntry("kms.test"));
const GREASE = extension(0x3a3a, Buffer.from([0]));

describe("a ClientHello", () => {
  test("of Node's TLS, with a name and without", async () => {
    expect(verdict(await realHello("kms.eu-central-1.amazonaws.com"))).toBe("kms.eu-central-1.amazonaws.com");
    expect(verdict(await realHello())).toBe("no name");
  });

  test.each<[string, Uint8Array, string]>([
    ["R16: the name alone", records(hello()), "kms.test"],
    ["R16: no extensions at all", records(hello({ extensions: undefined })), "no name"],
    ["R16: an empty list of extensions", records(hello({ extensions: [] })), "no name"],
    ["R16: extensions without a name", records(hello({ extensions: [GREASE] })), "no name"],
    [
      "R16: GREASE around the name",
      records(hello({ extensions: [GREASE, KMS, extension(0xdada, Buffer.alloc(1))] })),
      "kms.test",
    ],
    ["R16: GREASE among the suites", records(hello({ suites: Buffer.from([0x0a, 0x0a, 0x13, 0x01]) })), "kms.test"],
    [
      "R16: ECH with an outer name",
      records(hello({ extensions: [KMS, extension(0xfe0d, Buffer.alloc(8))] })),
      "kms.test, encrypted",
    ],
    [
      "R16: fragmented, a byte behind the header a record",
      records(hello({ sessionId: Buffer.alloc(0) }), 4),
      "kms.test",
    ],
    [
      "R16: fragmented inside the header",
      Buffer.concat([records(hello().subarray(0, 1)), records(hello().subarray(1))]),
      "kms.test",
    ],
    ["R16: another record behind", Buffer.concat([records(hello()), Buffer.from([23, 3, 3, 0, 1, 9])]), "kms.test"],
    ["R16: one extension twice", records(hello({ extensions: [KMS, KMS] })), "invalid"],
    ["R16: GREASE twice", records(hello({ extensions: [GREASE, GREASE] })), "invalid"],
    [
      "R16: two names",
      records(hello({ extensions: [serverName(hostEntry("kms.test"), hostEntry("evil.test"))] })),
      "invalid",
    ],
    ["R16: a name of another type", records(hello({ extensions: [serverName(hostEntry("kms.test", 1))] })), "invalid"],
    ["R16: an empty name", records(hello({ extensions: [serverName(hostEntry(""))] })), "invalid"],
    ["R16: an empty list of names", records(hello({ extensions: [serverName()] })), "invalid"],
    ["R16: NUL in the name", records(hello({ extensions: [serverName(hostEntry("kms.test\0.evil"))] })), "invalid"],
    ["R16: no ASCII in the name", records(hello({ extensions: [serverName(hostEntry("k\u00e9s.test"))] })), "invalid"],
    [
      "R16: bytes behind the list of names",
      records(hello({ extensions: [extension(0, Buffer.concat([KMS.subarray(4), Buffer.alloc(1)]))] })),
      "invalid",
    ],
    ["R16: bytes behind the extensions", records(hello({ behind: Buffer.alloc(1) })), "invalid"],
    ["R16: bytes behind the message in its record", records(Buffer.concat([hello(), Buffer.alloc(1)])), "invalid"],
    ["R16: a message that says less than it has", records(hello({ lie: -1 })), "invalid"],
    ["R16: a message that says more than it has", records(hello({ lie: 1 })), "partial"],
    ["R16: a session id of 33 bytes", records(hello({ sessionId: Buffer.alloc(33) })), "invalid"],
    ["R16: half a cipher suite", records(hello({ suites: Buffer.alloc(3) })), "invalid"],
    ["R16: no cipher suites", records(hello({ suites: Buffer.alloc(0) })), "invalid"],
    ["R16: no compression method", records(hello({ compression: Buffer.alloc(0) })), "invalid"],
    ["R16: HTTP", Buffer.from("GET / HTTP/1.1\r\n\r\n"), "invalid"],
    ["R16: one byte that is not TLS", Buffer.from("G"), "invalid"],
    ["R16: SSLv2", Buffer.from([0x80, 0x2e, 1, 3, 1]), "invalid"],
    ["R16: a record of TLS 0.3", Buffer.from([22, 0, 3, 0, 1, 1]), "invalid"],
    ["R16: an alert first", Buffer.from([21, 3, 3, 0, 2, 1, 0]), "invalid"],
    [
      "R16: an alert between two fragments",
      Buffer.concat([records(hello()).subarray(0, 5 + 3), Buffer.alloc(0)]),
      "partial",
    ],
    ["R16: an empty record", Buffer.from([22, 3, 1, 0, 0]), "invalid"],
    ["R16: a record of 16 385 bytes", Buffer.from([22, 3, 1, 0x40, 1]), "invalid"],
    ["R16: a ServerHello", records(Buffer.from([2, 0, 0, 0])), "invalid"],
    ["R16: a hello of another type", records(Buffer.concat([Buffer.from([2]), hello().subarray(1)])), "invalid"],
    ["R16: 33 records", records(Buffer.concat([Buffer.from([1, 0, 1, 0]), Buffer.alloc(64)]), 1), "invalid"],
    ["R16: nothing", Buffer.alloc(0), "partial"],
  ])("%s", (_, bytes, wanted) => {
    expect(verdict(bytes)).toBe(wanted);
  });

  test("R16: another record between two fragments", () => {
    const message = hello();
    const alert = Buffer.from([21, 3, 3, 0, 2, 1, 0]);
    const bytes = Buffer.concat([records(message.subarray(0, 20)), alert, records(message.subarray(20))]);
    expect(verdict(bytes)).toBe("invalid");
  });

  test("R16: no prefix has a verdict, and each says that more is needed than it has", async () => {
    for (const whole of [await realHello("kms.test"), records(hello(), 16)]) {
      for (let length = 0; length < whole.length; length++) {
        const read = readClientHello(whole.subarray(0, length));
        expect(read.kind === "partial" && read.need > length && read.need <= whole.length, `${length}`).toBe(true);
      }
    }
  });

  test("R16: fragments of any size are the same hello", () => {
    fc.assert(
      fc.property(fc.integer({ min: 8, max: 200 }), fc.stringMatching(/^[a-z][a-z0-9.-]{0,60}$/), (size, name) => {
        expect(verdict(records(hello({ extensions: [GREASE, serverName(hostEntry(name))] }), size))).toBe(name);
      }),
    );
  });

  test("R16: whatever comes, the reader does not throw; a byte changed gives another verdict, or the same name", () => {
    const whole = records(hello({ extensions: [GREASE, KMS] }), 40);
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), fc.nat(whole.length - 1), fc.nat(255), (bytes, at, value) => {
        verdict(bytes);
        verdict(Buffer.concat([Buffer.from([22, 3, 1, 1, 0, 1, 0, 0, 0xfc]), bytes]));
        const changed = Buffer.from(whole);
        changed[at] = value;
        expect(verdict(changed)).toMatch(/^(partial|invalid|no name|[!-~]{8})$/);
      }),
      { numRuns: 2_000 },
    );
  });
});
