/** How many connections an attested agent has, for how long, and what becomes of requests that wait for one. */
import { createServer } from "node:net";
import { afterEach, describe, expect, test, vi } from "vitest";
import { type AttestedAgent, type AttestedAgentOptions, createAttestedAgent } from "../../client/attested-agent.ts";
import { attestedFetch } from "../../client/attested-fetch.ts";
import { policy, type ServedEnclave, serveEnclave } from "../enclave/tls/bed.ts";

const closing: (() => unknown)[] = [];
afterEach(async () => {
  vi.useRealTimers();
  for (const close of closing.splice(0)) await close();
});

interface Bed {
  readonly enclave: ServedEnclave;
  readonly agent: AttestedAgent;
  readonly heard: string[];
  /** Lets those answers go that were asked for under `/slow`. */
  readonly release: () => void;
  ask(path: string, signal?: AbortSignal): Promise<string>;
}

async function bed(options: AttestedAgentOptions = {}): Promise<Bed> {
  const heard: string[] = [];
  const held: (() => void)[] = [];
  const app = async (request: Request): Promise<Response> => {
    const { pathname } = new URL(request.url);
    heard.push(pathname);
    if (pathname === "/slow") await new Promise<void>((resolve) => held.push(resolve));
    return new Response(pathname);
  };
  const enclave = await serveEnclave({ app });
  const agent = createAttestedAgent(policy, { maxSockets: 1, ...options });
  closing.push(() => agent.destroy(), enclave.close);
  const ask = async (path: string, signal?: AbortSignal): Promise<string> =>
    attestedFetch(enclave.url + path, { agent, ...(signal && { signal }) }).then(
      (response) => response.text(),
      (error: unknown) => (error as { code?: string }).code ?? String(error),
    );
  const release = (): void => {
    for (const go of held.splice(0)) go();
  };
  return { enclave, agent, heard, release, ask };
}

describe("connections to one server", () => {
  test("are bounded in a burst too, and asked for one document each", async () => {
    const { enclave, ask } = await bed({ maxSockets: 3 });
    const attest = vi.spyOn(enclave.nsm, "attest");
    const paths = Array.from({ length: 30 }, (_, index) => `/${index}`);
    expect(await Promise.all(paths.map((path) => ask(path)))).toEqual(paths);
    expect(enclave.said).toHaveLength(3);
    expect(attest).toHaveBeenCalledTimes(3);
    await ask("/later");
    expect(enclave.said).toHaveLength(3);
  });

  test("do not stand in the way of another server's", async () => {
    const one = await bed();
    const two = await bed();
    const waiting = one.ask("/slow");
    await expect.poll(() => one.heard).toEqual(["/slow"]);
    const response = await attestedFetch(`${two.enclave.url}/x`, { agent: one.agent });
    expect(await response.text()).toBe("/x");
    one.release();
    await waiting;
  });

  test("end with their age, however many requests wait for one; for those that were given up none is made", async () => {
    const { enclave, ask, heard, release } = await bed({ sessionMaxAgeMs: 1_000 });
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    const abort = new AbortController();
    const first = ask("/slow");
    const left = ask("/left", abort.signal);
    const rest = ["/1", "/2", "/3"].map((path) => ask(path));
    await vi.waitUntil(() => heard.length === 1);
    abort.abort({ code: "given up" });
    vi.advanceTimersByTime(1_000);
    release();
    expect(await Promise.all([first, left, ...rest])).toEqual(["/slow", "given up", "/1", "/2", "/3"]);
    expect(enclave.said.map((text) => text.match(/^GET \/(slow|\d) /gm)?.length)).toEqual([1, 3]);
  });
});

describe("requests that wait", () => {
  test("fail each for itself where no connection comes about, and none is left", async () => {
    const gone = createServer().listen(0, "127.0.0.1");
    await new Promise((resolve) => gone.once("listening", resolve));
    const { port } = gone.address() as { port: number };
    await new Promise((resolve) => gone.close(resolve));
    const agent = createAttestedAgent(policy, { maxSockets: 1 });
    const attempts = Array.from({ length: 5 }, () => attestedFetch(`https://127.0.0.1:${port}/`, { agent }));
    for (const result of await Promise.allSettled(attempts)) {
      expect(result).toMatchObject({ status: "rejected", reason: { code: "ERR_TRANSPORT_UNREACHABLE" } });
    }
  });

  test("are told when the agent ends", async () => {
    const { agent, ask, heard } = await bed();
    const attempts = [ask("/slow"), ask("/1"), ask("/2")];
    await expect.poll(() => heard).toEqual(["/slow"]);
    agent.destroy();
    expect((await Promise.all(attempts)).slice(1)).toEqual(["ERR_TRANSPORT_CLOSED", "ERR_TRANSPORT_CLOSED"]);
    expect(heard).toEqual(["/slow"]);
  });

  test("end at once when their caller gives up, and are not sent", async () => {
    const { ask, heard, release } = await bed();
    const abort = new AbortController();
    const first = ask("/slow");
    const [second, third] = [ask("/given-up", abort.signal), ask("/3")];
    await expect.poll(() => heard).toEqual(["/slow"]);
    abort.abort({ code: "given up" });
    expect(await second).toBe("given up");
    expect(await ask("/before", abort.signal)).toBe("given up");
    release();
    expect(await Promise.all([first, third])).toEqual(["/slow", "/3"]);
    expect(heard).toEqual(["/slow", "/3"]);
  });

  test("end at once while their connection is made", async () => {
    const { ask } = await bed({ connect: () => new Promise(() => undefined) });
    const abort = new AbortController();
    const attempt = ask("/", abort.signal);
    abort.abort({ code: "given up" });
    expect(await attempt).toBe("given up");
  });
});

describe("a connection whose document is being verified", () => {
  test("is not used after the agent's end", async () => {
    const now = (): Date => {
      made.agent.destroy();
      return new Date();
    };
    const made = await bed({ now });
    expect(await made.ask("/")).toBe("ERR_TRANSPORT_CLOSED");
    expect(made.heard).toEqual([]);
  });

  test("is not used after the deadline", async () => {
    const { ask, heard } = await bed({
      timeoutMs: 1_000,
      now: () => {
        vi.advanceTimersByTime(1_000);
        return new Date();
      },
    });
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    expect(await ask("/")).toBe("ERR_TRANSPORT_TIMEOUT");
    expect(heard).toEqual([]);
  });
});
