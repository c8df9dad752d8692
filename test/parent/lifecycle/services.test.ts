import { linkSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import type { Duplex } from "node:stream";
import { describe, expect, test } from "vitest";
import { connectThroughParent } from "../../../enclave/egress/connect.ts";
import type { ParentEvent } from "../../../parent/observability/observe.ts";
import { type Services, type ServicesOptions, startServices } from "../../../parent/services.ts";
import { type Address, addressOf, type Peer } from "../../../shared/transport/address.ts";
import { APP_PORT, EGRESS_PORT } from "../../../shared/transport/ports.ts";
import { codeOf, collect, digest, pattern, send } from "../../transport/streams.ts";
import { cleanups, echo, freshPeer, transport, until } from "../fixture.ts";

const DOOR = 8_000;
const loopback: Address = { kind: "tcp", host: "127.0.0.1", port: 0 };

interface Bed {
  readonly services: Services;
  readonly peer: Peer;
  readonly events: ParentEvent[];
  readonly ingress: Address;
  through(host?: string): Promise<Duplex>;
}

/** All services around an echo that is both the enclave's application and the only place that it may reach. */
async function start(changes: Partial<ServicesOptions> = {}): Promise<Bed> {
  const peer = freshPeer();
  const port = await echo();
  const app = await transport.listen(addressOf(peer, APP_PORT), (socket) => socket.pipe(socket));
  const events: ParentEvent[] = [];
  const hosts = { "echo.test:443": `127.0.0.1:${port}`, "other.test:443": `127.0.0.1:${port}` };
  const services = await startServices({
    ...{ transport, at: (at: number) => addressOf(peer, at), log: (event: ParentEvent) => void events.push(event) },
    egress: {
      rules: { allowlist: ["echo.test:443"], hosts },
      doors: [
        { kind: "connect", port: EGRESS_PORT },
        { kind: "port", port: DOOR, target: "echo.test:443" },
      ],
    },
    ingress: { listen: loopback, targets: [app.address] },
    ...changes,
  });
  cleanups.push(
    () => app.close(),
    () => services.close(),
  );
  const through = async (host = "echo.test"): Promise<Duplex> => {
    const socket = await connectThroughParent({ transport, parent: peer, host, port: 443 });
    cleanups.push(() => socket.destroy());
    return socket;
  };
  return { services, peer, events, ingress: services.ingress?.address ?? loopback, through };
}

/** What comes back of what is sent. */
async function echoed(socket: Duplex, bytes: Uint8Array): Promise<string> {
  const [answer] = await Promise.all([collect(socket), send(socket, bytes).then(() => socket.end())]);
  return digest(answer);
}

describe("drain", () => {
  test("R27: a hundred transfers that are under way end whole, and nobody new is taken", async () => {
    const { services, ingress, peer } = await start();
    const clients = await Promise.all(Array.from({ length: 100 }, () => transport.connect(ingress)));
    const bytes = pattern(65_536);
    for (const client of clients) client.write(bytes.subarray(0, 1_000));
    await until(() => services.stats().ingress?.open === 100);
    const drained = services.drain(30_000);
    expect(await codeOf(transport.connect(ingress))).toBe("ERR_TRANSPORT_UNREACHABLE");
    const answers = await Promise.all(clients.map((client) => echoed(client, bytes.subarray(1_000))));
    expect(new Set(answers)).toEqual(new Set([digest(bytes)]));
    expect(await drained).toEqual({ forced: 0 });
    expect(await codeOf(transport.connect(addressOf(peer, EGRESS_PORT)))).toBe("ERR_TRANSPORT_UNREACHABLE");
  });

  test("R27: what does not end is ended at the deadline, and counted, on both sides of the enclave", async () => {
    const { services, ingress, through } = await start();
    const stuck = [await transport.connect(ingress), await through(), await through()];
    const ended = stuck.map((socket) => collect(socket).catch(() => undefined));
    await until(() => services.stats().ingress?.open === 1 && services.stats().egress?.open === 2);
    expect(await services.drain(200)).toEqual({ forced: 3 });
    await Promise.all(ended);
    for (const socket of stuck) socket.destroy();
  });

  test("while clients are served to the end, the enclave still gets out", async () => {
    const { services, ingress, through } = await start();
    const client = await transport.connect(ingress);
    await until(() => services.stats().ingress?.open === 1);
    const drained = services.drain(30_000);
    const bytes = pattern(10_000);
    expect(await echoed(await through(), bytes)).toBe(digest(bytes));
    expect(await echoed(client, bytes)).toBe(digest(bytes));
    expect(await drained).toEqual({ forced: 0 });
  });
});

describe("update", () => {
  test("R15: a list that is not usable changes nothing at any door; a good one holds at all of them", async () => {
    const { services, peer, through } = await start();
    const open = await through();
    const bad = { allowlist: ["other.test:443", "*:443"] };
    expect(() => services.update(bad)).toThrow(expect.objectContaining({ code: "ERR_CONFIG_FIELD_INVALID" }));
    await through();
    expect(await codeOf(through("other.test"))).toBe("ERR_TRANSPORT_HOST_NOT_ALLOWED");

    services.update({ allowlist: ["other.test:443"] });
    expect(await codeOf(through("echo.test"))).toBe("ERR_TRANSPORT_HOST_NOT_ALLOWED");
    const door = await transport.connect(addressOf(peer, DOOR));
    expect((await collect(door)).length).toBe(0);
    const bytes = pattern(1_000);
    expect(await echoed(open, bytes)).toBe(digest(bytes));
  });

  test("the doors' figures are those of one service", async () => {
    const { services, peer, through } = await start();
    const bytes = pattern(1_000);
    expect(await echoed(await through(), bytes)).toBe(digest(bytes));
    expect(await echoed(await transport.connect(addressOf(peer, DOOR)), bytes)).toBe(digest(bytes));
    await until(() => services.stats().egress?.open === 0);
    expect(services.stats().egress).toMatchObject({
      accepted: 2,
      failed: 0,
      refused: 0,
      bytesToEnclave: expect.any(Number),
    });
    expect(Object.keys(services.stats()).sort()).toEqual(["egress", "ingress"]);
  });
});

describe("start", () => {
  test("R04: an address that is listed as it is written is dialled, though no name server knows it", async () => {
    const port = await echo();
    const target = `127.0.0.1:${port}`;
    const resolve = (): Promise<never> => Promise.reject(new Error("a literal was asked for"));
    const { peer } = await start({
      egress: {
        rules: { allowlist: [{ target, allowPrivate: true }] },
        doors: [{ kind: "port", port: DOOR, target }],
        resolve,
      },
    });
    const bytes = pattern(1_000);
    expect(await echoed(await transport.connect(addressOf(peer, DOOR)), bytes)).toBe(digest(bytes));
  });

  test("a second door that can not be bound leaves none of them", async () => {
    const peer = freshPeer();
    const taken = await transport.listen(addressOf(peer, DOOR), () => undefined);
    cleanups.push(() => taken.close());
    const doors = [EGRESS_PORT, DOOR].map((port) => ({ kind: "connect", port }) as const);
    const options = { transport, at: (port: number) => addressOf(peer, port), log: () => undefined };
    const starting = startServices({ ...options, egress: { rules: { allowlist: ["echo.test:443"] }, doors } });
    expect(await codeOf(starting)).toBe("ERR_TRANSPORT_UNREACHABLE");
    expect(await codeOf(transport.connect(addressOf(peer, EGRESS_PORT)))).toBe("ERR_TRANSPORT_UNREACHABLE");
  });

  test("R28: the socket of a process that died is bound again, a file that is none is left alone", async () => {
    const peer = freshPeer();
    const at = addressOf(peer, EGRESS_PORT);
    const path = at.kind === "unix" ? at.path : "";
    const options = { transport, at: () => at, log: () => undefined };
    const egress = {
      rules: { allowlist: ["echo.test:443"] },
      doors: [{ kind: "connect", port: EGRESS_PORT }],
    } as const;
    writeFileSync(path, "not a socket");
    expect(await codeOf(startServices({ ...options, egress }))).toBe("ERR_TRANSPORT_UNREACHABLE");

    rmSync(path);
    // What a killed process leaves: a socket file that nobody answers on.
    await leaveSocket(path);
    const services = await startServices({ ...options, egress });
    cleanups.push(() => services.close());
    (await transport.connect(at)).destroy();
  });
});

/** Node removes a server's socket when it closes: the file is put back as a link to the same socket. */
async function leaveSocket(path: string): Promise<void> {
  const server = createServer().listen(`${path}.x`);
  await new Promise((resolve) => server.once("listening", resolve));
  linkSync(`${path}.x`, path);
  await new Promise((resolve) => server.close(resolve));
}
