/** Attested TLS, sealed requests and enclaves among themselves: keys and secrets in their hands, and ways to fail. */
import { request as httpsRequest } from "node:https";
import type { Duplex } from "node:stream";
import { afterEach, describe, expect, test, vi } from "vitest";
import { createSealedClient } from "../../client/browser/sealed-client.ts";
import { createKeySync } from "../../enclave/peers/key-sync.ts";
import { createPeerSessions } from "../../enclave/peers/peer-sessions.ts";
import { createTlsIdentity } from "../../enclave/tls/identity.ts";
import { createSealedRequests } from "../../enclave/tls/sealed-requests.ts";
import { DataError } from "../../shared/errors/index.ts";
import { createMemoryPair } from "../../transport/index.ts";
import { mockNsm, type NsmSettings, OTHER_IMAGE, policy, serveEnclave } from "../enclave/tls/bed.ts";
import { Hunt, plant, plantBytes } from "./hunt.ts";

const [asked, answered, beacon] = [plant("request"), plant("answer"), plant("beacon")];
const sockets: Duplex[] = [];
afterEach(() => {
  vi.restoreAllMocks();
  for (const socket of sockets.splice(0)) socket.destroy();
});

/** The private key's number in PKCS #8: 36 bytes stand before P-256's. Source: RFC 5915; RFC 5958. */
const scalarOf = (pem: string): Uint8Array =>
  Buffer.from(pem.replace(/-----[A-Z ]+-----|\s/g, ""), "base64").subarray(36, 68);

describe("attested TLS", () => {
  test("G07 G11: an identity, and the server that has it, show nothing of the private key", async () => {
    const identity = await createTlsIdentity(new Date());
    const served = await serveEnclave();
    const keys = [identity, served.tls.identity].map(({ keyPem }) => plantBytes("TLS private key", scalarOf(keyPem)));
    const hunt = new Hunt(...keys);
    expect(() => JSON.stringify(identity)).toThrow(TypeError);
    hunt.note("objects", [identity, { deep: identity }, identity.keys, served.tls, beacon.text]);
    await served.close();
    hunt.end({ objects: beacon });
  });

  test("G06 G10: a request that fails in its application; the parent has ciphertext alone", async () => {
    const hunt = new Hunt(asked, answered);
    const app = async (request: Request): Promise<Response> => {
      const text = await request.text();
      const dataset = beacon.text;
      return Response.json(new DataError("ERR_DATA_NOT_OPENED", { dataset }, { cause: new Error(text) }).toJSON());
    };
    const served = await serveEnclave({ app });
    const body = await new Promise<string>((resolve, reject) => {
      const options = {
        method: "POST",
        rejectUnauthorized: false,
        headers: { "x-secret": asked.text },
        agent: false as const,
      };
      const outgoing = httpsRequest(served.url, options, async (incoming) => {
        const chunks: Buffer[] = [];
        for await (const chunk of incoming) chunks.push(chunk as Buffer);
        resolve(Buffer.concat(chunks).toString());
      });
      outgoing.on("socket", (socket) => hunt.note("sockets", beacon.text) ?? sockets.push(socket));
      outgoing.on("error", reject).end(asked.text);
    });
    hunt.note("answers", body);
    hunt.note("objects", [served.tls, beacon.text]);
    await served.close();
    // What the enclave read was the canary: the search below had something to find.
    expect(served.said.join("")).toContain(asked.text);
    hunt.end({ answers: beacon, objects: beacon });
  });
});

/** An enclave for browsers, and a parent that keeps what it carries, and changes it if told to. */
async function browserBed(hunt: Hunt, handler: (request: Request) => Promise<Response>, change = (b: Buffer) => b) {
  const enclave = createSealedRequests({ onInternalError: () => {}, nsm: await mockNsm(), handler });
  const fetch = async (url: string | URL | Request, init?: RequestInit): Promise<Response> => {
    const request = new Request(url, init);
    const sent = Buffer.from(await request.clone().arrayBuffer());
    hunt.noteBytes("crossed", Buffer.concat([sent, Buffer.from(beacon.bytes)]));
    const changed =
      request.method === "POST" ? new Request(url, { ...init, body: new Uint8Array(change(sent)) }) : request;
    const response = (await enclave.handle(changed)) ?? new Response(null, { status: 404 });
    hunt.noteBytes("crossed", Buffer.from(await response.clone().arrayBuffer()));
    return response;
  };
  const client = createSealedClient({
    url: "https://enclave.example",
    policy,
    fetch: fetch as typeof globalThis.fetch,
  });
  hunt.note("objects", [enclave, client, beacon.text]);
  return client;
}
const flipped = (bytes: Buffer): Buffer =>
  Buffer.from(bytes.map((byte, at) => (at === bytes.length - 1 ? byte ^ 1 : byte)));

describe("sealed requests", () => {
  const post = { method: "POST", body: asked.text, headers: { "x-secret": asked.text } };

  test("G07: a request and its answer cross sealed", async () => {
    const hunt = new Hunt(asked, answered);
    const client = await browserBed(hunt, async (request) => {
      expect(await request.text()).toBe(asked.text);
      return new Response(answered.text, { headers: { "x-secret": answered.text } });
    });
    const response = await client.fetch(`/rows?q=${asked.text}`, post);
    expect(await response.text()).toBe(answered.text);
    hunt.end({ crossed: beacon, objects: beacon });
  });

  test.each<[string, (request: Request) => Promise<Response>, (bytes: Buffer) => Buffer]>([
    [
      "G10: the application throws",
      async (request) => Promise.reject(new Error(await request.text())),
      (bytes) => bytes,
    ],
    ["G06: what opens was changed on its way", async () => new Response(""), flipped],
    ["G01: what is sent is no sealed message", async () => new Response(""), () => Buffer.from("x")],
  ])("%s", async (title, handler, change) => {
    const hunt = new Hunt(asked, answered);
    const client = await browserBed(hunt, handler, change);
    const outcome = client.fetch("/rows", post).catch((error: unknown) => {
      // An application's own error is the server's to keep inside: app.test.ts.
      if (title.startsWith("G10")) return "the application's error";
      throw error;
    });
    hunt.note("refusal", [await outcome.catch((error: unknown) => error), beacon.text]);
    hunt.end({ crossed: beacon, refusal: beacon });
  });
});

describe("enclaves among themselves", () => {
  const shared = plant("shared secret");

  /** Two enclaves; what crosses between them, and what comes of it. */
  async function meet(hunt: Hunt, worker: NsmSettings, name: string): Promise<unknown> {
    const [near, parentNear] = createMemoryPair();
    const [parentFar, far] = createMemoryPair();
    sockets.push(near, far, parentNear, parentFar);
    for (const side of [parentNear, parentFar]) side.on("data", (chunk: Buffer) => hunt.noteBytes("crossed", chunk));
    parentNear.pipe(parentFar).pipe(parentNear);
    parentNear.once("close", () => parentFar.destroy());
    parentFar.once("close", () => parentNear.destroy());
    const sync = async (settings: NsmSettings) => {
      const peers = await createPeerSessions({
        nsm: await mockNsm(settings),
        policy,
        now: () => new Date(),
        timeoutMs: 2_000,
      });
      const keySync = createKeySync({ peers });
      hunt.note("objects", [peers, keySync, beacon.text]);
      return keySync;
    };
    const [leader, follower] = [await sync({}), await sync(worker)];
    const giving = leader.give(far, new Map([["identity", shared.bytes]]));
    const taking = follower.take(near, name);
    const [given, taken] = await Promise.allSettled([giving, taking]);
    hunt.note("outcomes", [given, taken.status === "rejected" ? taken : "taken", beacon.text]);
    return taken.status === "fulfilled" ? taken.value : taken.reason;
  }

  test("G07: a secret that is handed on crosses sealed", async () => {
    const hunt = new Hunt(shared);
    expect(await meet(hunt, {}, "identity")).toEqual(shared.bytes);
    // In TLS 1.3 the caller's first flight is in clear; nothing of it is a secret.
    hunt.noteBytes("crossed", beacon.bytes);
    hunt.end({ objects: beacon, crossed: beacon, outcomes: beacon });
  });

  test.each<[string, NsmSettings, string, string]>([
    ["G06: to another image it is not given", { image: OTHER_IMAGE }, "identity", "ERR_SESSION_PEER_REFUSED"],
    ["G06: nor to one in debug mode", { debug: true }, "identity", "ERR_SESSION_PEER_REFUSED"],
    ["G05: nor by another name", {}, "another", "ERR_SESSION_SECRET_UNKNOWN"],
  ])("%s", async (_, worker, name, code) => {
    const hunt = new Hunt(shared);
    expect(await meet(hunt, worker, name)).toMatchObject({ code });
    hunt.end({ objects: beacon, outcomes: beacon });
  });
});
