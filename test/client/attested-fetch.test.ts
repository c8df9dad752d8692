/**
 * `attestedFetch` before enclaves and before what a parent could put in their place. Whatever is refused is refused before
 * one byte of the request has left: each server here keeps what it was told after the handshake.
 */
import { get } from "node:https";
import { type TLSSocket, connect as tlsConnect } from "node:tls";
import { afterEach, beforeAll, describe, expect, test, vi } from "vitest";
import { type AttestedAgent, createAttestedAgent } from "../../client/attested-agent.ts";
import { attestationOf, attestedFetch } from "../../client/attested-fetch.ts";
import { createTlsIdentity } from "../../enclave/tls/identity.ts";
import { encodeUserData } from "../../shared/attestation/index.ts";
import { EXPORTER_BYTES, EXPORTER_LABEL, tlsDigest } from "../../shared/session/attested-tls.ts";
import { readNonce } from "../../shared/session/nonce.ts";
import {
  IMAGE,
  type Listening,
  mockNsm,
  OTHER_IMAGE,
  policy,
  type ServedEnclave,
  serveEnclave,
  serveTls,
} from "../enclave/tls/bed.ts";
import { makeCa } from "../parent/pki.ts";

/** All that a server may have heard of a request that was refused. */
const ONLY_THE_CHALLENGE =
  /^GET \/\.well-known\/attestation\?nonce=[A-Za-z0-9_-]{43} HTTP\/1\.1\r\nHost: enclave\r\nAccept: application\/cose\r\n\r\n$/;
const SECRET = "canary-of-the-request";

const open: { close(): Promise<void> }[] = [];
const agents: AttestedAgent[] = [];
afterEach(async () => {
  for (const agent of agents.splice(0)) agent.destroy();
  for (const each of open.splice(0)) await each.close();
});

function keep<T extends { close(): Promise<void> }>(listening: T): T {
  open.push(listening);
  return listening;
}

function agentOf(...[demanded, options]: Parameters<typeof createAttestedAgent>): AttestedAgent {
  const agent = createAttestedAgent(demanded, options);
  agents.push(agent);
  return agent;
}

async function codeOf(attempt: Promise<unknown>): Promise<string> {
  return attempt.then(
    () => "answered",
    (error: unknown) => (error as { code?: string }).code ?? String(error),
  );
}

/** Sends a request that must be refused, with the secret in each of its parts. */
function refused(server: Listening, agent = agentOf(policy)): Promise<string> {
  const headers = { "x-secret": SECRET };
  return codeOf(attestedFetch(`${server.url}/${SECRET}`, { agent, method: "POST", headers, body: SECRET }));
}

describe("an enclave of the policy's image", () => {
  test("answers, and says who it is", async () => {
    const enclave = keep(await serveEnclave());
    const response = await attestedFetch(`${enclave.url}/a?b`, { agent: agentOf(policy), method: "POST", body: "hi" });
    expect([response.status, await response.text()]).toEqual([200, "POST /a hi"]);
    expect(attestationOf(response)?.pcrs.get(0)).toEqual(IMAGE[0]);
    expect(attestationOf(new Response())).toBeUndefined();
  });

  test("is asked for one document a connection, which later requests use again", async () => {
    const enclave = keep(await serveEnclave());
    const attest = vi.spyOn(enclave.nsm, "attest");
    const agent = agentOf(policy);
    for (const path of ["/1", "/2", "/3"]) await (await attestedFetch(enclave.url + path, { agent })).text();
    expect(attest).toHaveBeenCalledTimes(1);
    expect(enclave.said).toHaveLength(1);
    expect(enclave.said[0]?.match(/^GET \S+/gm)?.map((line) => line.replace(/=.*/, ""))).toEqual([
      "GET /.well-known/attestation?nonce",
      "GET /1",
      "GET /2",
      "GET /3",
    ]);
  });

  test("is asked again on every further connection, under another challenge", async () => {
    const enclave = keep(await serveEnclave());
    const agent = agentOf(policy);
    await Promise.all(["/1", "/2"].map(async (path) => (await attestedFetch(enclave.url + path, { agent })).text()));
    const nonces = enclave.said.map((text) => /nonce=(\S+)/.exec(text)?.[1]);
    expect(new Set(nonces).size).toBe(2);
  });

  test("keeps connections for a policy object, without an agent", async () => {
    const enclave = keep(await serveEnclave());
    const own = { ...policy };
    for (const path of ["/1", "/2"]) await (await attestedFetch(enclave.url + path, { policy: own })).text();
    expect(enclave.said).toHaveLength(1);
  });

  test("works under https.get, whose TLS options change nothing", async () => {
    const enclave = keep(await serveEnclave());
    const agent = agentOf(policy);
    const options = { agent, rejectUnauthorized: true, ca: [] };
    const status = await new Promise((resolve, reject) => {
      get(enclave.url, options, (incoming) => resolve(incoming.resume().statusCode)).on("error", reject);
    });
    expect(status).toBe(200);
  });

  test("carries streams, redirects and answers without a body as they are", async () => {
    const app = async (request: Request): Promise<Response> => {
      if (request.url.endsWith("/none")) return new Response(null, { status: 204 });
      if (request.url.endsWith("/moved")) return new Response(null, { status: 302, headers: { location: "/x" } });
      return new Response(await request.text(), { headers: { "x-type": request.headers.get("content-type") ?? "-" } });
    };
    const enclave = keep(await serveEnclave({ app }));
    const agent = agentOf(policy);
    const body = new Blob(["ab", "cd"]).stream() as never;
    expect(await (await attestedFetch(enclave.url, { agent, method: "POST", body })).text()).toBe("abcd");
    const form = new URLSearchParams({ a: "b" });
    expect(await (await attestedFetch(enclave.url, { agent, method: "POST", body: form })).text()).toBe("a=b");
    expect((await attestedFetch(`${enclave.url}/none`, { agent })).body).toBeNull();
    expect((await attestedFetch(`${enclave.url}/moved`, { agent })).headers.get("location")).toBe("/x");
  });

  test("is not used beyond the age of its connection, idle or busy", async () => {
    const enclave = keep(await serveEnclave());
    const agent = agentOf(policy, { sessionMaxAgeMs: 1_000 });
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    try {
      await (await attestedFetch(enclave.url, { agent })).text();
      vi.advanceTimersByTime(999);
      await (await attestedFetch(enclave.url, { agent })).text();
      expect(enclave.said).toHaveLength(1);
      vi.advanceTimersByTime(1);
      await (await attestedFetch(enclave.url, { agent })).text();
      expect(enclave.said).toHaveLength(2);
      const busy = await attestedFetch(enclave.url, { agent });
      vi.advanceTimersByTime(1_000);
      await busy.text();
      await (await attestedFetch(enclave.url, { agent })).text();
      expect(enclave.said).toHaveLength(3);
    } finally {
      vi.useRealTimers();
    }
  });

  test("resumes no TLS session", async () => {
    const enclave = keep(await serveEnclave());
    const sessions: Buffer[] = [];
    const connect = (session?: Buffer): Promise<TLSSocket> =>
      new Promise((resolve, reject) => {
        const options = {
          port: enclave.port,
          host: "127.0.0.1",
          rejectUnauthorized: false,
          ...(session && { session }),
        };
        const socket = tlsConnect(options)
          .on("error", reject)
          .on("session", (ticket) => sessions.push(ticket));
        socket.once("data", () => resolve(socket)).write("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
      });
    (await connect()).destroy();
    const again = await connect(sessions.at(-1));
    expect(again.isSessionReused()).toBe(false);
    again.destroy();
  });
});

describe("refused before one byte of the request", () => {
  let enclave: ServedEnclave;
  let parent: { readonly key: string; readonly cert: string };
  beforeAll(async () => {
    parent = await (await makeCa("a public authority")).issue("127.0.0.1");
  });

  async function check(server: Listening, code: string, agent?: AttestedAgent): Promise<void> {
    expect(await refused(server, agent)).toBe(code);
    expect(server.said).toHaveLength(1);
    expect(server.said[0]).toMatch(ONLY_THE_CHALLENGE);
    expect(server.said.join()).not.toContain(SECRET);
  }

  /** Ends TLS with its own certificate and passes everything on to the enclave, and back. */
  async function relay(credentials = parent): Promise<Listening> {
    enclave = keep(await serveEnclave());
    const { port } = enclave;
    return keep(
      await serveTls(credentials, (socket) => {
        const upstream = tlsConnect({ host: "127.0.0.1", port, rejectUnauthorized: false });
        upstream.on("error", () => undefined);
        socket.pipe(upstream).pipe(socket);
      }),
    );
  }

  /** Answers the challenge with what `make` gives for it. */
  async function answering(
    make: (nonce: Uint8Array, socket: TLSSocket) => Promise<Uint8Array>,
    credentials = parent,
  ): Promise<Listening> {
    return keep(
      await serveTls(credentials, (socket) => {
        socket.once("data", async (head: Buffer) => {
          const nonce = readNonce(/nonce=(\S+)/.exec(head.toString())?.[1] ?? "") ?? new Uint8Array(32);
          const document = await make(nonce, socket);
          const fields = `Content-Type: application/cose\r\nContent-Length: ${document.length}`;
          socket.write(Buffer.concat([Buffer.from(`HTTP/1.1 200 OK\r\n${fields}\r\n\r\n`), document]));
        });
      }),
    );
  }

  test("a relay that ends TLS and forwards the enclave's answer (N09: its key is not the attested one)", async () => {
    await check(await relay(), "ERR_SESSION_RELAYED");
    expect(enclave.said[0]).toMatch(ONLY_THE_CHALLENGE);
  });

  test("a relay that has the enclave's very key: its connection has another exporter", async () => {
    enclave = keep(await serveEnclave());
    const { keyPem: key, certificatePem: cert } = enclave.tls.identity;
    const { port } = enclave;
    const server = keep(
      await serveTls({ key, cert }, (socket) => {
        const upstream = tlsConnect({ host: "127.0.0.1", port, rejectUnauthorized: false });
        upstream.on("error", () => undefined);
        socket.pipe(upstream).pipe(socket);
      }),
    );
    await check(server, "ERR_SESSION_RELAYED");
  });

  test("P04: an enclave in debug mode", async () => {
    await check(keep(await serveEnclave({ debug: true })), "ERR_ATTESTATION_DEBUG_MODE");
  });

  test("P11: an enclave of another image", async () => {
    await check(keep(await serveEnclave({ image: OTHER_IMAGE })), "ERR_ATTESTATION_PCR_MISMATCH");
  });

  test("P15: an image that is allowed and revoked", async () => {
    const agent = agentOf({ ...policy, revokedImages: [{ 0: IMAGE[0] }] });
    await check(keep(await serveEnclave()), "ERR_ATTESTATION_IMAGE_REVOKED", agent);
  });

  test("N03: a document that was recorded earlier, with the key it names", async () => {
    const identity = await createTlsIdentity(new Date());
    const nsm = await mockNsm();
    let recorded: Uint8Array | undefined;
    const make = async (nonce: Uint8Array, socket: TLSSocket): Promise<Uint8Array> => {
      recorded ??= await nsm.attest({ nonce, ...(await bound("tls", nonce, socket)) });
      return recorded;
    };
    const credentials = { key: identity.keyPem, cert: identity.certificatePem };
    const first = await answering(make, credentials);
    // The server of this test answers challenges alone: the first client is satisfied, and its request stays unanswered.
    const abort = new AbortController();
    const served = codeOf(attestedFetch(first.url, { agent: agentOf(policy), signal: abort.signal }));
    await expect.poll(() => first.said[0]).toMatch(/GET \/ HTTP/);
    abort.abort({ code: "given up" });
    expect(await served).toBe("given up");
    await check(await answering(make, credentials), "ERR_ATTESTATION_NONCE_MISMATCH");
  });

  test("N01 N02: a document under no challenge, or under another, right in everything else", async () => {
    const nsm = await mockNsm();
    const answer = (change: (nonce: Uint8Array) => Uint8Array | undefined) =>
      answering(async (nonce, socket) => {
        const changed = change(nonce);
        return nsm.attest({ ...(await bound("tls", nonce, socket)), ...(changed && { nonce: changed }) });
      });
    const code = "ERR_ATTESTATION_NONCE_MISMATCH";
    await check(await answer(() => undefined), code);
    await check(await answer((nonce) => nonce.with(31, (nonce[31] ?? 0) ^ 1)), code);
    await check(await answer((nonce) => nonce.subarray(0, 31)), code);
    await check(await answer((nonce) => new Uint8Array([...nonce, 0])), code);
  });

  test("N07: a document for another purpose, and one that has none", async () => {
    const nsm = await mockNsm();
    for (const purpose of ["result", "kms", "peer", "request"]) {
      const make = async (nonce: Uint8Array, socket: TLSSocket) =>
        nsm.attest({ nonce, ...(await bound(purpose, nonce, socket)) });
      await check(await answering(make), "ERR_ATTESTATION_USER_DATA_MISMATCH");
    }
    await check(await answering((nonce) => nsm.attest({ nonce })), "ERR_ATTESTATION_USER_DATA_MISMATCH");
  });

  test("N08: a document that names no key, or the client's exporter with another key", async () => {
    const nsm = await mockNsm();
    const { spki } = await createTlsIdentity(new Date());
    const answer = (publicKey?: Uint8Array) =>
      answering(async (nonce, socket) => {
        const { userData } = await bound("tls", nonce, socket);
        return nsm.attest({ nonce, userData, ...(publicKey && { publicKey }) });
      });
    await check(await answer(), "ERR_SESSION_RELAYED");
    await check(await answer(spki), "ERR_SESSION_RELAYED");
  });

  test("N10: the same image on another instance, where the policy pins the instance", async () => {
    const other = keep(await serveEnclave({ instanceId: "i-0fedcba9876543210" }));
    expect(await codeOf(attestedFetch(other.url, { agent: agentOf(policy) }))).toBe("answered");
    const pinned = await pcr4("i-0123456789abcdef0");
    const agent = agentOf({ ...policy, images: [{ ...IMAGE, 4: pinned }] });
    const again = keep(await serveEnclave({ instanceId: "i-0fedcba9876543210" }));
    await check(again, "ERR_ATTESTATION_PCR_MISMATCH", agent);
  });

  test("a document older than the policy allows", async () => {
    const agent = agentOf(policy, { now: () => new Date(Date.now() + 61_000) });
    await check(keep(await serveEnclave()), "ERR_ATTESTATION_STALE", agent);
  });

  test.each([
    ["a web server that knows no such path", "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"],
    ["a redirect", "HTTP/1.1 302 Found\r\nLocation: https://127.0.0.1/\r\nContent-Length: 0\r\n\r\n"],
    ["a page", "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 2\r\n\r\nhi"],
    ["no length", "HTTP/1.1 200 OK\r\nContent-Type: application/cose\r\n\r\nhi"],
    [
      "two lengths",
      "HTTP/1.1 200 OK\r\nContent-Type: application/cose\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nhi",
    ],
    [
      "chunks",
      "HTTP/1.1 200 OK\r\nContent-Type: application/cose\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\nhi",
    ],
    ["32 769 bytes", "HTTP/1.1 200 OK\r\nContent-Type: application/cose\r\nContent-Length: 32769\r\n\r\n"],
    [
      "bytes after the document",
      "HTTP/1.1 200 OK\r\nContent-Type: application/cose\r\nContent-Length: 2\r\n\r\nhiHTTP/1.1 200 OK\r\n\r\n",
    ],
    ["something else than HTTP", "220 mail ready\r\n\r\n"],
    ["a head without end", `HTTP/1.1 200 OK\r\nX: ${"x".repeat(9_000)}`],
  ])("a server without a document: %s", async (_, answer) => {
    const server = keep(await serveTls(parent, (socket) => void socket.once("data", () => socket.write(answer))));
    await check(server, "ERR_SESSION_UNATTESTED");
  });

  test("a server that answers with a document of no form", async () => {
    await check(await answering(async () => new Uint8Array(100).fill(0x84)), "ERR_ATTESTATION_MALFORMED");
  });

  test("a server that goes away, in the head and in the document", async () => {
    const partial = "HTTP/1.1 200 OK\r\nContent-Type: application/cose\r\nContent-Length: 9\r\n\r\nhi";
    for (const answer of ["HTTP/1.1 2", partial]) {
      const server = keep(await serveTls(parent, (socket) => void socket.once("data", () => socket.end(answer))));
      await check(server, "ERR_TRANSPORT_CLOSED");
    }
  });

  test("a server that says nothing, by the deadline; and at once when the caller gives up the agent", async () => {
    const silent = keep(await serveTls(parent, () => undefined));
    await check(silent, "ERR_TRANSPORT_TIMEOUT", agentOf(policy, { timeoutMs: 100 }));
    const other = keep(await serveTls(parent, () => undefined));
    const agent = agentOf(policy);
    const attempt = refused(other, agent);
    await expect.poll(() => other.said.length).toBe(1);
    agent.destroy();
    expect(await attempt).toBe("ERR_TRANSPORT_CLOSED");
  });

  test("K37: a server that speaks TLS 1.2 at most hears nothing at all", async () => {
    const old = keep(await serveTls({ ...parent, maxVersion: "TLSv1.2" }, () => undefined));
    expect(await refused(old)).toBe("ERR_TRANSPORT_TLS_REFUSED");
    expect(old.said).toEqual([]);
  });

  test("a port where nobody listens", async () => {
    const gone = await serveTls(parent, () => undefined);
    await gone.close();
    expect(await refused(gone)).toBe("ERR_TRANSPORT_UNREACHABLE");
  });
});

describe("mistakes", () => {
  test("a policy that is incomplete is refused when the agent is made", () => {
    const { images: _, ...incomplete } = policy;
    expect(() => createAttestedAgent(incomplete as typeof policy)).toThrowError(
      expect.objectContaining({ code: "ERR_CONFIG_FIELD_MISSING" }),
    );
    expect(() => createAttestedAgent({ ...policy, images: [{ 0: IMAGE[0] }] })).toThrowError(
      expect.objectContaining({ code: "ERR_CONFIG_FIELD_MISSING" }),
    );
  });

  test("a policy that its owner changes later changes nothing", async () => {
    const server = keep(await serveEnclave({ image: OTHER_IMAGE }));
    const images = [IMAGE] as [Record<number, Uint8Array>];
    const agent = agentOf({ ...policy, images });
    images[0] = OTHER_IMAGE;
    expect(await codeOf(attestedFetch(server.url, { agent }))).toBe("ERR_ATTESTATION_PCR_MISMATCH");
  });

  test("plain http, and limits of zero", async () => {
    await expect(attestedFetch("http://127.0.0.1/", { policy })).rejects.toThrow(TypeError);
    expect(() => createAttestedAgent(policy, { timeoutMs: 0 })).toThrow(RangeError);
  });
});

/** What a server's document vouches for when it is honest. */
async function bound(purpose: string, nonce: Uint8Array, socket: TLSSocket) {
  const der = socket.getX509Certificate()?.publicKey.export({ type: "spki", format: "der" });
  const spki = new Uint8Array(der ?? []);
  const exporter = socket.exportKeyingMaterial(EXPORTER_BYTES, EXPORTER_LABEL, Buffer.from(nonce));
  return { publicKey: spki, userData: encodeUserData({ purpose, digest: await tlsDigest({ spki, exporter }) }) };
}

async function pcr4(instanceId: string): Promise<Uint8Array> {
  const measured = Buffer.concat([new Uint8Array(48), Buffer.from(instanceId)]);
  return new Uint8Array(await crypto.subtle.digest("SHA-384", measured));
}
