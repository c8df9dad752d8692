import { describe, expect, test } from "vitest";
import { readAllowlist } from "../../../parent/egress/allowlist.ts";
import { readVsockProxyAllowlist } from "../../../parent/egress/vsock-proxy-allowlist.ts";
import { parseTarget } from "../../../shared/transport/target.ts";

const FILE = `# comment
allowlist:
- {address: kms.eu-central-1.amazonaws.com, port: 443}
- {address: KMS.us-east-1.amazonaws.com, port: 443}
- address: 93.184.216.34
  port: 8443
`;

describe("the allowlist file of vsock-proxy", () => {
  test("is read as it is, and its targets are allowed", () => {
    const entries = readVsockProxyAllowlist(FILE);
    expect(entries).toEqual([
      { target: "kms.eu-central-1.amazonaws.com:443", allowPrivate: false },
      { target: "kms.us-east-1.amazonaws.com:443", allowPrivate: false },
      { target: "93.184.216.34:8443", allowPrivate: false },
    ]);
    const list = readAllowlist(entries);
    expect(list.find(parseTarget("kms.us-east-1.amazonaws.com:443"))).toBeDefined();
    expect(list.find(parseTarget("kms.us-east-1.amazonaws.com:80"))).toBeUndefined();
  });

  test("names may lead to private networks where the caller says so", () => {
    expect(readVsockProxyAllowlist("allowlist: [{address: a.test, port: 1}]", { allowPrivate: true })).toEqual([
      { target: "a.test:1", allowPrivate: true },
    ]);
  });

  test("an entry twice is one; an empty list forwards nothing", () => {
    const twice = "allowlist:\n- {address: a.test, port: 1}\n- {port: 1, address: A.test.}\n";
    expect(readVsockProxyAllowlist(twice).length).toBe(1);
    expect(readVsockProxyAllowlist("allowlist: []")).toEqual([]);
  });

  const one = (entry: string): string => `allowlist:\n- {address: a.test, port: 1}\n- ${entry}\n`;
  test.each<[string, string, string, string]>([
    ["R14: nothing", "", "ERR_CONFIG_FIELD_INVALID", "p:1:1"],
    ["R14: another file", "vsock: 1\n", "ERR_CONFIG_FIELD_UNKNOWN", "p:1:1"],
    ["R14: a mapping", "allowlist: {a: 1}\n", "ERR_CONFIG_FIELD_INVALID", "p:1:1"],
    ["R14: no list", "{}\n", "ERR_CONFIG_FIELD_MISSING", "p:1:1"],
    ["R14: a port as text", one('{address: b.test, port: "443"}'), "ERR_CONFIG_FIELD_INVALID", "p:3:21"],
    ["R14: a port in octal", one("{address: b.test, port: 0443}"), "ERR_CONFIG_SYNTAX", "p:3:27"],
    ["R14: a port too large", one("{address: b.test, port: 65536}"), "ERR_CONFIG_FIELD_INVALID", "p:3:3"],
    ["R14: a fraction", one("{address: b.test, port: 443.5}"), "ERR_CONFIG_FIELD_INVALID", "p:3:3"],
    ["R14: an address that is a number", one("{address: 10, port: 443}"), "ERR_CONFIG_FIELD_INVALID", "p:3:4"],
    ["R14: no port", one("{address: b.test}"), "ERR_CONFIG_FIELD_MISSING", "p:3:3"],
    ["R14: a typing error", one("{adress: b.test, port: 1}"), "ERR_CONFIG_FIELD_UNKNOWN", "p:3:4"],
    ["R14: an entry as text", one("b.test:443"), "ERR_CONFIG_FIELD_INVALID", "p:3:3"],
    ["R14: a key twice", one("{address: b.test, port: 1, port: 2}"), "ERR_CONFIG_SYNTAX", "p:3:30"],
    ["R14: an alias", "allowlist: [&a {address: a.test, port: 1}, *a]\n", "ERR_CONFIG_SYNTAX", "p:1:16"],
    ["R13: a wildcard", one('{address: "*.amazonaws.com", port: 443}'), "ERR_CONFIG_FIELD_INVALID", "p:3:3"],
    ["R03: an IPv6 address", one('{address: "::1", port: 443}'), "ERR_CONFIG_FIELD_INVALID", "p:3:3"],
  ])("%s", (_, text, code, place) => {
    let refusal: { code?: string; details?: { at?: string; path?: string; line?: number; column?: number } } = {};
    try {
      readVsockProxyAllowlist(text, { path: "p" });
    } catch (error) {
      refusal = error as typeof refusal;
    }
    const { at, path, line, column } = refusal.details ?? {};
    expect([refusal.code, at ?? `${path}:${line}:${column}`]).toEqual([code, place]);
  });
});
