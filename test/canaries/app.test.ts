/** What an application chokes on: bodies that can not be read, errors that quote what they choked on, a reader of configuration. */
import { Readable } from "node:stream";
import { afterEach, describe, expect, test, vi } from "vitest";
import type { EnclaveDefinition } from "../../enclave/app/start.ts";
import { Fields } from "../../enclave/exec/fields.ts";
import { DataError } from "../../shared/errors/index.ts";
import { parseJson } from "../../shared/transport/json.ts";
import { makeWorld, type World } from "../enclave/app/world.ts";
import { Hunt, plant } from "./hunt.ts";

type App = EnclaveDefinition<unknown, unknown>;
const secret = plant("plaintext");
const [inLog, inAnswer] = [plant("beacon of the log"), plant("beacon of the answers")];
afterEach(() => void vi.restoreAllMocks());

const bytesOf = async (request: Request): Promise<Uint8Array> => new Uint8Array(await request.arrayBuffer());
interface Choking {
  readonly handler: (request: Request) => Promise<unknown>;
  readonly status: number;
  readonly body: (text: string) => Uint8Array;
}
const plain = (text: string): Uint8Array => Buffer.from(text);
const strict = async (request: Request): Promise<unknown> => parseJson(await bytesOf(request));
const json = (request: Request): Promise<unknown> => request.json();

/** What handlers do with bodies that they were not made for. */
const ROWS: Readonly<Record<string, Choking>> = {
  "G01: text that is no UTF-8": {
    handler: async (request) => new TextDecoder("utf-8", { fatal: true }).decode(await bytesOf(request)),
    ...{ status: 500, body: (text) => Buffer.from(`${text}\xff\xfe`, "latin1") },
  },
  "G01: strict JSON that is no UTF-8": {
    ...{ handler: strict, status: 422, body: (text) => Buffer.from(`{"a":"${text}\xff"}`, "latin1") },
  },
  "G02: JSON that breaks off": { handler: json, status: 500, body: (text) => Buffer.from(`{"a":"${text}`) },
  "G02: JSON that is none": { handler: json, status: 500, body: plain },
  "G02: strict JSON with a key twice": {
    ...{ handler: strict, status: 422, body: (text) => Buffer.from(`{"${text}":1,"${text}":2}`) },
  },
  "G03: a validator that says what it received": {
    handler: async (request) => {
      const text = await request.text();
      throw Object.assign(new Error(`received ${text}`), { name: "ZodError", issues: [{ received: text }] });
    },
    ...{ status: 500, body: plain },
  },
  "G03: an unknown field, by its name and its value": {
    handler: (request) => Fields.read(request, ["digest"]),
    ...{ status: 400, body: (text) => Buffer.from(`{"${text}":"${text}"}`) },
  },
  "G04: base64 that is none": {
    handler: async (request) => atob(`${await request.text()}*`),
    status: 500,
    body: plain,
  },
  "G04: base64 of another length": {
    handler: async (request) => (await Fields.read(request, ["digest"])).bytes("digest", { least: 48, most: 48 }),
    ...{ status: 400, body: (text) => Buffer.from(`{"digest":"${text}"}`) },
  },
  "G05: an argument that Node quotes": {
    ...{ handler: async (request) => Buffer.from("a", (await request.text()) as never), status: 500, body: plain },
  },
  "G10: the cause of a refusal": {
    handler: async (request) => {
      throw new DataError("ERR_DATA_NOT_OPENED", { dataset: "x" }, { cause: new Error(await request.text()) });
    },
    ...{ status: 422, body: plain },
  },
  "G10: an error with all that it can hold": {
    handler: async (request) => {
      const text = await request.text();
      const held = { code: text, details: { text }, toJSON: () => text };
      throw Object.assign(new RangeError(text, { cause: [text] }), held);
    },
    ...{ status: 500, body: plain },
  },
};

/** The server, the log and the answers of an enclave, and every byte that its parent carried of them. */
async function ask(world: World, hunt: Hunt, { handler, body }: Choking): Promise<number> {
  const app: App = {
    tls: "off",
    async fetch(request, env) {
      env.log.write("info", "asked", { beacon: inLog.text });
      if (request.method === "GET") return new Response(inAnswer.text);
      await handler(request);
      return new Response("taken");
    },
  };
  const enclave = await world.launch(app);
  const options = { method: "POST", body: Readable.from([body(secret.text)]), headers: { "x-secret": secret.text } };
  const answer = await world.ask("/", options);
  hunt.note("answers", [answer, await world.ask("/")]);
  hunt.note("objects", [enclave, inLog.text]);
  await enclave.stop();
  hunt.note("log", world.lines);
  hunt.noteBytes("crossed", Buffer.concat(world.crossed));
  return answer.status;
}
const LIT = { log: inLog, crossed: inLog, answers: inAnswer, objects: inLog };

describe("what an application chokes on", () => {
  test.each(Object.entries(ROWS))("%s", async (_, choking) => {
    const hunt = new Hunt(secret);
    expect(await ask(await makeWorld(), hunt, choking)).toBe(choking.status);
    hunt.end(LIT);
  });

  test("G10: an answer that fails half-way, after it has begun", async () => {
    const hunt = new Hunt(secret);
    const world = await makeWorld();
    const failing = async function* () {
      yield Buffer.from("begun");
      throw new Error(secret.text);
    };
    const enclave = await world.launch({ tls: "off", fetch: () => new Response(ReadableStream.from(failing())) });
    await hunt.noteOutcome("answers", world.ask("/"));
    await enclave.stop();
    hunt.note("log", [world.lines, inLog.text]);
    expect(world.lines.map(({ event }) => event)).toContain("internal error");
    hunt.end({ log: inLog });
  });

  test("G02 G03 G10: configuration that the enclave can not come up with", async () => {
    const hunt = new Hunt(secret);
    const world = await makeWorld({ configuration: JSON.stringify({ limit: secret.text, beacon: inLog.text }) });
    const starting = world.launch({
      tls: "off",
      parentConfig: {
        read: (given) => {
          const { limit } = given as { limit: string };
          hunt.note("read", given === undefined ? "" : (given as { beacon: string }).beacon);
          return JSON.parse(limit) as unknown;
        },
      },
      fetch: () => new Response(""),
    });
    // The reader's own error is the application's; the log that the parent reads has its name alone.
    await expect(starting).rejects.toThrow(SyntaxError);
    expect(world.lines.at(-1)).toMatchObject({ event: "not started", fields: { code: "SyntaxError" } });
    hunt.note("log", world.lines);
    hunt.end({ read: inLog });
  });
});
