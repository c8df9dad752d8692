import { connect as tcpConnect } from "node:net";
import { networkInterfaces } from "node:os";
import type { Duplex } from "node:stream";
import { describe, expect, test, vi } from "vitest";
import { endpointsOf, proxyHeader } from "../../../parent/ingress/proxy-protocol.ts";
import { type Address, addressOf, formatAddress } from "../../../shared/transport/address.ts";
import { APP_PORT } from "../../../shared/transport/ports.ts";
import type { Transport } from "../../../shared/transport/transport.ts";
import { closed, collect, digest, pattern, send } from "../../transport/streams.ts";
import { freshPeer, transport, turns, until } from "../fixture.ts";
import { answering, door, enclave, LISTEN } from "./bed.ts";

/** An enclave that neither accepts nor refuses, beside those that do. */
function withSilent(silent: Address, asked: () => void = () => {}): Transport {
  return {
    listen: transport.listen,
    connect(address, options = {}) {
      if (formatAddress(address) !== formatAddress(silent)) return transport.connect(address, options);
      asked();
      const { signal, timeoutMs = 1 } = options;
      return new Promise((_, reject) => {
        setTimeout(() => reject(new Error("timeout")), timeoutMs);
        signal?.addEventListener("abort", () => reject(signal.reason), { once: true });
      });
    },
  };
}
const somewhere = (): Address => addressOf(freshPeer(), APP_PORT);
const fakeTimers = (): unknown =>
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "setInterval", "clearInterval"] });

describe("a door for several enclaves", () => {
  test("connections are shared out, and counted", async () => {
    const enclaves = await Promise.all(["a", "b", "c"].map((name) => enclave(answering(name))));
    const { service } = await door({ targets: enclaves.map(({ address }) => address) });
    const clients = [];
    for (let i = 0; i < 12; i++) {
      clients.push(await transport.connect(service.address));
      await until(() => enclaves.reduce((sum, { connections }) => sum + connections.length, 0) === i + 1);
    }
    expect(enclaves.map(({ connections }) => connections.length)).toEqual([4, 4, 4]);
    expect(service.health().map(({ open }) => open)).toEqual([4, 4, 4]);
    for (const client of clients) client.end("x");
    expect((await Promise.all(clients.map(collect))).map(String).sort().join()).toMatch(
      /^(a: x,){4}(b: x,){4}(c: x,?){4}$/,
    );
    await until(() => service.stats().open === 0);
    expect(service.health().map(({ open }) => open)).toEqual([0, 0, 0]);
    expect(service.stats()).toMatchObject({ accepted: 12, failed: 0, bytesToEnclave: 12, bytesFromEnclave: 48 });
  });

  test("R18: an enclave that refuses costs no client anything: the next one serves, and soon it is not tried", async () => {
    const dead = somewhere();
    const well = await enclave(answering("well"));
    const { service, ask, events } = await door({ targets: [dead, well.address], balance: "round-robin" });
    for (let i = 0; i < 6; i++) expect(await ask()).toBe("well: ?");
    expect(service.stats()).toMatchObject({ accepted: 6, failed: 0 });
    expect(events.filter(({ event }) => event === "unhealthy")).toEqual([
      { service: "ingress", event: "unhealthy", target: formatAddress(dead) },
    ]);
    expect(service.health()[0]).toMatchObject({ healthy: false, open: 0 });
  });

  test("R18: an enclave that is silent leaves time for the next", async () => {
    const silent = somewhere();
    const well = await enclave(answering("well"));
    let asked = 0;
    fakeTimers();
    const { ask } = await door({ targets: [silent, well.address], transport: withSilent(silent, () => asked++) });
    const answer = ask();
    await until(() => asked === 1);
    await vi.advanceTimersByTimeAsync(2_000);
    expect(await answer).toBe("well: ?");
  });

  test("R18: when all are silent the client is let go at the deadline", async () => {
    const silent = somewhere();
    let asked = 0;
    fakeTimers();
    const { ask, events } = await door({
      ...{ targets: [silent], transport: withSilent(silent, () => asked++) },
      limits: { attemptTimeoutMs: 60_000, connectTimeoutMs: 5_000 },
    });
    const answer = ask();
    await until(() => asked === 1);
    await vi.advanceTimersByTimeAsync(5_000);
    expect(await answer).toBe("");
    expect(events).toContainEqual(expect.objectContaining({ event: "failed", code: "ERR_TRANSPORT_TIMEOUT" }));
  });

  test("once an enclave has been reached there is no second one: what was sent is not sent again", async () => {
    const dying = await enclave((socket) => socket.once("data", () => socket.destroy()));
    const other = await enclave(answering("other"));
    const { service } = await door({ targets: [dying.address, other.address], balance: "round-robin" });
    const client = await transport.connect(service.address);
    client.write("transfer 100");
    expect((await collect(client).catch(() => Buffer.alloc(0))).length).toBe(0);
    await closed(client.destroy());
    expect([dying.connections.length, other.connections.length]).toEqual([1, 0]);
  });

  test("a client that leaves ends the attempt, and the enclave is not blamed", async () => {
    const silent = somewhere();
    let asked = 0;
    const { service, told } = await door({ targets: [silent], transport: withSilent(silent, () => asked++) });
    for (let i = 1; i <= 3; i++) {
      const client = tcpConnect((service.address as { port: number }).port, "127.0.0.1");
      await until(() => asked === i);
      client.resetAndDestroy();
      await until(() => service.stats().open === 0);
    }
    expect(told()).not.toContain("unhealthy");
    expect(service.health()).toMatchObject([{ healthy: true, open: 0 }]);
  });

  test("no enclave at all: the client is let go at once, and served as soon as there is one", async () => {
    const { service, ask, events } = await door({ targets: [] });
    expect(await ask()).toBe("");
    expect(events).toContainEqual(expect.objectContaining({ event: "failed", code: "ERR_TRANSPORT_UNREACHABLE" }));
    service.setTargets([(await enclave(answering("new"))).address]);
    expect(await ask()).toBe("new: ?");
  });
});

describe("an enclave that restarts", () => {
  test("R26: its clients are closed, the new one serves, connections to others go on", async () => {
    const [first, other] = [await enclave((socket) => socket.resume()), await enclave(answering("other"))];
    const { service, ask } = await door({ targets: [first.address, other.address], balance: "round-robin" });
    const doomed = await transport.connect(service.address);
    await until(() => first.connections.length === 1);
    const kept = await transport.connect(service.address);
    kept.write("half of a ");
    await until(() => other.connections.length === 1);
    await first.kill();
    await collect(doomed).catch(() => {});
    await closed(doomed.destroy());
    const second = await enclave(answering("second"));
    service.setTargets([second.address]);
    expect(await ask()).toBe("second: ?");
    kept.end("question");
    expect(String(await collect(kept))).toBe("other: half of a question");
    await until(() => service.stats().open === 0);
  });

  test("R26: an enclave that is known to be gone takes its connections along, those too whose clients do not read", async () => {
    const flood = pattern(32 * 1_048_576);
    const gone = await enclave((socket) => void send(socket, flood).catch(() => {}));
    const other = await enclave(answering("other"));
    const { service } = await door({ targets: [gone.address, other.address], balance: "round-robin" });
    const stalled = await transport.connect(service.address);
    await until(() => gone.connections[0]?.writableNeedDrain === true);
    const kept = await transport.connect(service.address);
    await until(() => other.connections.length === 1);
    await turns(20);
    service.setTargets([other.address]);
    expect(service.disconnect(gone.address)).toBe(1);
    await until(() => service.stats().open === 1);
    expect(service.disconnect(gone.address)).toBe(0);
    kept.end("x");
    expect(String(await collect(kept))).toBe("other: x");
    for (const socket of [stalled, ...gone.connections]) socket.destroy();
  });

  test("R26: a hundred kills under load: each client gets its whole answer or a closed connection, and nothing stays", async () => {
    const { service, ask } = await door({ targets: [], health: { intervalMs: 5 } });
    let current = await enclave(answering("e"));
    service.setTargets([current.address]);
    let running = true;
    const seen = new Map<string, number>();
    const client = async (): Promise<void> => {
      while (running) {
        const answer = await ask("q");
        seen.set(answer, (seen.get(answer) ?? 0) + 1);
      }
    };
    const clients = Array.from({ length: 8 }, client);
    for (let kill = 0; kill < 100; kill++) {
      const before = seen.get("e: q") ?? 0;
      await until(() => (seen.get("e: q") ?? 0) > before); // the service came back by itself
      await current.kill();
      current = await enclave(answering("e"));
      service.setTargets([current.address]);
    }
    running = false;
    await Promise.all(clients);
    expect([...seen.keys()].filter((answer) => !["e: q", "", "reset"].includes(answer))).toEqual([]);
    await until(() => service.stats().open === 0);
    expect(await ask("q")).toBe("e: q");
  });
});

describe("health checks", () => {
  test("every interval a connect: one that stops answering gets no more clients, and gets them back", async () => {
    const address = somewhere();
    const first = await enclave(answering("first"), address);
    const other = await enclave(answering("other"));
    fakeTimers();
    const health = { intervalMs: 1_000, timeoutMs: 500, unhealthyAfter: 2, healthyAfter: 2 };
    const { service, told, ask } = await door({ targets: [address, other.address], balance: "round-robin", health });
    const round = async (): Promise<void> => {
      const checked = other.connections.length;
      vi.advanceTimersByTime(1_000);
      await until(() => other.connections.length > checked);
      await turns(20);
    };
    await until(() => first.connections.length === 1 && other.connections.length === 1);
    await first.kill();
    await round();
    expect(told()).toEqual([]);
    await round();
    expect(service.health().map(({ healthy }) => healthy)).toEqual([false, true]);
    for (let i = 0; i < 4; i++) expect(await ask()).toBe("other: ?");
    const again = await enclave(answering("again"), address);
    await round();
    expect(service.health()[0]?.healthy).toBe(false);
    await round();
    expect(service.health()[0]?.healthy).toBe(true);
    expect(new Set([await ask(), await ask()])).toEqual(new Set(["again: ?", "other: ?"]));
    expect(told().filter((event) => event.endsWith("healthy"))).toEqual(["unhealthy", "healthy"]);
    await service.close();
    const checks = again.connections.length;
    vi.advanceTimersByTime(10_000);
    await turns(50);
    expect(again.connections.length).toBe(checks);
  });

  test("by default only one that clients could not reach is asked, until it answers", async () => {
    const address = somewhere();
    const other = await enclave(answering("other"));
    fakeTimers();
    const { service, ask } = await door({ targets: [address, other.address] });
    await ask();
    await ask();
    expect(service.health()[0]?.healthy).toBe(false);
    const back = await enclave(answering("back"), address);
    vi.advanceTimersByTime(2_000);
    await until(() => service.health()[0]?.healthy === true);
    vi.advanceTimersByTime(20_000);
    await turns(50);
    expect([back.connections.length, other.connections.length]).toEqual([1, 2]);
  });

  test("a silent enclave fails its check in time, and is not asked twice at once", async () => {
    const silent = somewhere();
    let asked = 0;
    fakeTimers();
    const health = { intervalMs: 100, timeoutMs: 1_000, unhealthyAfter: 1 };
    const { service } = await door({ targets: [silent], health, transport: withSilent(silent, () => asked++) });
    await vi.advanceTimersByTimeAsync(999);
    expect([asked, service.health()[0]?.healthy]).toEqual([1, true]);
    await vi.advanceTimersByTimeAsync(101);
    expect([asked, service.health()[0]?.healthy]).toEqual([2, false]);
  });
});

describe("limits", () => {
  test("R23: one more than the limit waits in vain, and is closed", async () => {
    const app = await enclave((socket) => socket.resume());
    const limits = { maxConnections: 2, maxWaiting: 1, waitTimeoutMs: 1_000 };
    const { service, told } = await door({ targets: [app.address], limits });
    const clients: Duplex[] = [];
    for (let i = 0; i < 2; i++) clients.push(await transport.connect(service.address));
    await until(() => app.connections.length === 2);
    fakeTimers();
    const third = await transport.connect(service.address);
    await until(() => service.stats().accepted === 3);
    const fourth = await transport.connect(service.address);
    expect((await collect(fourth)).length).toBe(0);
    vi.advanceTimersByTime(1_000);
    expect((await collect(third)).length).toBe(0);
    expect(service.stats()).toMatchObject({ open: 2, full: 2 });
    expect(told().filter((event) => event === "full").length).toBe(2);
    for (const client of [...clients, third, fourth]) client.destroy();
  });

  test("R19: nothing crosses for the idle time: both sides are closed", async () => {
    fakeTimers();
    const app = await enclave((socket) => socket.resume());
    const { service, told } = await door({ targets: [app.address], limits: { idleTimeoutMs: 30_000 } });
    const client = await transport.connect(service.address);
    await until(() => told().includes("connected"));
    vi.advanceTimersByTime(30_000);
    expect((await collect(client)).length).toBe(0);
    await until(() => service.stats().open === 0 && app.connections[0]?.readableEnded === true);
    client.destroy();
  });

  test("R27: draining takes no more, lets an answer of 8 MiB finish, and cuts what is left at the deadline", async () => {
    const answer = pattern(8 * 1_048_576);
    const app = await enclave(
      (socket) => void socket.once("data", (first) => first[0] === 1 && send(socket, answer).then(() => socket.end())),
    );
    fakeTimers();
    const { service, told } = await door({ targets: [app.address], health: {} });
    const [served, stuck] = [await transport.connect(service.address), await transport.connect(service.address)];
    served.write(Uint8Array.of(1));
    stuck.write(Uint8Array.of(2));
    await until(() => service.stats().open === 2 && app.connections.length === 3);
    const drained = service.drain(30_000);
    await expect(transport.connect(service.address)).rejects.toMatchObject({ code: "ERR_TRANSPORT_UNREACHABLE" });
    served.end();
    expect(digest(await collect(served))).toBe(digest(answer));
    await until(() => service.stats().open === 1);
    vi.advanceTimersByTime(30_000);
    expect(await drained).toEqual({ forced: 1 });
    // Nor is the enclave asked any more.
    expect(app.connections.length).toBe(3);
    expect(told()).toEqual(expect.arrayContaining(["draining", "drained"]));
    for (const socket of [served, stuck]) socket.destroy();
  });
});

describe("with the PROXY protocol", () => {
  const hasIpv6 = Object.values(networkInterfaces()).some((list) => list?.some(({ address }) => address === "::1"));

  test.each([
    ["127.0.0.1", "AF_INET", 28, true],
    ["::1", "AF_INET6", 52, hasIpv6],
  ])(
    "from %s the enclave gets a header with both addresses (%s), then the bytes, untouched",
    async (host, _, size, has) => {
      if (!has) return expect(hasIpv6).toBe(false);
      const app = await enclave((socket) => socket.pipe(socket));
      let tapped = Buffer.alloc(0);
      const tap = (_id: string, direction: string, bytes: Uint8Array): void => {
        if (direction === "to-enclave") tapped = Buffer.concat([tapped, bytes]);
      };
      const { service } = await door({
        targets: [app.address],
        proxyProtocol: "v2",
        listen: { ...LISTEN, host } as Address,
        tap,
      });
      const client = await transport.connect(service.address);
      const ends = endpointsOf(client);
      if (!ends) throw new Error("a TCP socket has addresses");
      const header = proxyHeader({ source: ends.destination, destination: ends.source });
      const bytes = pattern(1_048_576);
      const [echoed] = await Promise.all([collect(client), send(client, bytes).then(() => client.end())]);
      expect(header.length).toBe(size);
      expect(digest(echoed)).toBe(digest(Buffer.concat([header, bytes])));
      expect(digest(tapped)).toBe(digest(echoed));
      await until(() => service.stats().open === 0);
      expect(service.stats().bytesToEnclave).toBe(header.length + bytes.length);
    },
  );

  test("from a Unix socket the header says that the address is not known; an enclave that speaks first is heard", async () => {
    const app = await enclave((socket) => {
      socket.write("220 ready\r\n");
      answering("app")(socket);
    });
    const { ask } = await door({ targets: [app.address], proxyProtocol: "v2", listen: somewhere() });
    expect(await ask("hello")).toBe(`220 ready\r\napp: ${Buffer.from(proxyHeader(undefined))}hello`);
  });

  test("a health check says LOCAL and goes", async () => {
    const said: Promise<Buffer>[] = [];
    const app = await enclave((socket) => void said.push(collect(socket)));
    await door({ targets: [app.address], proxyProtocol: "v2", health: {} });
    await until(() => said.length === 1);
    expect((await said[0])?.toString("hex")).toBe("0d0a0d0a000d0a515549540a20000000");
  });

  test("after a failed attempt the next enclave gets the header once", async () => {
    const app = await enclave((socket) => socket.pipe(socket));
    const { ask } = await door({ targets: [somewhere(), app.address], proxyProtocol: "v2", listen: somewhere() });
    expect(await ask("x")).toBe(`${Buffer.from(proxyHeader(undefined))}x`);
  });
});
