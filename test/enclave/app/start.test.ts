/**
 * An application's life in an enclave: it comes up whole or not at all, serves, and ends in order.
 */
import { readFileSync } from "node:fs";
import { connect as tlsConnect } from "node:tls";
import { describe, expect, test } from "vitest";
import type { EnclaveDefinition } from "../../../enclave/app/start.ts";
import { EnclaveError } from "../../../shared/errors/index.ts";
import { addressOf } from "../../../shared/transport/address.ts";
import { APP_PORT } from "../../../shared/transport/ports.ts";
import { codeOf } from "../../transport/streams.ts";
import { makeWorld, transport, type World } from "./world.ts";

type App = EnclaveDefinition<unknown, unknown>;
const hello: App = { tls: "off", fetch: () => new Response("hello") };
const isListening = (world: World): Promise<string> =>
  codeOf(transport.connect(addressOf(world.platform.self, APP_PORT)).then((socket) => socket.destroy()));

describe("an application", () => {
  test("comes up, answers, and tells its parent what the doctor saw", async () => {
    const world = await makeWorld();
    const enclave = await world.launch(hello);
    expect(await world.ask("/")).toMatchObject({ status: 200, text: "hello" });
    await enclave.stop();
    expect(world.lines.map(({ event }) => event)).toEqual(["sound", "ready", "stopping", "stopped"]);
    expect(world.lines[0]?.fields).toMatchObject({ debug: false, driftMs: expect.any(Number) });
  });

  test("gets the image's configuration as its reader gives it", async () => {
    const world = await makeWorld();
    await world.launch(
      {
        tls: "off",
        readConfig: (json) => ({ limit: Number((json as { limit: string }).limit) }),
        fetch: (_, env) => Response.json({ limit: env.config.limit }),
      },
      { config: { limit: "7" } },
    );
    expect((await world.ask("/")).text).toBe('{"limit":7}');
  });

  test.each<[string, Partial<App>]>([
    [
      "a reader of its configuration",
      {
        readConfig: () => {
          throw new EnclaveError("ERR_ENCLAVE_ENTROPY", { rule: "x" });
        },
      },
    ],
    ["its own start", { start: () => Promise.reject(new EnclaveError("ERR_ENCLAVE_ENTROPY", { rule: "x" })) }],
  ])("that fails in %s does not listen, and the parent is told the code alone", async (_, changes) => {
    const world = await makeWorld();
    expect(await codeOf(world.launch({ ...hello, ...changes }))).toBe("ERR_ENCLAVE_ENTROPY");
    expect(await isListening(world)).toBe("ERR_TRANSPORT_UNREACHABLE");
    expect(world.lines.at(-1)).toMatchObject({ event: "not started", fields: { code: "ERR_ENCLAVE_ENTROPY" } });
  });

  test("G10: an error that is no refusal is a number outside, and its text nowhere", async () => {
    const canary = "canary-3f9d5c41a7b2e860";
    const world = await makeWorld();
    const enclave = await world.launch({
      tls: "off",
      fetch: () => {
        throw new RangeError(canary, { cause: canary });
      },
    });
    const answer = await world.ask("/");
    expect(answer.status).toBe(500);
    const { details } = JSON.parse(answer.text) as { details: { id: string } };
    await enclave.stop();
    expect(world.lines.find(({ event }) => event === "internal error")?.fields).toEqual({
      id: details.id,
      name: "RangeError",
    });
    expect(answer.text + Buffer.concat(world.crossed).toString("latin1")).not.toContain(canary);
    expect(Buffer.concat(world.crossed).toString("latin1")).toContain(details.id);
  });

  test("does not come up without a word on TLS", async () => {
    const world = await makeWorld();
    await expect(world.launch({ fetch: hello.fetch } as App)).rejects.toThrow(TypeError);
  });

  test("with attested TLS speaks nothing else", async () => {
    const world = await makeWorld();
    await world.launch({ tls: "attested", fetch: (request) => new Response(new URL(request.url).protocol) });
    await expect(world.ask("/")).rejects.toThrow();
    const socket = await transport.connect(addressOf(world.platform.self, APP_PORT));
    const secured = tlsConnect({ socket, rejectUnauthorized: false, minVersion: "TLSv1.3" });
    secured.write("GET /x HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    const chunks: Buffer[] = [];
    for await (const chunk of secured) chunks.push(chunk as Buffer);
    expect(Buffer.concat(chunks).toString()).toMatch(/^HTTP\/1.1 200[\s\S]*https:/);
  });
});

describe("the end of an application", () => {
  test("lets a request finish, takes no more, and runs the app's stop last", async () => {
    const world = await makeWorld();
    const order: string[] = [];
    let release: () => void = () => {};
    let begun: () => void = () => {};
    const started = new Promise<void>((resolve) => {
      begun = resolve;
    });
    const enclave = await world.launch({
      tls: "off",
      fetch: async () => {
        begun();
        await new Promise<void>((resolve) => {
          release = resolve;
        });
        order.push("answered");
        return new Response("whole");
      },
      stop: () => void order.push("stop"),
    });
    const answer = world.ask("/");
    await started;
    const stopped = enclave.stop();
    expect(await isListening(world)).toBe("ERR_TRANSPORT_UNREACHABLE");
    release();
    expect(await answer).toMatchObject({ status: 200, text: "whole" });
    expect(await stopped).toEqual({ forced: 0 });
    expect(order).toEqual(["answered", "stop"]);
  });

  test("cuts at the deadline what does not end, and says how much", async () => {
    const world = await makeWorld();
    let begun: () => void = () => {};
    const started = new Promise<void>((resolve) => {
      begun = resolve;
    });
    const enclave = await world.launch({
      tls: "off",
      shutdownMs: 20,
      fetch: () => {
        begun();
        return new Promise<Response>(() => {});
      },
    });
    const answer = world.ask("/");
    answer.catch(() => {});
    await started;
    expect(await enclave.stop()).toEqual({ forced: 1 });
    await expect(answer).rejects.toThrow();
  });

  test("connections that are kept do not hold it up: one idle, one whose request has just ended", async () => {
    const world = await makeWorld();
    let release: () => void = () => {};
    let begun: () => void = () => {};
    const started = new Promise<void>((resolve) => {
      begun = resolve;
    });
    const enclave = await world.launch({
      tls: "off",
      // Less than Node keeps an idle connection.
      shutdownMs: 2_000,
      async fetch(request) {
        if (new URL(request.url).pathname === "/now") return new Response("now");
        begun();
        await new Promise<void>((resolve) => {
          release = resolve;
        });
        return new Response("later");
      },
    });
    const open = async (path: string): Promise<unknown> => {
      const socket = await transport.connect(addressOf(world.platform.self, APP_PORT));
      socket.on("error", () => {}).write(`GET ${path} HTTP/1.1\r\nHost: x\r\n\r\n`);
      return new Promise((resolve) => socket.once("data", resolve));
    };
    await open("/now");
    const answered = open("/later");
    await started;
    const stopped = enclave.stop();
    release();
    await answered;
    expect(await stopped).toEqual({ forced: 0 });
  });
});

describe("the example", () => {
  test("uses the SDK and nothing beneath it", () => {
    for (const file of ["enclave.ts", "store.ts"]) {
      const text = readFileSync(new URL(`../../../examples/joint-analysis/${file}`, import.meta.url), "utf8");
      expect(text, file).not.toMatch(/transport|@aws-sdk|kms\/|egress|nsm/i);
    }
  });
});
