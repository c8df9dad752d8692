import { Resolver } from "node:dns";
import { describe, expect, test } from "vitest";
import { isNameServer, mayListenAt } from "../../../parent/config/ip-addresses.ts";
import { formatAddress, parseAddress } from "../../../shared/transport/address.ts";
import { createTransport } from "../../../transport/create.ts";
import { EGRESS, RUN, verdict } from "./bed.ts";

describe("what the start would find out", () => {
  const door = (text: string): string => `${RUN}ingress: { listen: "tcp://127.0.0.1:8443", targets: [${text}] }\n`;
  const attached = (text: string, rest = ""): string =>
    `enclave: { platform: nitro, attach: "${text}" }\ningress: { listen: "tcp://127.0.0.1:8443"${rest} }\n`;
  const nul = (section: string): string => `${section.includes("enclave") ? "" : RUN}${section}\n`;

  test.each<[string, string, string]>([
    ["targets", door('"vsock://17:8080", "vsock://17:8081", "unix:///run/a"'), "taken"],
    ["a target twice", door('"vsock://17:8080", "vsock://17:8080"'), "INVALID ingress.targets[1] 4:73"],
    ["the enclave itself", door('"vsock://16:8080"'), "INVALID ingress.targets[0] 4:54"],
    ["its other port", door('"vsock://16:8081"'), "taken"],
    [
      "the attached enclave itself",
      attached("vsock://20", ', targets: ["vsock://20:8080"]'),
      "INVALID ingress.targets[0] 2:54",
    ],
    [
      "the attached enclave itself, by folder",
      attached("unix:///run/e", ', targets: ["unix:///run/e/8080"]'),
      "INVALID ingress.targets[0] 2:54",
    ],
    ["a target without a root", door('"unix://run/a"'), "INVALID ingress.targets[0] 4:54"],
    ["a door without a root", `${RUN}ingress: { listen: "unix://relative" }`, "INVALID ingress.listen 4:12"],
    ["a door by name", `${RUN}ingress: { listen: "tcp://a.test:1" }`, "INVALID ingress.listen 4:12"],
    ["a door for all", `${RUN}ingress: { listen: "tcp://0.0.0.0:1" }`, "taken"],
    ["a path of 107 bytes", `${RUN}ingress: { listen: "unix:///${"x".repeat(106)}" }`, "taken"],
    ["one of 108", `${RUN}ingress: { listen: "unix:///${"x".repeat(107)}" }`, "INVALID ingress.listen 4:12"],
    ["a folder that leaves no room", attached(`unix:///${"x".repeat(102)}`), "INVALID enclave.attach 1:29"],
    ["metrics for all", `${RUN}metrics: { listen: "tcp://0.0.0.0:9464" }`, "INVALID metrics.listen 4:12"],
    ["metrics by name", `${RUN}metrics: { listen: "tcp://localhost:9464" }`, "taken"],
    ["metrics at a socket", `${RUN}metrics: { listen: "unix:///run/metrics" }`, "taken"],
    ["a NUL in the image", nul('enclave: { platform: nitro, image: "a\\0b" }'), "INVALID enclave.image 1:29"],
    [
      "a NUL in the measurements",
      nul('enclave: { platform: nitro, image: a, measurements: "a\\0b" }'),
      "INVALID enclave.measurements 1:39",
    ],
    [
      "a NUL in the root",
      nul('enclave: { platform: mock, image: a, mockRoot: "a\\0b" }'),
      "INVALID enclave.mockRoot 1:38",
    ],
    [
      "a NUL in the folder",
      nul('enclave: { platform: nitro, attach: "unix:///a\\0b" }'),
      "INVALID enclave.attach 1:29",
    ],
    ["a NUL in the door", nul('ingress: { listen: "unix:///a\\0b" }'), "INVALID ingress.listen 4:12"],
    ["a NUL in a target", door('"unix:///a\\0b"'), "INVALID ingress.targets[0] 4:54"],
    ["a NUL in the metrics", nul('metrics: { listen: "unix:///a\\0b" }'), "INVALID metrics.listen 4:12"],
    ["a NUL in the log", nul('logs: { to: file, file: "a\\0b" }'), "INVALID logs.file 4:19"],
    ["a NUL in the credentials", nul('credentials: { source: file, file: "a\\0b" }'), "INVALID credentials.file 4:30"],
  ])("%s", (_, text, expected) => {
    expect(verdict(text)).toBe(expected);
  });

  const ROLE = "credentials: { source: instanceRole }\n";
  const HTTP = (port: number): string => `credentials: { source: instanceRole, http: { port: ${port} } }\n`;
  const LOGS = "logs: { to: stdout }\n";
  const connect = (port: number): string => `${EGRESS}  connect: ${port}\n`;

  test.each<[string, string, string]>([
    ["each at its own", `${connect(8001)}${HTTP(8005)}${LOGS}`, "taken"],
    ["the proxy where credentials are", `${connect(8002)}${ROLE}`, "INVALID egress.connect 7:3"],
    ["there, without them", connect(8002), "taken"],
    ["the proxy where the log is", `${connect(8003)}${LOGS}`, "INVALID egress.connect 7:3"],
    ["there, without it", `${connect(8003)}${ROLE}`, "taken"],
    [
      "a target where the log is",
      `${EGRESS}  ports: [{ port: 8003, target: kms.eu-central-1.amazonaws.com:443 }]\n${LOGS}`,
      "INVALID egress.ports[0].port 7:13",
    ],
    ["credentials over HTTP where they are", `${RUN}${HTTP(8002)}`, "INVALID credentials.http.port 4:46"],
    ["credentials over HTTP where the proxy is", `${EGRESS}${HTTP(8001)}`, "INVALID credentials.http.port 7:46"],
    ["there, without the proxy", `${RUN}${HTTP(8001)}`, "taken"],
    [
      "an enclave of the same folder where the proxy is",
      `enclave: { platform: mock, attach: "unix:///run/e", port: 8001 }\n${EGRESS.replace(RUN, "")}`,
      "INVALID egress.connect 2:1",
    ],
    [
      "an enclave with a context id of its own",
      `enclave: { platform: nitro, attach: "vsock://16", port: 8001 }\n${EGRESS.replace(RUN, "")}`,
      "taken",
    ],
  ])("ports of the parent: %s", (_, text, expected) => {
    expect(verdict(text)).toBe(expected);
  });

  test.each([
    ...["10.0.0.2", "10.0.0.2:53", "fd00::2", "[fd00::2]", "[fd00::2]:5353", "::ffff:10.0.0.2", "10.0.0.2:65535"],
    ...["foo", "", "10.0.0", "10.0.0.2:0", "10.0.0.2:65536", "10.0.0.2:", "[foo]", "[10.0.0.2]:53", "fd00::2:99999"],
  ])("node:dns takes a server that is taken: %s", (server) => {
    const isTaken = /^(10\.0\.0\.2|fd00::2|\[fd00::2\]|::ffff:10\.0\.0\.2)(:53|:5353|:65535)?$/.test(server);
    expect(isNameServer(server)).toBe(isTaken);
    if (isTaken) expect(() => new Resolver().setServers([server])).not.toThrow();
  });

  test.each([
    ["tcp://127.0.0.1:0", true, true],
    ["tcp://127.9.9.9:0", true, true],
    ["tcp://localhost:0", true, true],
    ["tcp://[::1]:0", true, true],
    ["tcp://0.0.0.0:0", true, false],
    ["tcp://[::]:0", true, false],
    ["tcp://[::ffff:127.0.0.1]:0", true, false],
    ["tcp://127.0.0.999:0", false, false],
    ["tcp://127.0.0.1.test:0", false, false],
    ["vsock://3:8080", false, false],
  ] as const)("%s: for the clients %s, for an operator's tools %s", async (url, anywhere, loopback) => {
    const address = parseAddress(url);
    expect([mayListenAt(address, "anywhere"), mayListenAt(address, "loopback")]).toEqual([anywhere, loopback]);
    if (address.kind !== "tcp") return;
    // What the transport refuses by its rule, before it asks the system for anything.
    const isRefused = await createTransport()
      .connect(address, { timeoutMs: 1 })
      .then(
        () => false,
        (error: { readonly code?: string }) => error.code === "ERR_TRANSPORT_ADDRESS_INVALID",
      );
    expect(isRefused, formatAddress(address)).toBe(!loopback);
  });
});
