/** What a parent that withholds, or sends without end, can do to a sealed client; and what of an error it gets to see. */
import { randomBytes } from "node:crypto";
import { describe, expect, test, vi } from "vitest";
import { createSealedClient } from "../../client/browser/sealed-client.ts";
import { createSealedRequests } from "../../enclave/tls/sealed-requests.ts";
import { SessionError } from "../../shared/errors/session.ts";
import { readBounded } from "../../shared/session/bounded-body.ts";
import { REQUEST_KEY_PATH, SEALED_REQUEST_PATH } from "../../shared/session/sealed-request.ts";
import { mockNsm, policy } from "../enclave/tls/bed.ts";
import { bed, type Carry, codeOf } from "./sealed-bed.ts";

const SECRET = "canary-of-the-request";
const never = (): Promise<never> => new Promise(() => undefined);
const at = ({ url }: Request): string => new URL(url).pathname;

/** A body that does not end, and how much of it was taken. */
function endless(): { readonly body: ReadableStream<Uint8Array>; taken: number; ended: boolean } {
  const state = {
    taken: 0,
    ended: false,
    body: new ReadableStream<Uint8Array>({
      pull: (controller) => {
        state.taken += 1_024;
        controller.enqueue(randomBytes(1_024));
      },
      cancel: () => void (state.ended = true),
    }),
  };
  return state;
}

describe("a parent that withholds the enclave's key", () => {
  /** The first request of all is not answered; those after it are. */
  const withholding = (withheld: () => Promise<Response>) => {
    let first = true;
    return (_: Request, deliver: Carry): Promise<Response> => {
      const passes = !first;
      first = false;
      return passes ? deliver(_) : withheld();
    };
  };

  test.each<[string, () => Promise<Response>]>([
    ["its answer", never],
    ["the document in it", async () => new Response(new ReadableStream())],
  ])("is waited for until a deadline, and asked again after it: %s", async (_, withheld) => {
    const { client, carried } = await bed({ parent: withholding(withheld) });
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    try {
      const attempts = [codeOf(client.fetch("/1")), codeOf(client.attestation())];
      await vi.waitUntil(() => carried.length > 0);
      vi.advanceTimersByTime(9_999);
      expect(await Promise.race([...attempts, Promise.resolve("waits")])).toBe("waits");
      vi.advanceTimersByTime(1);
      expect(await Promise.all(attempts)).toEqual(["ERR_TRANSPORT_TIMEOUT", "ERR_TRANSPORT_TIMEOUT"]);
      expect(await codeOf(client.fetch("/2"))).toBe("answered");
      expect(vi.getTimerCount()).toBe(0);
    } finally {
      vi.useRealTimers();
    }
  });

  test("is not waited for by a caller that gives up, whose request is not sent later", async () => {
    let release: () => void = () => undefined;
    const held = new Promise<void>((resolve) => (release = resolve));
    const parent = async (request: Request, deliver: Carry): Promise<Response> => {
      if (at(request) === REQUEST_KEY_PATH) await held;
      return deliver(request);
    };
    const { client, carried } = await bed({ parent });
    const abort = new AbortController();
    const [gone, stays] = [codeOf(client.fetch("/1", { signal: abort.signal })), codeOf(client.fetch("/2"))];
    abort.abort({ code: "given up" });
    expect(await gone).toBe("given up");
    release();
    expect(await stays).toBe("answered");
    expect(carried.filter(({ path }) => path === SEALED_REQUEST_PATH)).toHaveLength(1);
  });

  test("an answer that is withheld ends with the caller's signal", async () => {
    const parent = (request: Request, deliver: Carry): Promise<Response> =>
      at(request) === SEALED_REQUEST_PATH ? never() : deliver(request);
    const { client } = await bed({ parent });
    const abort = new AbortController();
    const attempt = codeOf(client.fetch("/", { signal: abort.signal }));
    await client.attestation();
    abort.abort({ code: "given up" });
    expect(await attempt).toBe("given up");
  });
});

describe("a parent that sends without end", () => {
  test.each<[string, number, string, number, string]>([
    ["a document", 200, REQUEST_KEY_PATH, 32_768, "ERR_SESSION_UNATTESTED"],
    ["a page in its place", 404, REQUEST_KEY_PATH, 0, "ERR_SESSION_UNATTESTED"],
    ["a sealed answer", 200, SEALED_REQUEST_PATH, 100_000, "ERR_SESSION_TOO_LARGE"],
    ["a refusal", 422, SEALED_REQUEST_PATH, 4_096, "ERR_TRANSPORT_UNREACHABLE"],
  ])("%s: it is read up to its maximum", async (_, status, path, maximum, code) => {
    const source = endless();
    const fetch: typeof globalThis.fetch = async (url, init) => {
      const request = new Request(url, init as RequestInit);
      init?.signal?.addEventListener("abort", () => void (source.ended = true));
      return at(request) === path ? new Response(source.body, { status }) : deliver(request);
    };
    const { deliver } = await bed();
    const client = createSealedClient({ url: "https://enclave.example", policy, fetch, answerMax: 100_000 });
    expect(await codeOf(client.fetch("/"))).toBe(code);
    expect(source.taken).toBeLessThanOrEqual(maximum + 3 * 1_024);
    expect(source.ended).toBe(true);
  });

  test("what is read has its maximum and not a byte more, in pieces of any size", async () => {
    const bytes = randomBytes(40_000);
    const pieces = (size: number) =>
      ReadableStream.from(
        (function* () {
          for (let start = 0; start < bytes.length; start += size) yield bytes.subarray(start, start + size);
        })(),
      );
    for (const size of [1, 7_000, 40_000]) {
      expect(Buffer.from((await readBounded({ body: pieces(size) }, 40_000)) ?? []).equals(bytes)).toBe(true);
      expect(await readBounded({ body: pieces(size) }, 39_999)).toBeUndefined();
    }
    expect(await readBounded({ body: null }, 1)).toEqual(new Uint8Array());
  });

  test.each(["timeoutMs", "answerMax", "keyMaxAgeMs"])("%s of zero is a mistake", (name) => {
    expect(() => createSealedClient({ url: "https://x.example", policy, [name]: 0 })).toThrow(RangeError);
  });
});

describe("what comes of an open request leaves sealed", () => {
  test("a refusal of the application, which names what was asked for", async () => {
    const handler = async (request: Request): Promise<Response> => {
      throw new SessionError("ERR_SESSION_SECRET_UNKNOWN", { secret: at(request).slice(1) });
    };
    const { client, carried, faults } = await bed({ handler });
    const response = await client.fetch(`/${SECRET}`);
    expect(response.status).toBe(403);
    expect(await response.json()).toMatchObject({ code: "ERR_SESSION_SECRET_UNKNOWN", details: { secret: SECRET } });
    expect(Buffer.concat(carried.map(({ bytes }) => bytes)).includes("canary")).toBe(false);
    expect(carried.some(({ bytes }) => bytes.includes("ERR_"))).toBe(false);
    expect(faults).toEqual([]);
  });

  test.each<[string, () => Promise<Response>]>([
    ["an error", async () => Promise.reject(new Error(SECRET))],
    ["an answer that fails half way", async () => new Response(ReadableStream.from(failing()))],
    ["no answer", async () => undefined as unknown as Response],
  ])("%s of the application, whose number is in the log", async (_, handler) => {
    const deliver: Carry = async (request) => (await made.deliver(request)).clone();
    const statuses: number[] = [];
    const parent = async (request: Request): Promise<Response> => {
      const answer = await deliver(request);
      statuses.push(answer.status);
      return answer;
    };
    const made = await bed({ handler, parent });
    const response = await made.client.fetch("/");
    const { code, details } = (await response.json()) as { code: string; details: { id: string } };
    expect([response.status, code, statuses]).toEqual([500, "ERR_INTERNAL", [200, 200]]);
    expect(made.faults.map(({ id }) => id)).toEqual([details.id]);
    const seen = Buffer.concat(made.carried.map(({ bytes }) => bytes));
    expect([seen.includes("canary"), seen.includes("ERR_")]).toEqual([false, false]);
  });

  test("a message inside that is none", async () => {
    const handler = vi.fn(async () => new Response());
    const { client, carried } = await bed({ handler });
    const response = await client.fetch("/", { method: "CONNECT" });
    expect([response.status, ((await response.json()) as { code: string }).code]).toEqual([
      422,
      "ERR_SESSION_MALFORMED",
    ]);
    expect(carried.some(({ bytes }) => bytes.includes("ERR_"))).toBe(false);
    expect(handler).not.toHaveBeenCalled();
  });
});

async function* failing(): AsyncGenerator<Uint8Array> {
  yield Buffer.from("half");
  throw new Error(SECRET);
}

describe("a sealed request", () => {
  /** 106 bytes of the message stand before what is sealed, 16 after it. */
  const AROUND = 122;

  test("has at most as many bytes as the enclave says, and is not read further", async () => {
    const source = endless();
    const { client, deliver } = await bed({ limits: { bodyMax: 8_192 } });
    const init = { method: "POST", body: source.body, duplex: "half" } as const;
    const refused = await deliver(new Request(`http://enclave${SEALED_REQUEST_PATH}`, init));
    expect([refused.status, await refused.json()]).toMatchObject([413, { details: { maximum: 8_192 } }]);
    expect(source.taken).toBeLessThanOrEqual(8_192 + 3 * 1_024);
    const head = JSON.stringify({ method: "POST", path: "/", headers: [] }).length + 4;
    const most = 8_192 - AROUND - head;
    expect(await codeOf(client.fetch("/", { method: "POST", body: new Uint8Array(most) }))).toBe("answered");
    const more = { method: "POST", body: new Uint8Array(most + 1) };
    expect(await codeOf(client.fetch("/", more))).toBe("ERR_TRANSPORT_UNREACHABLE");
  });

  test("has 4 MiB at most where nothing is said", async () => {
    const { deliver } = await bed();
    const status = async (size: number): Promise<number> => {
      const body = new Uint8Array(size);
      return (await deliver(new Request(`http://enclave${SEALED_REQUEST_PATH}`, { method: "POST", body }))).status;
    };
    expect([await status(4 * 1_048_576), await status(4 * 1_048_576 + 1)]).toEqual([422, 413]);
    const nsm = await mockNsm();
    const zero = { nsm, handler: async () => new Response(), onInternalError: () => undefined, limits: { bodyMax: 0 } };
    expect(() => createSealedRequests(zero)).toThrow(RangeError);
  });
});
