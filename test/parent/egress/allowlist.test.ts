import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { classifyAddress } from "../../../parent/egress/address-class.ts";
import { type AllowlistEntry, readAllowlist } from "../../../parent/egress/allowlist.ts";
import { parseTarget } from "../../../shared/transport/target.ts";

const KMS = "kms.us-east-1.amazonaws.com:443";

/** What the proxy would say to a request for `text`. */
function verdict(text: string, entries: readonly AllowlistEntry[] = [KMS, "93.184.216.34:443"]): string {
  try {
    return readAllowlist(entries).find(parseTarget(text)) ? "allowed" : "not listed";
  } catch (error) {
    return (error as { code: string }).code === "ERR_TRANSPORT_ADDRESS_INVALID" ? "malformed" : String(error);
  }
}

describe("what is asked for, and what the list says", () => {
  test.each<[string, string, string]>([
    ["R01: the very same", KMS, "allowed"],
    ["R01: a trailing dot", "kms.us-east-1.amazonaws.com.:443", "allowed"],
    ["R01: two trailing dots", "kms.us-east-1.amazonaws.com..:443", "malformed"],
    ["R01: a leading dot", ".kms.us-east-1.amazonaws.com:443", "malformed"],
    ["R01: two dots inside", "kms..us-east-1.amazonaws.com:443", "malformed"],
    ["R01: dots alone", ".:443", "malformed"],
    ["R02: upper case", "KMS.US-EAST-1.AMAZONAWS.COM:443", "allowed"],
    ["R02: mixed case", "Kms.us-East-1.amazonaws.com:443", "allowed"],
    ["R02: full-width letters", "ｋms.us-east-1.amazonaws.com:443", "malformed"],
    ["R02: the Kelvin sign", "\u212Ams.us-east-1.amazonaws.com:443", "malformed"],
    ["R02: a soft hyphen", "kms\u00AD.us-east-1.amazonaws.com:443", "malformed"],
    ["R02: sharp s", "kmß.us-east-1.amazonaws.com:443", "malformed"],
    ["R02: a zero-width joiner", "kms\u200D.us-east-1.amazonaws.com:443", "malformed"],
    ["R02: an ideographic full stop", "kms。us-east-1.amazonaws.com:443", "malformed"],
    ["R02: punycode of ASCII", "xn--kms-.us-east-1.amazonaws.com:443", "malformed"],
    ["R02: punycode", "xn--kms-0ya.us-east-1.amazonaws.com:443", "not listed"],
    ["R03: an IPv6 address in brackets", "[::1]:443", "malformed"],
    ["R03: the name in brackets", "[kms.us-east-1.amazonaws.com]:443", "malformed"],
    ["R03: brackets twice", "[[::1]]:443", "malformed"],
    ["R03: a bracket at the end", "kms.us-east-1.amazonaws.com]:443", "malformed"],
    ["R04: an address that is listed", "93.184.216.34:443", "allowed"],
    ["R04: an address that is not", "127.0.0.1:443", "not listed"],
    ["R04: octal", "0177.0.0.1:443", "malformed"],
    ["R04: hexadecimal", "0x7f.1:443", "malformed"],
    ["R04: hexadecimal at the end", "1.0x7f:443", "malformed"],
    ["R04: one number", "2130706433:443", "malformed"],
    ["R04: two numbers", "127.1:443", "malformed"],
    ["R04: a listed address with a dot", "93.184.216.34.:443", "malformed"],
    ["R04: a listed address with a zero", "93.184.216.034:443", "malformed"],
    ["R04: zero", "0:443", "malformed"],
    ["R04: a number too large", "93.184.216.256:443", "malformed"],
    ["R05: IPv4 in IPv6", "::ffff:93.184.216.34:443", "malformed"],
    ["R05: with a zone", "fe80::1%eth0:443", "malformed"],
    ["R11: port 0443", "kms.us-east-1.amazonaws.com:0443", "malformed"],
    ["R11: a space after the port", "kms.us-east-1.amazonaws.com:443 ", "malformed"],
    ["R11: a fraction", "kms.us-east-1.amazonaws.com:443.0", "malformed"],
    ["R11: port 70000", "kms.us-east-1.amazonaws.com:70000", "malformed"],
    ["R11: port 65536", "kms.us-east-1.amazonaws.com:65536", "malformed"],
    ["R11: port 65535", "kms.us-east-1.amazonaws.com:65535", "not listed"],
    ["R11: port 0", "kms.us-east-1.amazonaws.com:0", "malformed"],
    ["R11: port -1", "kms.us-east-1.amazonaws.com:-1", "malformed"],
    ["R11: port +443", "kms.us-east-1.amazonaws.com:+443", "malformed"],
    ["R11: port 80", "kms.us-east-1.amazonaws.com:80", "not listed"],
    ["R11: no port", "kms.us-east-1.amazonaws.com", "malformed"],
    ["R11: an empty port", "kms.us-east-1.amazonaws.com:", "malformed"],
    ["R12: the name as a prefix", "kms.us-east-1.amazonaws.com.evil.test:443", "not listed"],
    ["R12: the name as a suffix", "evilkms.us-east-1.amazonaws.com:443", "not listed"],
    ["R12: user and name", "a@kms.us-east-1.amazonaws.com:443", "malformed"],
    ["R12: port and user", "kms.us-east-1.amazonaws.com:443@evil.test:443", "malformed"],
    ["R12: NUL", "kms.us-east-1.amazonaws.com\0.evil.test:443", "malformed"],
    ["R12: CR LF", "kms.us-east-1.amazonaws.com\r\n:443", "malformed"],
    ["R12: LF after the port", "kms.us-east-1.amazonaws.com:443\n", "malformed"],
    ["R12: a space", "kms.us-east-1.amazonaws.com :443", "malformed"],
    ["R12: a tab", "kms.us-east-1.amazonaws.com\t:443", "malformed"],
    ["R12: %2e", "kms%2eus-east-1.amazonaws.com:443", "malformed"],
    ["R12: a backslash", "kms.us-east-1.amazonaws.com\\.evil.test:443", "malformed"],
    ["R12: a slash", "kms.us-east-1.amazonaws.com/x:443", "malformed"],
    ["R12: an underscore", "_kms.us-east-1.amazonaws.com:443", "malformed"],
    ["R12: a label of 64", `${"a".repeat(64)}.com:443`, "malformed"],
    ["R12: a label of 63", `${"a".repeat(63)}.com:443`, "not listed"],
    ["R12: a name of 254", `${"a.".repeat(126)}aa:443`, "malformed"],
    ["R12: a name of 253", `${"a.".repeat(126)}a:443`, "not listed"],
    ["R12: nothing", ":443", "malformed"],
    ["R13: a wildcard", "*.amazonaws.com:443", "malformed"],
  ])("%s", (_, text, wanted) => {
    expect(verdict(text)).toBe(wanted);
  });

  test.each<[string, string, string]>([
    ["R13: one label", "a.s3.amazonaws.com:443", "allowed"],
    ["R13: one label, in capitals and with a dot", "A.S3.amazonaws.com.:443", "allowed"],
    ["R13: two labels", "a.b.s3.amazonaws.com:443", "not listed"],
    ["R13: none", "s3.amazonaws.com:443", "not listed"],
    ["R13: no dot before it", "xs3.amazonaws.com:443", "not listed"],
    ["R13: as a prefix", "a.s3.amazonaws.com.evil.test:443", "not listed"],
    ["R13: another port", "a.s3.amazonaws.com:80", "not listed"],
    ["R13: the star itself", "*.s3.amazonaws.com:443", "malformed"],
  ])("%s against *.s3.amazonaws.com: %s", (_, text, wanted) => {
    const star = { target: "*.s3.amazonaws.com:443", allowPrivate: false, wildcard: "one-label" as const };
    expect(verdict(text, [star])).toBe(wanted);
  });

  test("R13: what a star allows is dialled and named as it was asked for; an entry of its own goes before", () => {
    const star = { target: "*.s3.test:443", allowPrivate: false, wildcard: "one-label" as const };
    const own = { target: "b.s3.test:443", allowPrivate: true, sniPolicy: "enforce" as const };
    const list = readAllowlist([star, own], { "a.s3.test:443": "127.0.0.1:1" });
    expect(list.find(parseTarget("a.s3.test:443"))).toEqual({
      host: "a.s3.test",
      port: 443,
      allowPrivate: false,
      fixed: { address: "127.0.0.1", port: 1 },
    });
    expect(list.find(parseTarget("b.s3.test:443"))).toMatchObject({ allowPrivate: true, sniPolicy: "enforce" });
    expect(list.find(parseTarget("c.s3.test:443"))?.fixed).toBeUndefined();
  });

  test("whatever the list allows is the listed name, in some case, with a dot or without", () => {
    const near = fc.stringMatching(/^[kKmMsS.\-a@%0:[\]*\u212A ]{0,12}$/);
    fc.assert(
      fc.property(near, (text) => {
        const allowed = verdict(`${text}:443`, ["kms.s:443"]) === "allowed";
        expect(allowed).toBe(/^[kK][mM][sS]\.[sS]\.?$/.test(text));
      }),
    );
  });
});

describe("the list itself", () => {
  const refusal = (entries: readonly unknown[], hosts?: unknown): unknown => {
    try {
      readAllowlist(entries as AllowlistEntry[], hosts as Record<string, string>);
      return "accepted";
    } catch (error) {
      const { code, details } = error as { code: string; details: { field: string } };
      return `${code} ${details.field}`;
    }
  };

  test.each<[string, readonly unknown[], string]>([
    ["R13: a wildcard", [KMS, "*.amazonaws.com:443"], "ERR_CONFIG_FIELD_INVALID allowlist[1]"],
    ["R13: everything", ["*"], "ERR_CONFIG_FIELD_INVALID allowlist[0]"],
    ["R13: any port", ["kms.us-east-1.amazonaws.com:*"], "ERR_CONFIG_FIELD_INVALID allowlist[0]"],
    ...[
      "*",
      "*.com:443",
      "*:443",
      "*.:443",
      "*.127.0.0.1:443",
      "a.*.com:443",
      "**.b.com:443",
      "a.b.com:443",
      "*a.b.com:443",
    ].map((target): [string, unknown[], string] => [
      `R13: ${target} as a wildcard`,
      [{ target, allowPrivate: false, wildcard: "one-label" }],
      "ERR_CONFIG_FIELD_INVALID allowlist[0]",
    ]),
    [
      "R13: a star without saying so",
      [{ target: "*.b.com:443", allowPrivate: false }],
      "ERR_CONFIG_FIELD_INVALID allowlist[0]",
    ],
    [
      "R13: another kind of wildcard",
      [{ target: "*.b.com:443", allowPrivate: false, wildcard: "any" }],
      "ERR_CONFIG_FIELD_INVALID allowlist[0].wildcard",
    ],
    [
      "R16: another SNI policy",
      [{ target: KMS, allowPrivate: false, sniPolicy: "on" }],
      "ERR_CONFIG_FIELD_INVALID allowlist[0].sniPolicy",
    ],
    ["R14: the same twice, spelled twice", [KMS, KMS.toUpperCase()], "ERR_CONFIG_FIELD_INVALID allowlist[1]"],
    ["R14: no port", ["kms.us-east-1.amazonaws.com"], "ERR_CONFIG_FIELD_INVALID allowlist[0]"],
    ["R14: a number", [443], "ERR_CONFIG_FIELD_INVALID allowlist[0]"],
    ["R14: null", [null], "ERR_CONFIG_FIELD_INVALID allowlist[0]"],
    ["R14: allowPrivate left out", [{ target: KMS }], "ERR_CONFIG_FIELD_INVALID allowlist[0].allowPrivate"],
    [
      "R14: allowPrivate as text",
      [{ target: KMS, allowPrivate: "no" }],
      "ERR_CONFIG_FIELD_INVALID allowlist[0].allowPrivate",
    ],
    ["R14: a typing error", [{ target: KMS, allowPrivat: true }], "ERR_CONFIG_FIELD_UNKNOWN allowlist[0].allowPrivat"],
    [
      "R14: 10 001 entries",
      Array.from({ length: 10_001 }, (_, i) => `h${i}.test:1`),
      "ERR_CONFIG_FIELD_INVALID allowlist",
    ],
    ["R06: the metadata address", ["169.254.169.254:80"], "ERR_CONFIG_FIELD_INVALID allowlist[0]"],
    ["10 000 entries", Array.from({ length: 10_000 }, (_, i) => `h${i}.test:1`), "accepted"],
    ["an empty list", [], "accepted"],
  ])("%s", (_, entries, wanted) => {
    expect(refusal(entries)).toBe(wanted);
  });

  test.each<[string, unknown, string]>([
    ["a name as the place", { [KMS]: "localhost:1" }, `hosts["${KMS}"]`],
    ["a place without port", { [KMS]: "127.0.0.1" }, `hosts["${KMS}"]`],
    ["metadata as the place", { [KMS]: "169.254.169.254:80" }, `hosts["${KMS}"]`],
    ["metadata in IPv6", { [KMS]: "[::ffff:169.254.169.254]:80" }, `hosts["${KMS}"]`],
    ["one name twice", { [KMS]: "127.0.0.1:1", [KMS.toUpperCase()]: "127.0.0.1:2" }, `hosts["${KMS}"]`],
    ["no target as the name", { kms: "127.0.0.1:1" }, "hosts"],
  ])("hosts: %s", (_, hosts, field) => {
    expect(refusal([KMS], hosts)).toBe(`ERR_CONFIG_FIELD_INVALID ${field}`);
  });

  test("hosts give an allowed target its place, and allow nothing by themselves", () => {
    const list = readAllowlist([KMS], { [`${KMS}`]: "127.0.0.1:4566", "other.test:443": "[::1]:1" });
    expect(list.find(parseTarget(KMS))?.fixed).toEqual({ address: "127.0.0.1", port: 4566 });
    expect(list.find(parseTarget("other.test:443"))).toBeUndefined();
  });
});

describe("the class of an address", () => {
  test.each<[string, string, string]>([
    ["R05: metadata, mapped", "::ffff:169.254.169.254", "never"],
    ["R05: metadata, mapped in hex", "::ffff:a9fe:a9fe", "never"],
    ["R05: metadata, NAT64", "64:ff9b::a9fe:a9fe", "never"],
    ["R05: metadata, local NAT64", "64:ff9b:1::a9fe:a9fe", "never"],
    ["R05: metadata, 6to4", "2002:a9fe:a9fe::", "never"],
    ["R05: Teredo", "2001:0:4136:e378:8000:63bf:3fff:fdd2", "never"],
    ["R05: metadata, compatible", "::169.254.169.254", "never"],
    ["R05: with a zone", "fe80::1%eth0", "never"],
    ["R05: a public one with a zone", "2600:1f18::1%eth0", "never"],
    ["R05: private, mapped", "::ffff:10.0.0.1", "private"],
    ["R05: private, NAT64", "64:ff9b::7f00:1", "private"],
    ["R05: private, 6to4", "2002:c0a8:101::1", "private"],
    ["R05: public, mapped", "::ffff:52.94.5.10", "public"],
    ["R05: public, NAT64", "64:ff9b::345e:50a", "public"],
    ["R06: metadata", "169.254.169.254", "never"],
    ["R06: container credentials", "169.254.170.2", "never"],
    ["R06: metadata, IPv6", "fd00:ec2::254", "never"],
    ["R06: loopback", "127.0.0.1", "private"],
    ["R06: loopback, end", "127.255.255.255", "private"],
    ["R06: this host", "0.0.0.0", "never"],
    ["R06: 0/8", "0.1.2.3", "never"],
    ["R06: 10/8", "10.1.3.79", "private"],
    ["R06: 100.64/10", "100.64.0.1", "private"],
    ["R06: 100.64/10, end", "100.127.255.255", "private"],
    ["beside 100.64/10", "100.128.0.0", "public"],
    ["R06: 172.16/12", "172.16.0.1", "private"],
    ["R06: 172.16/12, end", "172.31.255.255", "private"],
    ["beside 172.16/12", "172.32.0.0", "public"],
    ["beside 172.16/12, below", "172.15.255.255", "public"],
    ["R06: 192.168/16", "192.168.255.255", "private"],
    ["beside 192.168/16", "192.169.0.0", "public"],
    ["R06: loopback, IPv6", "::1", "private"],
    ["R06: unspecified", "::", "never"],
    ["R06: link-local", "fe80::1", "never"],
    ["R06: link-local, end", "febf::1", "never"],
    ["R06: site-local", "fec0::1", "never"],
    ["R06: multicast", "ff02::1", "never"],
    ["R06: multicast, IPv4", "224.0.0.1", "never"],
    ["R06: broadcast", "255.255.255.255", "never"],
    ["R06: unique local", "fd12:3456::1", "private"],
    ["R06: documentation", "2001:db8::1", "never"],
    ["an AWS address", "52.94.5.10", "public"],
    ["an AWS address, IPv6", "2600:1f18::1", "public"],
    ["outside of what is given out", "4000::1", "never"],
    ["no address", "example.test", "never"],
    ["nothing", "", "never"],
  ])("%s: %s is %s", (_, address, wanted) => {
    expect(classifyAddress(address)).toBe(wanted);
  });

  test("R05: an address has one class however IPv6 wraps it", () => {
    fc.assert(
      fc.property(fc.ipV4(), (v4) => {
        const [a = 0, b = 0, c = 0, d = 0] = v4.split(".").map(Number);
        const hex = `${((a << 8) | b).toString(16)}:${((c << 8) | d).toString(16)}`;
        for (const wrapped of [
          `::ffff:${v4}`,
          `::ffff:${hex}`,
          `64:ff9b::${v4}`,
          `64:ff9b::${hex}`,
          `2002:${hex}::7`,
        ]) {
          expect(classifyAddress(wrapped)).toBe(classifyAddress(v4));
        }
      }),
    );
  });
});
