import { describe, expect, test, vi } from "vitest";
import { createResolver, type DnsAnswer, type Resolve, type ResolverOptions } from "../../../parent/egress/resolver.ts";
import { codeOf } from "../../transport/streams.ts";
import { bodyOf, cleanups, connect, lived, proxy, statusOf, upstream } from "../fixture.ts";
import { type Answering, type DnsServer, dnsServer } from "./dns-server.ts";

const refusing = (code: string): Error => Object.assign(new Error("canary"), { code });

describe("what is remembered of a name", () => {
  interface Bed {
    readonly resolve: Resolve;
    readonly clock: { now: number };
    readonly asked: string[];
    answer: () => Promise<DnsAnswer>;
  }

  function bed(first: () => Promise<DnsAnswer>, options: ResolverOptions = {}): Bed {
    const clock = { now: 0 };
    const asked: string[] = [];
    const made: Bed = {
      clock,
      asked,
      answer: first,
      resolve: createResolver({
        monotonicMs: () => clock.now,
        ask: (host) => {
          asked.push(host);
          return made.answer();
        },
        ...options,
      }),
    };
    return made;
  }
  const good =
    (address: string, ttlMs = 60_000) =>
    async (): Promise<DnsAnswer> => ({ addresses: [address], ttlMs });
  const bad = (code: string) => async (): Promise<DnsAnswer> => {
    throw refusing(code);
  };

  test("an answer serves until its TTL, and not a millisecond longer", async () => {
    const { resolve, clock, asked } = bed(good("192.0.2.1"));
    await resolve("a.test");
    clock.now = 59_999;
    await resolve("a.test");
    expect(asked.length).toBe(1);
    clock.now = 60_000;
    await resolve("a.test");
    expect(asked.length).toBe(2);
  });

  test("a TTL of a day counts as 300 s", async () => {
    const { resolve, clock, asked } = bed(good("192.0.2.1", 86_400_000));
    await resolve("a.test");
    clock.now = 300_000;
    await resolve("a.test");
    expect(asked.length).toBe(2);
  });

  test("R07, R20: a TTL of 0 is asked for anew each time, but once for all who ask together", async () => {
    const { resolve, asked } = bed(good("192.0.2.1", 0));
    await Promise.all(Array.from({ length: 50 }, () => resolve("a.test")));
    expect(asked.length).toBe(1);
    await resolve("a.test");
    expect(asked.length).toBe(2);
  });

  test.each(["ENOTFOUND", "ESERVFAIL", "ETIMEOUT"])("R20: %s is remembered for a second at most", async (code) => {
    const { resolve, clock, asked } = bed(bad(code));
    expect(await codeOf(resolve("a.test"))).toBe(code);
    clock.now = 999;
    expect(await codeOf(resolve("a.test"))).toBe(code);
    expect(asked.length).toBe(1);
    clock.now = 1_000;
    expect(await codeOf(resolve("a.test"))).toBe(code);
    expect(asked.length).toBe(2);
  });

  test("R20: a client that throws at once is asked again later", async () => {
    const under = bed(() => {
      throw refusing("EBROKEN");
    });
    expect(await codeOf(under.resolve("a.test"))).toBe("EBROKEN");
    under.clock.now = 1_000;
    under.answer = good("192.0.2.1");
    expect(await under.resolve("a.test")).toEqual(["192.0.2.1"]);
  });

  test("R20: in an outage the last answer serves, for an hour; then the failure is told", async () => {
    const under = bed(good("192.0.2.1"));
    await under.resolve("a.test");
    under.answer = bad("ESERVFAIL");
    under.clock.now = 60_000;
    expect(await under.resolve("a.test")).toEqual(["192.0.2.1"]);
    under.clock.now = 60_500;
    expect(await under.resolve("a.test")).toEqual(["192.0.2.1"]);
    expect(under.asked.length).toBe(2);
    under.clock.now = 3_599_999;
    expect(await under.resolve("a.test")).toEqual(["192.0.2.1"]);
    under.clock.now = 3_601_000;
    expect(await codeOf(under.resolve("a.test"))).toBe("ESERVFAIL");
  });

  test("R20: a second after the outage the new answer is there", async () => {
    const under = bed(good("192.0.2.1"));
    await under.resolve("a.test");
    under.answer = bad("ETIMEOUT");
    under.clock.now = 60_000;
    await under.resolve("a.test");
    under.answer = good("192.0.2.2");
    under.clock.now = 61_000;
    expect(await under.resolve("a.test")).toEqual(["192.0.2.2"]);
  });

  test("R20: a server that is silent costs half a second while there is a last answer", async () => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    const under = bed(good("192.0.2.1"));
    await under.resolve("a.test");
    under.clock.now = 60_000;
    under.answer = () => new Promise(() => {});
    let got: readonly string[] | undefined;
    const asking = under.resolve("a.test").then((addresses) => (got = addresses));
    await vi.advanceTimersByTimeAsync(499);
    expect(got).toBeUndefined();
    await vi.advanceTimersByTimeAsync(1);
    expect(await asking).toEqual(["192.0.2.1"]);
  });

  test("R20: a name that the server says is gone has no last answer", async () => {
    const under = bed(good("192.0.2.1"));
    await under.resolve("a.test");
    under.answer = bad("ENOTFOUND");
    under.clock.now = 60_000;
    expect(await codeOf(under.resolve("a.test"))).toBe("ENOTFOUND");
    under.answer = bad("ESERVFAIL");
    under.clock.now = 61_000;
    expect(await codeOf(under.resolve("a.test"))).toBe("ESERVFAIL");
  });
});

describe("DNS itself", () => {
  async function served(answering: Answering): Promise<{ server: DnsServer; resolve: Resolve }> {
    const server = await dnsServer(answering);
    cleanups.push(() => server.close());
    return { server, resolve: createResolver({ servers: [server.address], timeoutMs: 50 }) };
  }
  const a = (data: string, ttl = 60): { type: "A"; ttl: number; data: string } => ({ type: "A", ttl, data });

  test("both families, and the smaller TTL of the two", async () => {
    const clock = { now: 0 };
    const six = { type: "AAAA" as const, ttl: 7, data: "2600:1f18:0:0:0:0:0:1" };
    const server = await dnsServer((_, type) => ({ records: type === "A" ? [a("52.94.5.10", 30)] : [six] }));
    cleanups.push(() => server.close());
    const resolve = createResolver({ servers: [server.address], monotonicMs: () => clock.now });
    expect(await resolve("a.test")).toEqual(["2600:1f18::1", "52.94.5.10"]);
    clock.now = 6_999;
    await resolve("a.test");
    expect(server.asked.sort()).toEqual(["a.test A", "a.test AAAA"]);
    clock.now = 7_000;
    await resolve("a.test");
    expect(server.asked.length).toBe(4);
  });

  test("no search domains, and one family alone is an answer", async () => {
    const { server, resolve } = await served((_, type) =>
      type === "A" ? { records: [a("52.94.5.10")] } : { rcode: 2 },
    );
    expect(await resolve("single")).toEqual(["52.94.5.10"]);
    expect(new Set(server.asked)).toEqual(new Set(["single A", "single AAAA"]));
  });

  test.each<[string, Answering, string]>([
    ["SERVFAIL", () => ({ rcode: 2 }), "ESERVFAIL"],
    ["NXDOMAIN", () => ({ rcode: 3 }), "ENOTFOUND"],
    ["no data", () => ({}), "ENODATA"],
    ["silence", () => "silence", "ETIMEOUT"],
    ["NXDOMAIN and SERVFAIL", (_, type) => ({ rcode: type === "A" ? 3 : 2 }), "ESERVFAIL"],
  ])("R20: %s", async (_, answering, code) => {
    const { resolve } = await served(answering);
    expect(await codeOf(resolve("a.test"))).toBe(code);
  });

  test("R20: 4 000 addresses over TCP are read, and 32 of them looked at", async () => {
    const records = Array.from({ length: 4_000 }, (_, i) => a(`10.0.${i >> 8}.${i & 255}`));
    const { resolve } = await served((_, type) => (type === "A" ? { records, truncated: true } : {}));
    expect((await resolve("a.test")).length).toBe(4_000);
    const under = await proxy({ allowlist: ["a.test:443"], resolve });
    expect(bodyOf(await under.raw(connect("a.test:443")))).toMatchObject({ reason: "ADDRESS_NOT_PERMITTED" });
  });

  test("R20: no resolver at the start, and the proxy serves when there is one", async () => {
    const port = await upstream((socket) => socket.pipe(socket), "127.0.0.2");
    const server = await dnsServer(() => "silence");
    cleanups.push(() => server.close());
    const clock = { now: 0 };
    const resolve = createResolver({ servers: [server.address], timeoutMs: 20, monotonicMs: () => clock.now });
    const under = await proxy({ allowlist: [{ target: `echo.test:${port}`, allowPrivate: true }], resolve });
    expect(bodyOf(await under.raw(connect(`echo.test:${port}`)))).toMatchObject({ reason: "ETIMEOUT" });
    server.answering = (_, type) => (type === "A" ? { records: [a("127.0.0.2")] } : {});
    clock.now = 1_000;
    await lived(under, port);
    expect(under.service.stats()).toMatchObject({ resolutions: 2, resolutionFailures: 1, connectFailures: 0 });
  });

  test("R09: a CNAME to a name that is not allowed: the asked name and the address count, and are logged", async () => {
    const port = await upstream((socket) => socket.pipe(socket), "127.0.0.2");
    const cname = { type: "CNAME" as const, ttl: 60, data: "elsewhere.test" };
    const { resolve } = await served((_, type) => (type === "A" ? { records: [cname, a("127.0.0.2")] } : {}));
    const target = `echo.test:${port}`;
    const under = await proxy({ allowlist: [{ target, allowPrivate: true }], resolve });
    expect(statusOf(await under.raw(connect(`elsewhere.test:${port}`)))).toBe("403");
    await lived(under, port);
    expect(under.events).toContainEqual(expect.objectContaining({ event: "connected", target }));
  });

  test("R06: the address is judged at each dial, also when the answer was kept", async () => {
    const { server, resolve } = await served((_, type) => (type === "A" ? { records: [a("169.254.169.254")] } : {}));
    const under = await proxy({ allowlist: [{ target: "a.test:80", allowPrivate: true }], resolve });
    for (let i = 0; i < 3; i++) {
      expect(bodyOf(await under.raw(connect("a.test:80")))).toMatchObject({ reason: "ADDRESS_NOT_PERMITTED" });
    }
    expect(server.asked.length).toBe(2);
  });

  test("the system's way knows /etc/hosts", async () => {
    expect(await createResolver({ source: "system" })("localhost")).toContain("127.0.0.1");
  });
});
