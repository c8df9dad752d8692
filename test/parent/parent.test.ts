import { describe, expect, test } from "vitest";
import { parentCredentials } from "../../enclave/egress/credentials.ts";
import type { ContainerCredentials } from "../../parent/credentials/credentials.ts";
import { startIngress } from "../../parent/ingress/ingress.ts";
import type { ParentEvent } from "../../parent/observability/observe.ts";
import { type ParentOptions, startParent } from "../../parent/parent.ts";
import { type Address, addressOf, type Peer } from "../../shared/transport/address.ts";
import { APP_PORT, CREDENTIALS_PORT, EGRESS_PORT, LOG_PORT } from "../../shared/transport/ports.ts";
import type { Transport } from "../../shared/transport/transport.ts";
import { codeOf, collect, digest, pattern, send } from "../transport/streams.ts";
import { cleanups, freshPeer, transport } from "./fixture.ts";

const CREDENTIALS: ContainerCredentials = {
  AccessKeyId: "ASIAEXAMPLEEXAMPLE00",
  SecretAccessKey: "secret-access-key-of-the-role",
  Token: "token",
  Expiration: "2999-01-01T00:00:00Z",
};

describe("ingress", () => {
  const listen: Address = { kind: "tcp", host: "127.0.0.1", port: 0 };

  test("bytes go to the enclave and back untouched, half-close kept, and the tap sees them", async () => {
    const enclave = freshPeer();
    const target = addressOf(enclave, APP_PORT);
    const app = await transport.listen(target, (socket) => {
      void collect(socket).then((question) => send(socket, question).then(() => socket.end()));
    });
    let counts = { "from-enclave": 0, "to-enclave": 0 };
    const tap = (_: string, direction: keyof typeof counts, bytes: Uint8Array): void => {
      counts = { ...counts, [direction]: counts[direction] + bytes.length };
    };
    const ingress = await startIngress({ transport, listen, targets: [target], log: () => {}, tap });
    cleanups.push(
      () => app.close(),
      () => ingress.close(),
    );
    const client = await transport.connect(ingress.address);
    const bytes = pattern(4 * 1_048_576);
    const [answer] = await Promise.all([collect(client), send(client, bytes).then(() => client.end())]);
    expect(digest(answer)).toBe(digest(bytes));
    expect(counts).toEqual({ "from-enclave": bytes.length, "to-enclave": bytes.length });
  });

  test("no enclave: the client is closed, the event has its code, and the next one finds it", async () => {
    const target = addressOf(freshPeer(), APP_PORT);
    const events: ParentEvent[] = [];
    const ingress = await startIngress({
      transport,
      listen,
      targets: [target],
      log: (event) => void events.push(event),
    });
    cleanups.push(() => ingress.close());
    expect((await collect(await transport.connect(ingress.address))).length).toBe(0);
    expect(events).toContainEqual(expect.objectContaining({ event: "failed", code: "ERR_TRANSPORT_UNREACHABLE" }));
    const app = await transport.listen(target, (socket) => socket.end("here"));
    cleanups.push(() => app.close());
    expect((await collect(await transport.connect(ingress.address))).toString()).toBe("here");
    expect(ingress.stats()).toMatchObject({ accepted: 2, failed: 1 });
  });
});

describe("startParent", () => {
  const options = (peer: Peer): ParentOptions => ({
    transport,
    peer,
    allowlist: [],
    credentials: () => CREDENTIALS,
    logSink: () => {},
    ingress: { kind: "tcp", host: "127.0.0.1", port: 0 },
    log: () => {},
  });

  test("runs all four, and closes all four", async () => {
    const peer = freshPeer();
    const parent = await startParent(options(peer));
    expect(await parentCredentials({ transport, parent: peer })()).toBeDefined();
    expect(Object.keys(parent.stats()).sort()).toEqual(["credentials", "egress", "ingress", "log"]);
    await parent.close();
    expect(await codeOf(parentCredentials({ transport, parent: peer, patienceMs: 0 })())).toBe(
      "ERR_TRANSPORT_UNREACHABLE",
    );
    expect(await codeOf(transport.connect(parent.ingress))).toBe("ERR_TRANSPORT_UNREACHABLE");
  });

  test("over vsock it serves its enclave and nobody else on the instance: egress, credentials, log", async () => {
    const asked: [number, unknown][] = [];
    const recording: Transport = {
      connect: transport.connect,
      listen: async (address, onConnection, listenOptions) => {
        if (address.kind === "vsock") asked.push([address.port, listenOptions?.allowedCids]);
        return transport.listen({ kind: "tcp", host: "127.0.0.1", port: 0 }, onConnection);
      },
    };
    const given = { ...options(freshPeer()), transport: recording };
    const parent = await startParent({
      ...given,
      peer: { kind: "vsock", cid: 0xffff_ffff },
      enclave: { kind: "vsock", cid: 16 },
    });
    await parent.close();
    expect(asked.sort()).toEqual([EGRESS_PORT, CREDENTIALS_PORT, LOG_PORT].map((port) => [port, [16]]));
  });

  test("when one can not start, none is left running", async () => {
    const peer = freshPeer();
    const taken = await transport.listen({ kind: "tcp", host: "127.0.0.1", port: 0 }, () => {});
    cleanups.push(() => taken.close());
    expect(await codeOf(startParent({ ...options(peer), ingress: taken.address }))).toBe("ERR_TRANSPORT_UNREACHABLE");
    expect(await codeOf(parentCredentials({ transport, parent: peer, patienceMs: 0 })())).toBe(
      "ERR_TRANSPORT_UNREACHABLE",
    );
  });

  test.each<[string, (given: Record<string, unknown>) => void, string, string]>([
    ...["transport", "peer", "allowlist", "credentials", "logSink", "ingress", "log"].map(
      (field): [string, (given: Record<string, unknown>) => void, string, string] => [
        `without ${field}`,
        (given) => delete given[field],
        "ERR_CONFIG_FIELD_MISSING",
        field,
      ],
    ),
    ["with a field unknown", (given) => (given["allowList"] = []), "ERR_CONFIG_FIELD_UNKNOWN", "allowList"],
    ["with an allowlist as text", (given) => (given["allowlist"] = "*"), "ERR_CONFIG_FIELD_INVALID", "allowlist"],
    ["with a wildcard", (given) => (given["allowlist"] = ["*:443"]), "ERR_CONFIG_FIELD_INVALID", "allowlist[0]"],
    ["with a peer as text", (given) => (given["peer"] = "/run"), "ERR_CONFIG_FIELD_INVALID", "peer"],
    [
      "with ingress on vsock",
      (given) => (given["ingress"] = { kind: "vsock", cid: 3, port: 1 }),
      "ERR_CONFIG_FIELD_INVALID",
      "ingress",
    ],
    [
      "on vsock, without the enclave's peer",
      (given) => (given["peer"] = { kind: "vsock", cid: 3 }),
      "ERR_CONFIG_FIELD_MISSING",
      "enclave",
    ],
  ])("%s", async (_, change, code, field) => {
    const given: Record<string, unknown> = { ...options(freshPeer()) };
    change(given);
    const error = await startParent(given as unknown as ParentOptions).catch((e: unknown) => e);
    expect(error).toMatchObject({ name: "ConfigError", code, details: { field } });
  });
});
