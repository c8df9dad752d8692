/**
 * Requests that are sealed to an attested key, and what the parent that carries them could do: here it is a `fetch` that changes,
 * repeats or replaces what passes.
 */
import { describe, expect, test, vi } from "vitest";
import { encodeUserData } from "../../shared/attestation/index.ts";
import { REQUEST_KEY_PATH, requestKeyDigest, SEALED_REQUEST_PATH } from "../../shared/session/sealed-request.ts";
import { mockNsm, OTHER_IMAGE } from "../enclave/tls/bed.ts";
import { bed, type Carry, codeOf, echo } from "./sealed-bed.ts";

const SECRET = "canary-of-the-request";

describe("a sealed request", () => {
  test("reaches the application whole, and its answer comes back whole", async () => {
    const { client, carried } = await bed();
    const init = { method: "POST", headers: { "X-A": "1" }, body: SECRET };
    const response = await client.fetch(`/rows?x=${SECRET}`, init);
    expect([response.status, response.headers.get("x-b")]).toEqual([201, "c"]);
    expect(await response.text()).toBe(`POST /rows?x=${SECRET} 1 ${SECRET}`);
    expect(carried).toHaveLength(4);
    expect(Buffer.concat(carried.map(({ bytes }) => bytes)).includes("canary")).toBe(false);
    expect((await client.attestation()).debug).toBe(false);
  });

  test("shares one document with those that follow, up to an age", async () => {
    let now = 0;
    const { client, carried } = await bed({ client: { keyMaxAgeMs: 1_000, monotonicMs: () => now } });
    const documents = (): number => carried.filter(({ path }) => path === REQUEST_KEY_PATH).length;
    await Promise.all(Array.from({ length: 8 }, () => client.fetch("/")));
    expect(documents()).toBe(1);
    now = 999;
    await client.fetch("/");
    expect(documents()).toBe(1);
    now = 1_000;
    await Promise.all(Array.from({ length: 8 }, () => client.fetch("/")));
    expect(documents()).toBe(2);
  });

  test("asks again after a failure, once for all who wait", async () => {
    let failures = 0;
    const parent = async (request: Request, deliver: Carry): Promise<Response> =>
      failures++ === 0 ? new Response(null, { status: 502 }) : deliver(request);
    const { client } = await bed({ parent });
    const codes = await Promise.all([codeOf(client.fetch("/")), codeOf(client.fetch("/"))]);
    expect(codes).toEqual(["ERR_SESSION_UNATTESTED", "ERR_SESSION_UNATTESTED"]);
    expect(failures).toBe(1);
    expect(await codeOf(client.fetch("/"))).toBe("answered");
  });

  test("may have an answer without a body", async () => {
    const { client } = await bed({ handler: async () => new Response(null, { status: 204 }) });
    expect((await client.fetch("/", { method: "DELETE" })).body).toBeNull();
  });
});

describe("an enclave that is refused: nothing is sealed to its key", () => {
  test.each([
    ["P04: in debug mode", { debug: true }, "ERR_ATTESTATION_DEBUG_MODE"],
    ["of another image", { image: OTHER_IMAGE }, "ERR_ATTESTATION_PCR_MISMATCH"],
  ])("%s", async (_, settings, code) => {
    const { client, carried } = await bed(settings);
    expect(await codeOf(client.fetch(`/${SECRET}`, { method: "POST", body: SECRET }))).toBe(code);
    expect(carried.map(({ path }) => path)).toEqual([REQUEST_KEY_PATH, `answer of ${REQUEST_KEY_PATH}`]);
  });

  test("N03: a parent that shows an earlier document, and one with a page of its own", async () => {
    let recorded: ArrayBuffer | undefined;
    const replay = async (request: Request, deliver: Carry): Promise<Response> => {
      if (new URL(request.url).pathname !== REQUEST_KEY_PATH) return deliver(request);
      recorded ??= await (await deliver(request)).arrayBuffer();
      return new Response(recorded);
    };
    const { client } = await bed({
      parent: replay,
      client: { keyMaxAgeMs: 1, monotonicMs: () => Math.random() * 1e9 },
    });
    expect(await codeOf(client.fetch("/"))).toBe("answered");
    expect(await codeOf(client.fetch("/"))).toBe("ERR_ATTESTATION_NONCE_MISMATCH");
    const page = await bed({ parent: async () => new Response("<!doctype html>") });
    expect(await codeOf(page.client.fetch("/"))).toBe("ERR_ATTESTATION_MALFORMED");
    const long = await bed({ parent: async () => new Response(new Uint8Array(32_769)) });
    expect(await codeOf(long.client.fetch("/"))).toBe("ERR_SESSION_UNATTESTED");
  });

  test("N07 N08: a document for another purpose, over another key, or without one", async () => {
    const nsm = await mockNsm();
    const spki = new Uint8Array(120).fill(1);
    const digest = await requestKeyDigest(spki);
    const showing = async (fields: { purpose: string; publicKey?: Uint8Array }): Promise<string> => {
      const parent = async (request: Request): Promise<Response> => {
        const nonce = Buffer.from(new URL(request.url).searchParams.get("nonce") ?? "", "base64url");
        const userData = encodeUserData({ purpose: fields.purpose, digest });
        const publicKey = fields.publicKey && { publicKey: fields.publicKey };
        return new Response(Uint8Array.from(await nsm.attest({ nonce, userData, ...publicKey })));
      };
      return codeOf((await bed({ parent })).client.fetch("/"));
    };
    expect(await showing({ purpose: "tls", publicKey: spki })).toBe("ERR_ATTESTATION_USER_DATA_MISMATCH");
    expect(await showing({ purpose: "request", publicKey: spki.with(0, 2) })).toBe("ERR_SESSION_RELAYED");
    expect(await showing({ purpose: "request" })).toBe("ERR_ATTESTATION_PUBLIC_KEY_MISMATCH");
  });
});

describe("a parent that meddles with messages", () => {
  const sealedOnly =
    (change: (bytes: Buffer, deliver: Carry, request: Request) => Promise<Response>) =>
    async (request: Request, deliver: Carry): Promise<Response> => {
      if (new URL(request.url).pathname !== SEALED_REQUEST_PATH) return deliver(request);
      return change(Buffer.from(await request.clone().arrayBuffer()), deliver, request);
    };
  const post = (bytes: Uint8Array): Request =>
    new Request(`http://enclave${SEALED_REQUEST_PATH}`, { method: "POST", body: Uint8Array.from(bytes) });

  test("any bit of a request: it does not open, or names no key; the application hears nothing", async () => {
    const handler = vi.fn(echo);
    const answers = new Set<string>();
    const flip = sealedOnly(async (bytes, deliver) => {
      for (let at = 0; at < bytes.length; at += 1) {
        const changed = Uint8Array.from(bytes).with(at, (bytes[at] ?? 0) ^ (1 << (at % 8)));
        const answer = await deliver(post(changed));
        answers.add(`${answer.status} ${((await answer.json()) as { code: string }).code}`);
      }
      return deliver(post(bytes));
    });
    const { client } = await bed({ parent: flip, handler });
    expect(await codeOf(client.fetch("/", { method: "POST", body: "x" }))).toBe("answered");
    expect([...answers].sort()).toEqual(["422 ERR_SESSION_KEY_UNKNOWN", "422 ERR_SESSION_NOT_OPENED"]);
    expect(handler).toHaveBeenCalledTimes(1);
  });

  test("any cut of a request", async () => {
    const codes = new Set<string>();
    const cut = sealedOnly(async (bytes, deliver) => {
      for (const length of [0, 1, 8, 9, 105, 106, 107, bytes.length - 1]) {
        codes.add(((await (await deliver(post(bytes.subarray(0, length)))).json()) as { code: string }).code);
      }
      return deliver(post(bytes));
    });
    const { client } = await bed({ parent: cut });
    expect(await codeOf(client.fetch("/"))).toBe("answered");
    expect([...codes]).toEqual(["ERR_SESSION_NOT_OPENED"]);
  });

  test("the same request again: it is taken once", async () => {
    const handler = vi.fn(echo);
    let second: string | undefined;
    const repeat = sealedOnly(async (bytes, deliver) => {
      const first = await deliver(post(bytes));
      second = ((await (await deliver(post(bytes))).json()) as { code: string }).code;
      return first;
    });
    const { client } = await bed({ parent: repeat, handler });
    expect(await codeOf(client.fetch("/pay", { method: "POST" }))).toBe("answered");
    expect(second).toBe("ERR_SESSION_REPLAYED");
    expect(handler).toHaveBeenCalledTimes(1);
  });

  test("the same request twice at once: it is taken once", async () => {
    const handler = vi.fn(echo);
    const both = sealedOnly(async (bytes, deliver) => {
      const [one, two] = await Promise.all([deliver(post(bytes)), deliver(post(bytes))]);
      expect([one?.status, two?.status].sort()).toEqual([200, 422]);
      return one?.status === 200 ? one : (two as Response);
    });
    const { client } = await bed({ parent: both, handler });
    expect(await codeOf(client.fetch("/pay", { method: "POST" }))).toBe("answered");
    expect(handler).toHaveBeenCalledTimes(1);
  });

  test.each([
    ["a flipped bit", (bytes: Buffer) => bytes.fill((bytes.at(-1) ?? 0) ^ 1, bytes.length - 1)],
    ["a flipped bit of its nonce", (bytes: Buffer) => bytes.fill((bytes[0] ?? 0) ^ 1, 0, 1)],
    ["no content", () => Buffer.alloc(0)],
    ["a cut", (bytes: Buffer) => bytes.subarray(0, 31)],
  ])("an answer with %s", async (_, change) => {
    const parent = sealedOnly(async (_bytes, deliver, request) => {
      const answer = Buffer.from(await (await deliver(request)).arrayBuffer());
      return new Response(Uint8Array.from(change(answer)));
    });
    expect(await codeOf((await bed({ parent })).client.fetch("/"))).toBe("ERR_SESSION_NOT_OPENED");
  });

  test("the answer to another request", async () => {
    let kept: ArrayBuffer | undefined;
    const parent = sealedOnly(async (_bytes, deliver, request) => {
      const answer = await (await deliver(request)).arrayBuffer();
      kept ??= answer;
      return new Response(kept);
    });
    const { client } = await bed({ parent });
    expect(await codeOf(client.fetch("/1"))).toBe("answered");
    expect(await codeOf(client.fetch("/2"))).toBe("ERR_SESSION_NOT_OPENED");
  });

  test("a word that the key is unknown: nothing is sent twice, and the next call asks for a document", async () => {
    let lies = 1;
    const parent = sealedOnly(async (_bytes, deliver, request) => {
      const answer = await deliver(request);
      return lies-- > 0 ? Response.json({ code: "ERR_SESSION_KEY_UNKNOWN" }, { status: 422 }) : answer;
    });
    const handler = vi.fn(echo);
    const { client, carried } = await bed({ parent, handler });
    expect(await codeOf(client.fetch("/pay", { method: "POST" }))).toBe("ERR_SESSION_KEY_UNKNOWN");
    expect(handler).toHaveBeenCalledTimes(1);
    expect(await codeOf(client.fetch("/"))).toBe("answered");
    expect(carried.filter(({ path }) => path === REQUEST_KEY_PATH)).toHaveLength(2);
  });

  test("an error page is an unreachable peer", async () => {
    const parent = sealedOnly(async () => new Response("<h1>502</h1>", { status: 502 }));
    expect(await codeOf((await bed({ parent })).client.fetch("/"))).toBe("ERR_TRANSPORT_UNREACHABLE");
  });
});

describe("the enclave's keys", () => {
  test("are replaced by age, and open for as long again", async () => {
    let now = 0;
    const limits = { keyLifetimeMs: 1_000 };
    const settings = { limits, monotonicMs: () => now, client: { monotonicMs: () => 0 } };
    const { client } = await bed(settings);
    for (const [moment, expected] of [
      [0, "answered"],
      [999, "answered"],
      [1_999, "answered"],
      [2_000, "ERR_SESSION_KEY_UNKNOWN"],
      [2_000, "answered"],
    ] as const) {
      now = moment;
      expect(await codeOf(client.fetch("/")), String(moment)).toBe(expected);
    }
  });

  test("open a number of requests; the one before the present still opens", async () => {
    const { client, deliver } = await bed({ limits: { requestsMax: 2 } });
    for (const expected of ["answered", "answered", "ERR_SESSION_KEY_UNKNOWN", "answered"]) {
      expect(await codeOf(client.fetch("/"))).toBe(expected);
    }
    const nonce = Buffer.alloc(16, 1).toString("base64url");
    const shown = await deliver(new Request(`http://enclave${REQUEST_KEY_PATH}?nonce=${nonce}`));
    expect(shown.status).toBe(200);
    expect(await codeOf(client.fetch("/"))).toBe("answered");
  });

  test("are given out at a bounded rate", async () => {
    const { deliver } = await bed({ limits: { documents: { perSecond: 1, burst: 1 } }, monotonicMs: () => 0 });
    const nonce = Buffer.alloc(16, 1).toString("base64url");
    const ask = (): Promise<Response> => deliver(new Request(`http://enclave${REQUEST_KEY_PATH}?nonce=${nonce}`));
    expect([(await ask()).status, (await ask()).status]).toEqual([200, 429]);
  });
});

describe("the two paths", () => {
  test("take their own method, a challenge of its form, and pages of named origins", async () => {
    const { deliver } = await bed();
    const at = (path: string, init: RequestInit = {}) => deliver(new Request(`http://enclave${path}`, init));
    expect((await at(SEALED_REQUEST_PATH)).status).toBe(405);
    expect((await at(REQUEST_KEY_PATH, { method: "POST" })).status).toBe(405);
    expect((await at(`${REQUEST_KEY_PATH}?nonce=short`)).status).toBe(400);
    expect((await at("/other")).status).toBe(404);
    const preflight = async (origin: string): Promise<string | null> => {
      const answer = await at(SEALED_REQUEST_PATH, { method: "OPTIONS", headers: { origin } });
      expect(answer.status).toBe(204);
      return answer.headers.get("access-control-allow-origin");
    };
    expect(await preflight("https://app.example")).toBe("https://app.example");
    expect(await preflight("https://app.example.evil.test")).toBeNull();
  });
});
