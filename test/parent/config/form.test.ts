import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { parseParentConfig } from "../../../parent/config/read.ts";
import { PARENT_SCHEMA } from "../../../parent/config/schema.ts";
import { EGRESS, RUN, verdict } from "./bed.ts";

const published = new URL("../../../schemas/parent.json", import.meta.url);

describe("the form of parent.yaml", () => {
  test("the published schema is the one that files are checked by", () => {
    const json = `${JSON.stringify(PARENT_SCHEMA, null, 2)}\n`;
    if (process.env["UPDATE"]) writeFileSync(published, json);
    expect(existsSync(published)).toBe(true);
    expect(JSON.parse(readFileSync(published, "utf8"))).toEqual(JSON.parse(json));
  });

  test("the defaults that the schema tells are those that the reader fills in", () => {
    const everything = `${EGRESS}ingress: { listen: "tcp://127.0.0.1:8443" }\nlogs: { to: file, file: app.log }\n`;
    const read = parseParentConfig(everything, "/etc/cloister/parent.yaml");
    const defaults = (section: string): object => {
      const properties = PARENT_SCHEMA.properties?.[section]?.properties ?? {};
      const told = Object.entries(properties).flatMap(([name, { default: value }]) =>
        value === undefined ? [] : [[name, value]],
      );
      return Object.fromEntries(told);
    };
    expect(Object.keys(defaults("enclave")).length + Object.keys(defaults("egress")).length).toBe(8);
    expect(read).toMatchObject({
      enclave: { ...defaults("enclave"), image: "/etc/cloister/app.eif" },
      egress: defaults("egress"),
      ingress: defaults("ingress"),
      logs: { ...defaults("logs"), file: "/etc/cloister/app.log" },
      limits: defaults("limits"),
    });
    expect(read.credentials).toBeUndefined();
    expect(read.metrics).toBeUndefined();
  });

  test.each<[string, string, string]>([
    ["nothing", "", "INVALID the file 1:1"],
    ["the smallest", RUN, "taken"],
    ["a list", "- enclave", "INVALID the file 1:1"],
    ["no enclave", "limits: {}\n", "MISSING enclave 1:1"],
    ["an unknown section", `${RUN}egres: {}\n`, "UNKNOWN egres 4:1"],
    ["an unknown field", "enclave:\n  platform: nitro\n  imag: a\n", "UNKNOWN enclave.imag 3:3"],
    ["another platform", "enclave: { platform: sgx, image: a }", "INVALID enclave.platform 1:12"],
    ["no image", "enclave: { platform: nitro }", "INVALID enclave.image 1:1"],
    ["image and attach", `${RUN}  attach: vsock://16\n`, "INVALID enclave.image 3:3"],
    ["attach", "enclave: { platform: nitro, attach: vsock://16 }", "taken"],
    ["attach to the parent itself", "enclave: { platform: nitro, attach: vsock://3 }", "INVALID enclave.attach 1:29"],
    [
      "attach, and how to run it",
      "enclave: { platform: nitro, attach: vsock://16, cpus: 2 }",
      "INVALID enclave.cpus 1:49",
    ],
    ["a context id that is reserved", `${RUN}  cid: 3\n`, "INVALID enclave.cid 4:3"],
    ["the lowest context id", `${RUN}  cid: 4\n`, "taken"],
    ["the highest context id", `${RUN}  cid: 4294967294\n`, "taken"],
    ["the one above", `${RUN}  cid: 4294967295\n`, "INVALID enclave.cid 4:3"],
    [
      "an enclave at an address of another kind",
      "enclave: { platform: nitro, attach: tcp://x }",
      "INVALID enclave.attach 1:29",
    ],
    ["memory by unit", `${RUN}  memoryMiB: 512MiB\n`, "INVALID enclave.memoryMiB 4:3"],
    ["a number with a fraction", `${RUN}  cpus: 1.5\n`, "INVALID enclave.cpus 4:3"],
    ["an address of nowhere", `${RUN}ingress: { listen: "udp://x" }`, "INVALID ingress.listen 4:12"],
    ["an address of half a form", `${RUN}ingress: { listen: "tcp://x" }`, "INVALID ingress.listen 4:12"],
    ["a file without its path", `${RUN}logs: { to: file }`, "MISSING logs.file 4:1"],
    ["stdout with a path", `${RUN}logs: { to: stdout, file: x }`, "INVALID logs.file 4:21"],
    ["a log group without a stream", `${RUN}logs: { to: cloudwatch, group: g }`, "MISSING logs.stream 4:1"],
    ["a role from a file", `${RUN}credentials: { source: file, file: x, role: y }`, "INVALID credentials.role 4:39"],
    ["a file without its path", `${RUN}credentials: { source: file }`, "MISSING credentials.file 4:1"],
    ["the instance's role", `${RUN}credentials: { source: instanceRole }`, "taken"],
    [
      "a file of the instance's role",
      `${RUN}credentials: { source: instanceRole, file: x }`,
      "INVALID credentials.file 4:38",
    ],
  ])("%s", (_, text, expected) => {
    expect(verdict(text)).toBe(expected);
  });
});

describe("the way out", () => {
  const entry = (text: string): string => `${RUN}egress:\n  allowlist:\n    - ${text}\n`;
  const more = (text: string): string => `${EGRESS}  ${text}\n`;

  test.each<[string, string, string]>([
    ["R14: an empty allowlist", `${RUN}egress:\n  allowlist: []\n`, "INVALID egress.allowlist 5:3"],
    ["R14: no allowlist", `${RUN}egress: {}\n`, "MISSING egress.allowlist 4:1"],
    ["R13: a wildcard", entry('"*.amazonaws.com:443"'), "INVALID egress.allowlist[0] 6:7"],
    ["R12: a name with user", entry("a@b.test:443"), "INVALID egress.allowlist[0] 6:7"],
    ["R11: a port with a leading zero", entry("b.test:0443"), "INVALID egress.allowlist[0] 6:7"],
    ["R06: instance metadata", entry("169.254.169.254:80"), "INVALID egress.allowlist[0] 6:7"],
    ["a private place, said so", entry("{ target: b.test:443, allowPrivate: true }"), "taken"],
    [
      "allowPrivate as text",
      entry('{ target: b.test:443, allowPrivate: "yes" }'),
      "INVALID egress.allowlist[0].allowPrivate 6:29",
    ],
    ["without allowPrivate", entry("{ target: b.test:443 }"), "MISSING egress.allowlist[0].allowPrivate 6:7"],
    ["an entry twice", `${EGRESS}    - KMS.eu-central-1.amazonaws.com.:443\n`, "INVALID egress.allowlist[1] 7:7"],
    ["R14: a port as text", more('connect: "8001"'), "INVALID egress.connect 7:3"],
    ["a port of its own", more("ports: [{ port: 8000, target: kms.eu-central-1.amazonaws.com:443 }]"), "taken"],
    [
      "a door that leads nowhere",
      more("ports: [{ port: 8000, target: b.test:443 }]"),
      "INVALID egress.ports[0].target 7:25",
    ],
    [
      "a door twice",
      more("ports: [{ port: 8001, target: kms.eu-central-1.amazonaws.com:443 }]"),
      "INVALID egress.ports[0].port 7:13",
    ],
    ["no door", more("connect: off"), "INVALID egress.connect 7:3"],
    ["fixed places", more("hosts: { kms.eu-central-1.amazonaws.com:443: 127.0.0.1:4566 }"), "taken"],
    [
      "a fixed place of instance metadata",
      more('hosts: { "b.test:443": "169.254.169.254:80" }'),
      'INVALID egress.hosts["b.test:443"] 7:3',
    ],
    ["a limit of nothing", more("limits: { maxConnections: 0 }"), "INVALID egress.limits.maxConnections 7:13"],
    ["DNS servers", more('resolver: { servers: [10.0.0.2, "[fd00::2]:5353"] }'), "taken"],
    ["a DNS server by name", more("resolver: { servers: [10.0.0.2, foo] }"), "INVALID egress.resolver.servers[1] 7:35"],
    [
      "nine DNS servers",
      more("resolver: { servers: [a, b, c, d, e, f, g, h, i] }"),
      "INVALID egress.resolver.servers 7:15",
    ],
    ["another resolver", more("resolver: google"), "INVALID egress.resolver 7:3"],
  ])("%s", (_, text, expected) => {
    expect(verdict(text)).toBe(expected);
  });

  test("R14: ten thousand entries are taken, and one more is not", () => {
    const list = (count: number): string =>
      `${RUN}egress:\n  allowlist:\n${Array.from({ length: count }, (_, i) => `    - host-${i}.test:443\n`).join("")}`;
    expect(verdict(list(10_000))).toBe("taken");
    expect(verdict(list(10_001))).toBe("INVALID egress.allowlist 5:3");
  });
});
