import { execFile } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, writeFileSync } from "node:fs";
import type { IncomingMessage } from "node:http";
import { request } from "node:https";
import { join } from "node:path";
import { promisify } from "node:util";
import { NodeHttpHandler } from "@smithy/node-http-handler";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createEgressAgent } from "../../enclave/egress/agent.ts";
import { startEgress } from "../../parent/egress/egress.ts";
import type { ListeningService } from "../../parent/observability/observe.ts";
import { addressOf, type Peer } from "../../shared/transport/address.ts";
import { EGRESS_PORT } from "../../shared/transport/ports.ts";
import { createTransport } from "../../transport/create.ts";
import { pattern, scratchFolder } from "../transport/streams.ts";
import { bundle } from "./bundle.ts";
import { type EchoServer, startEchoServer } from "./echo-server.ts";
import { makeCa, type TestCa } from "./pki.ts";

const HOST = "kms.us-east-1.amazonaws.com";
const CANARY = "canary-7f3a91c2d4e5b6a7-plaintext";
const BEACON = "beacon-0c1d2e3f4a5b6c7d";
const folder = scratchFolder();
const parent: Peer = { kind: "unix", folder };
const transport = createTransport();

let ca: TestCa;
let wrongCa: TestCa;
let proxy: ListeningService;
let port = 0;
let connections = 0;
const servers: EchoServer[] = [];
const tapped: { direction: string; bytes: Buffer }[] = [];

async function server(host: string): Promise<number> {
  const started = await startEchoServer(await ca.issue(host), () => connections++);
  servers.push(started);
  return started.port;
}

beforeAll(async () => {
  [ca, wrongCa] = await Promise.all([makeCa("test root"), makeCa("another root")]);
  port = await server(HOST);
  const otherPort = await server("other.test");
  proxy = await startEgress({
    transport,
    address: addressOf(parent, EGRESS_PORT),
    allowlist: [`${HOST}:443`, "alias.test:443", "dead.test:443"],
    hosts: {
      [`${HOST}:443`]: `127.0.0.1:${port}`,
      // A name that the parent leads to a server with another name's certificate.
      "alias.test:443": `127.0.0.1:${otherPort}`,
      "dead.test:443": "127.0.0.1:1",
    },
    log: () => {},
    tap: (_, direction, bytes) => tapped.push({ direction, bytes: Buffer.from(bytes) }),
  });
});
afterAll(async () => {
  for (const { close } of servers) close();
  await proxy.close();
});

function seen(text: string): boolean {
  return ["from-enclave", "to-enclave"].some((direction) =>
    Buffer.concat(tapped.filter((chunk) => chunk.direction === direction).map(({ bytes }) => bytes)).includes(text),
  );
}

type Agent = ReturnType<typeof createEgressAgent>;

async function post(agent: Agent, host: string, body: string | Buffer, more: object = {}): Promise<string> {
  const outgoing = request({ host, port: 443, method: "POST", agent, ...more });
  outgoing.end(body);
  const [incoming] = (await once(outgoing, "response")) as [IncomingMessage];
  const chunks: Buffer[] = [];
  for await (const chunk of incoming) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString("latin1");
}

function failure(agent: Agent, host: string, more: object = {}): Promise<unknown> {
  return post(agent, host, "x", more).then(
    () => "accepted",
    (error: { code: string; details?: { reason?: string } }) => error.details?.reason ?? error.code,
  );
}

async function withAgent<Result>(tlsRoots: readonly string[], use: (agent: Agent) => Promise<Result>): Promise<Result> {
  const agent = createEgressAgent({ transport, parent, tlsRoots });
  try {
    return await use(agent);
  } finally {
    agent.destroy();
  }
}

describe("https from the enclave through the parent", () => {
  test("the answer comes, the parent sees ciphertext, and the same search finds what was sent in clear", async () => {
    await withAgent([ca.root], async (agent) => {
      expect(await post(agent, HOST, CANARY)).toBe(CANARY);
    });
    const clear = await transport.connect(addressOf(parent, EGRESS_PORT));
    clear.write(`CONNECT ${HOST}:443 HTTP/1.1\r\nHost: ${HOST}:443\r\nX-Beacon: ${BEACON}\r\n\r\n`);
    await once(clear, "data");
    clear.destroy();
    expect(seen(BEACON)).toBe(true);
    expect(seen(HOST)).toBe(true);
    expect(seen("Connection Established")).toBe(true);
    expect(seen(CANARY)).toBe(false);
  });

  test("connections are kept: five requests, one connection", async () => {
    await withAgent([ca.root], async (agent) => {
      const before = connections;
      for (let i = 0; i < 5; i++) expect(await post(agent, HOST, `request ${i}`)).toBe(`request ${i}`);
      expect(connections - before).toBe(1);
    });
  });

  test("a connection that the server closed while it was kept is not used again", async () => {
    await withAgent([ca.root], async (agent) => {
      const before = connections;
      expect(await post(agent, HOST, "first")).toBe("first");
      const [kept] = Object.values(agent.freeSockets).flatMap((sockets) => sockets ?? []);
      servers[0]?.dropIdle();
      if (kept && !kept.closed) await once(kept, "close");
      expect(await post(agent, HOST, "second")).toBe("second");
      expect(connections - before).toBe(2);
    });
  });

  test("8 MiB there and back", async () => {
    const bytes = pattern(8 * 1_048_576);
    await withAgent([ca.root], async (agent) => {
      expect(await post(agent, HOST, bytes)).toBe(bytes.toString("latin1"));
    });
  });

  test("the AWS SDK's request handler takes the agent", async () => {
    await withAgent([ca.root], async (httpsAgent) => {
      const handler = new NodeHttpHandler({ httpsAgent, connectionTimeout: 2_000 });
      const outgoing = {
        protocol: "https:",
        hostname: HOST,
        port: 443,
        method: "POST",
        path: "/",
        headers: {},
        query: {},
      };
      const { response } = await handler.handle({ ...outgoing, body: "sdk" } as never);
      expect(response.statusCode).toBe(200);
      const chunks: Buffer[] = [];
      for await (const chunk of response.body) chunks.push(chunk as Buffer);
      expect(Buffer.concat(chunks).toString()).toBe("sdk");
    });
  });

  test.each<[string, string, object, string]>([
    ["an unlisted host", "unlisted.test", {}, "ERR_TRANSPORT_HOST_NOT_ALLOWED"],
    ["a host that does not answer", "dead.test", {}, "ERR_TRANSPORT_PROXY_REFUSED"],
    ["the parent leads to another server", "alias.test", {}, "ERR_TLS_CERT_ALTNAME_INVALID"],
    [
      "another server, with a Host that fits it",
      "alias.test",
      { headers: { host: "other.test" } },
      "ERR_TLS_CERT_ALTNAME_INVALID",
    ],
    [
      "another server, with a servername that fits it",
      "alias.test",
      { servername: "other.test" },
      "ERR_TLS_CERT_ALTNAME_INVALID",
    ],
    [
      "a request that asks not to verify",
      "alias.test",
      { rejectUnauthorized: false, checkServerIdentity: () => undefined },
      "ERR_TLS_CERT_ALTNAME_INVALID",
    ],
  ])("%s is refused", async (_, host, more, wanted) => {
    expect(await withAgent([ca.root], (agent) => failure(agent, host, more))).toBe(wanted);
  });

  test.each<[string, object]>([
    ["as it is", {}],
    ["when the request asks not to verify", { rejectUnauthorized: false }],
    ["when the request brings the root", { ca: "the root" }],
  ])("another root is refused: %s", async (_, more) => {
    const options = "ca" in more ? { ca: ca.root } : more;
    const reason = await withAgent([wrongCa.root], (agent) => failure(agent, HOST, options));
    expect(reason).toBe("UNABLE_TO_VERIFY_LEAF_SIGNATURE");
  });

  test("a refusal of TLS is typed", async () => {
    const error = await withAgent([wrongCa.root], (agent) => post(agent, HOST, "x").catch((e: unknown) => e));
    expect(error).toMatchObject({ name: "TransportError", code: "ERR_TRANSPORT_TLS_REFUSED", kind: "not authentic" });
  });

  test("a connection under way ends when the agent is destroyed", async () => {
    const silent: Peer = { kind: "unix", folder: join(folder, "silent") };
    mkdirSync(silent.folder);
    let accepted: () => void = () => {};
    const reached = new Promise<void>((resolve) => {
      accepted = resolve;
    });
    await using listener = await transport.listen(addressOf(silent, EGRESS_PORT), () => accepted());
    expect(listener.address.kind).toBe("unix");
    const agent = createEgressAgent({ transport, parent: silent, tlsRoots: [ca.root] });
    const failed = failure(agent, HOST);
    await reached;
    agent.destroy();
    expect(await failed).toBe("ERR_TRANSPORT_CLOSED");
  });

  test("roots must be there, one a string, and readable", () => {
    const make = (tlsRoots: readonly string[]) => () => createEgressAgent({ transport, parent, tlsRoots });
    expect(make([])).toThrow(TypeError);
    expect(make([ca.root + wrongCa.root])).toThrow(TypeError);
    expect(make(["nonsense"])).toThrow(TypeError);
    expect(make([ca.root.replace(/[A-Z]{8}/, "AAAAAAAA")])).toThrow();
  });
});

describe("Node's own switches do not widen trust", () => {
  const module = join(folder, "agent.mjs");
  const script = join(folder, "attempt.mjs");
  const extra = join(folder, "extra.pem");

  beforeAll(async () => {
    await bundle(
      `export { createEgressAgent } from "./enclave/egress/agent.ts";
       export { createTransport } from "./transport/create.ts";`,
      module,
    );
    writeFileSync(extra, ca.root);
    writeFileSync(
      script,
      `import { request } from "node:https";
       import { createEgressAgent, createTransport } from ${JSON.stringify(module)};
       const [folder, tlsRoot, host, direct] = process.argv.slice(2);
       const parent = { kind: "unix", folder };
       const agent = createEgressAgent({ transport: createTransport(), parent, tlsRoots: [tlsRoot] });
       const options = direct ? { host: "127.0.0.1", port: direct, servername: host } : { host, port: 443, agent };
       const done = (text) => { console.log(text); process.exit(0); };
       request({ ...options, method: "POST" }, () => done("accepted"))
         .on("error", (error) => done(error.details?.reason ?? error.code)).end("x");`,
    );
  });

  async function attempt(tlsRoot: string, switches: Record<string, string>, direct = ""): Promise<string> {
    const env = { PATH: process.env["PATH"] ?? "", ...switches };
    const args = [script, folder, tlsRoot, HOST, direct];
    return (await promisify(execFile)(process.execPath, args, { env })).stdout.trim();
  }

  test.each<[string, Record<string, string>]>([
    ["NODE_TLS_REJECT_UNAUTHORIZED", { NODE_TLS_REJECT_UNAUTHORIZED: "0" }],
    ["NODE_EXTRA_CA_CERTS", { NODE_EXTRA_CA_CERTS: extra }],
    ["SSL_CERT_FILE", { SSL_CERT_FILE: extra, NODE_OPTIONS: "--use-openssl-ca" }],
  ])("A6: %s: Node by itself accepts, the agent with another root refuses", async (_, switches) => {
    expect(await attempt(wrongCa.root, {}, String(port))).not.toBe("accepted");
    expect(await attempt(wrongCa.root, switches, String(port))).toBe("accepted");
    expect(await attempt(wrongCa.root, switches)).toBe("UNABLE_TO_VERIFY_LEAF_SIGNATURE");
  });

  test("A6: with all of them and a proxy variable set, the right root is accepted through the parent", async () => {
    const switches = {
      NODE_TLS_REJECT_UNAUTHORIZED: "0",
      NODE_EXTRA_CA_CERTS: extra,
      SSL_CERT_FILE: extra,
      NODE_OPTIONS: "--use-openssl-ca",
      HTTPS_PROXY: "http://127.0.0.1:1",
    };
    expect(await attempt(ca.root, switches)).toBe("accepted");
    expect(await attempt(wrongCa.root, switches)).toBe("UNABLE_TO_VERIFY_LEAF_SIGNATURE");
  });
});
