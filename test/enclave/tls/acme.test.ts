/**
 * A certificate from an authority, by ACME: against Debian's pebble, through the parent's proxy, with the challenge answered by the
 * enclave's own TLS. What the client does with answers that are none is tried against a server of the test's own.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { createSocket } from "node:dgram";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { type AddressInfo, createServer } from "node:net";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { type TLSSocket, connect as tlsConnect } from "node:tls";
import { afterEach, describe, expect, test } from "vitest";
import { attestationOf, attestedFetch } from "../../../client/attested-fetch.ts";
import { createEgressAgent } from "../../../enclave/egress/agent.ts";
import { createFetch, type EgressFetch } from "../../../enclave/egress/fetch.ts";
import { type CertificateOptions, obtainCertificate } from "../../../enclave/tls/acme.ts";
import { createAttestedTls } from "../../../enclave/tls/attested-tls.ts";
import { proxy, transport } from "../../parent/fixture.ts";
import { makeCa } from "../../parent/pki.ts";
import { mockNsm, policy, type ServedEnclave, serveEnclave } from "./bed.ts";

const PEBBLE = onPath("pebble");
const RESOLVER = onPath("pebble-challtestsrv");
const NAME = "enclave.test";

function onPath(program: string): string | undefined {
  const folders = (process.env["PATH"] ?? "").split(delimiter);
  return folders.map((folder) => join(folder, program)).find((path) => existsSync(path));
}

const newAccount = async () => ({
  keys: await crypto.subtle.generateKey({ name: "ECDSA", namedCurve: "P-256" }, false, ["sign", "verify"]),
});

const closing: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close();
});

function run(program: string, args: readonly string[], env: Readonly<Record<string, string>> = {}): ChildProcess {
  const child = spawn(program, args, { env, stdio: ["ignore", "pipe", "pipe"] });
  closing.push(() => child.kill("SIGKILL"));
  return child;
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await new Promise((resolve) => server.once("listening", resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/** Whether something answers there yet. */
function answers(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = tlsConnect({ host: "127.0.0.1", port, rejectUnauthorized: false });
    socket.once("secureConnect", () => resolve(true)).once("error", () => resolve(false));
    socket.once("secureConnect", () => socket.destroy());
  });
}

/** A name server that says 127.0.0.1, and the authority, which checks challenges on `tlsPort`. */
async function startPebble(
  tlsPort: number,
): Promise<{ readonly directory: string; readonly port: number; readonly root: string }> {
  const folder = mkdtempSync(join(tmpdir(), "pebble-"));
  closing.push(() => rmSync(folder, { recursive: true }));
  const ca = await makeCa("pebble's own TLS");
  const { key, cert } = await ca.issue("localhost");
  const [port, management, dns, dnsManagement] = [
    await freePort(),
    await freePort(),
    await freePort(),
    await freePort(),
  ];
  const file = (name: string, text: string): string => {
    writeFileSync(join(folder, name), text);
    return join(folder, name);
  };
  const pebble = {
    listenAddress: `127.0.0.1:${port}`,
    managementListenAddress: `127.0.0.1:${management}`,
    certificate: file("cert.pem", cert),
    privateKey: file("key.pem", key),
    httpPort: 1,
    tlsPort,
    ocspResponderURL: "",
    externalAccountBindingRequired: false,
  };
  const config = file("config.json", JSON.stringify({ pebble }));
  const resolver = ["-dns01", `127.0.0.1:${dns}`, "-management", `127.0.0.1:${dnsManagement}`, "-defaultIPv6", ""];
  run(RESOLVER ?? "", [...resolver, "-http01", "", "-https01", "", "-tlsalpn01", ""]);
  run(PEBBLE ?? "", ["-config", config, "-dnsserver", `127.0.0.1:${dns}`], {
    PEBBLE_VA_NOSLEEP: "1",
    PEBBLE_WFE_NONCEREJECT: "20",
    PEBBLE_AUTHZREUSE: "0",
  });
  await expect.poll(() => answers(port), { timeout: 10_000, interval: 50 }).toBe(true);
  await expect.poll(() => resolves(dns), { timeout: 10_000, interval: 50 }).toBe(true);
  return { directory: `https://localhost:${port}/dir`, port, root: ca.root };
}

/** The enclave's own way out. */
async function fetchThroughParent({
  port,
  root,
}: {
  readonly port: number;
  readonly root: string;
}): Promise<EgressFetch> {
  const target = `localhost:${port}`;
  const hosts = { [target]: `127.0.0.1:${port}` };
  const { parent } = await proxy({ allowlist: [{ target, allowPrivate: true }], hosts });
  const agent = createEgressAgent({ transport, parent, tlsRoots: [root] });
  closing.push(() => agent.destroy());
  return createFetch({ agent });
}

/** Whether the name server answers yet. */
function resolves(port: number): Promise<boolean> {
  const question = Buffer.from("000101000001000000000000017804746573740000010001", "hex");
  return new Promise((resolve) => {
    const socket = createSocket("udp4");
    const done = (value: boolean): void => {
      clearTimeout(timer);
      socket.close();
      resolve(value);
    };
    const timer = setTimeout(() => done(false), 100);
    socket.once("message", () => done(true)).once("error", () => done(false));
    socket.send(question, port, "127.0.0.1");
  });
}

const patient = { sleep: (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, Math.min(ms, 50))) };

describe.skipIf(!PEBBLE || !RESOLVER)("pebble (needs Debian's package pebble)", () => {
  test("gives the enclave a certificate over its own key, through the parent's proxy", async () => {
    const enclave: ServedEnclave = await serveEnclave();
    closing.push(() => enclave.close());
    const pebble = await startPebble(enclave.port);
    const fetch = await fetchThroughParent(pebble);
    const signal = AbortSignal.timeout(30_000);
    const account = await newAccount();
    const asking: CertificateOptions = {
      ...{ tls: enclave.tls, directory: pebble.directory, names: [NAME], account, fetch },
      ...{ now: () => new Date(), signal, ...patient },
    };
    const shown = await obtainCertificate(asking);
    expect(shown.accountUrl).toMatch(/^https:\/\/localhost:\d+\/my-account\//);
    expect(shown.notAfter.getTime()).toBeGreaterThan(Date.now());

    const socket = await secureConnect(enclave.port);
    const certificate = socket.getPeerX509Certificate();
    expect(certificate?.checkHost(NAME)).toBe(NAME);
    expect(certificate?.issuer).toMatch(/Pebble Intermediate/);
    expect(certificate?.publicKey.export({ type: "spki", format: "der" })).toEqual(
      Buffer.from(enclave.tls.identity.spki),
    );
    socket.destroy();

    const response = await attestedFetch(enclave.url, { policy: { ...policy } });
    expect([response.status, attestationOf(response)?.debug]).toEqual([200, false]);
    // The same account again, as a renewal has it.
    expect((await obtainCertificate(asking)).accountUrl).toBe(shown.accountUrl);
  }, 60_000);

  test("refuses a name whose challenge somebody else answers", async () => {
    const enclave = await serveEnclave();
    closing.push(() => enclave.close());
    const pebble = await startPebble(enclave.port);
    const fetch = await fetchThroughParent(pebble);
    const other = await createAttestedTls({ nsm: await mockNsm(), now: () => new Date() });
    const asking: CertificateOptions = {
      ...{ tls: other, directory: pebble.directory, names: [NAME], account: await newAccount() },
      ...{ fetch, now: () => new Date(), signal: AbortSignal.timeout(30_000), ...patient },
    };
    await expect(obtainCertificate(asking)).rejects.toMatchObject({
      code: "ERR_SESSION_CERTIFICATE",
      details: { step: "authorization", reason: "invalid" },
    });
  }, 60_000);
});

function secureConnect(port: number, options: { readonly ALPNProtocols?: string[] } = {}): Promise<TLSSocket> {
  return new Promise((resolve, reject) => {
    const connecting = { host: "127.0.0.1", port, servername: NAME, rejectUnauthorized: false, ...options };
    const socket = tlsConnect(connecting);
    closing.push(() => socket.destroy());
    socket.once("secureConnect", () => resolve(socket)).once("error", reject);
  });
}

describe("a challenge", () => {
  test("is answered to whoever offers its protocol, and to nobody else; the connection then ends", async () => {
    const enclave = await serveEnclave();
    closing.push(() => enclave.close());
    const { identity } = enclave.tls;
    const done = enclave.tls.answerChallenge(identity.certificatePem);
    const challenged = await secureConnect(enclave.port, { ALPNProtocols: ["acme-tls/1"] });
    expect(challenged.alpnProtocol).toBe("acme-tls/1");
    await new Promise((resolve) => challenged.resume().once("end", resolve));
    expect((await attestedFetch(enclave.url, { policy: { ...policy } })).status).toBe(200);
    done();
    await expect(secureConnect(enclave.port, { ALPNProtocols: ["acme-tls/1"] })).rejects.toMatchObject({
      code: "ERR_SSL_TLSV1_ALERT_NO_APPLICATION_PROTOCOL",
    });
  });
});

describe("an authority that is none", () => {
  const URLS = { newNonce: "https://a.test/n", newAccount: "https://a.test/a", newOrder: "https://a.test/o" };
  type Route = (path: string) => Response | undefined;
  const json = (value: unknown, init: ResponseInit = {}): Response =>
    new Response(JSON.stringify(value), {
      ...init,
      headers: { "content-type": "application/json", "replay-nonce": "n", ...init.headers },
    });

  async function reasonOf(route: Route): Promise<unknown> {
    let calls = 0;
    const fetch = async (url: string): Promise<Response> => {
      calls++;
      const { pathname } = new URL(url);
      const made = { location: "https://a.test/acct/1" };
      return (
        route(pathname) ??
        (pathname === "/dir" ? json(URLS) : pathname === "/a" ? json({}, { headers: made }) : json({}, { status: 500 }))
      );
    };
    const tls = await createAttestedTls({ nsm: await mockNsm(), now: () => new Date() });
    const account = await newAccount();
    const options = { tls, directory: "https://a.test/dir", names: [NAME], account, fetch } as const;
    const waiting = { now: () => new Date(), signal: new AbortController().signal, sleep: async () => {} };
    const error: unknown = await obtainCertificate({ ...options, ...waiting }).catch((refusal: unknown) => refusal);
    expect(calls).toBeLessThan(200);
    return error instanceof Error && "details" in error ? error.details : error;
  }

  const order = (fields: object) => json(fields, { headers: { location: "https://a.test/order" } });
  test.each<[string, Route, { step: string; reason: string }]>([
    [
      "a page",
      (path) => (path === "/dir" ? new Response("<html>") : undefined),
      { step: "directory", reason: "not JSON" },
    ],
    [
      "plain http",
      (path) => (path === "/dir" ? json({ newNonce: "http://a.test/n" }) : undefined),
      { step: "directory", reason: "no https URL" },
    ],
    ["no nonce", (path) => (path === "/n" ? new Response() : undefined), { step: "nonce", reason: "HTTP 200" }],
    [
      "bad nonces for ever",
      (path) => (path === "/a" ? json({ type: "urn:ietf:params:acme:error:badNonce" }, { status: 400 }) : undefined),
      { step: "account", reason: "urn:ietf:params:acme:error:badNonce" },
    ],
    [
      "a problem",
      (path) => (path === "/o" ? json({ type: "urn:ietf:params:acme:error:caa" }, { status: 403 }) : undefined),
      { step: "order", reason: "urn:ietf:params:acme:error:caa" },
    ],
    [
      "a problem that is a text",
      (path) => (path === "/o" ? json({ type: "\u001b[31m" }, { status: 403 }) : undefined),
      { step: "order", reason: "HTTP 403" },
    ],
    [
      "an order without a place",
      (path) => (path === "/o" ? json({ authorizations: [] }) : undefined),
      { step: "order", reason: "no https URL" },
    ],
    [
      "an order without challenges",
      (path) => (path === "/o" ? order({}) : undefined),
      { step: "order", reason: "no authorizations" },
    ],
    [
      "no challenge of this kind",
      (path) =>
        path === "/o"
          ? order({ authorizations: ["https://a.test/z"] })
          : path === "/z"
            ? json({ challenges: [{ type: "http-01" }] })
            : undefined,
      { step: "authorization", reason: "no tls-alpn-01" },
    ],
    [
      "an answer that never comes",
      (path) =>
        path === "/o"
          ? order({ authorizations: [], finalize: "https://a.test/f" })
          : ["/f", "/order"].includes(path)
            ? json({ status: "processing" })
            : undefined,
      { step: "order", reason: "not settled after 60 questions" },
    ],
  ])("%s", async (_, route, details) => {
    const nonce = (path: string): Response | undefined =>
      route(path) ?? (path === "/n" ? new Response(null, { headers: { "replay-nonce": "n" } }) : undefined);
    expect(await reasonOf(nonce)).toEqual(details);
  });
});
