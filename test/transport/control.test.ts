/** JSON lines between processes: whatever one side sends, the other one goes on or hangs up, and nobody dies of it. */
import { connect, createServer, type Server, type Socket } from "node:net";
import { join } from "node:path";
import { PassThrough } from "node:stream";
import { afterEach, describe, expect, test } from "vitest";
import { ConfigError } from "../../shared/errors/index.ts";
import { ControlClient, ControlError, type ControlHandlers, serveControl } from "../../transport/control.ts";
import { scratchFolder } from "./streams.ts";

const folder = scratchFolder();

interface Served {
  readonly input: PassThrough;
  readonly lines: () => readonly { readonly id: number; readonly result?: unknown; readonly error?: object }[];
  readonly ended: Promise<"ended">;
}

const HANDLERS: ControlHandlers = {
  echo: (params) => params,
  fail: () => {
    throw new ConfigError("ERR_CONFIG_FIELD_MISSING", { field: "x", expected: "y" });
  },
  break: () => Promise.reject("a text"),
  big: () => ({ big: 2n ** 70n }),
  wait: () => new Promise(() => undefined),
};

function serve(maxLineBytes?: number): Served {
  const [input, output] = [new PassThrough(), new PassThrough()];
  let written = "";
  output.on("data", (chunk) => (written += String(chunk)));
  const limits = maxLineBytes === undefined ? {} : { maxLineBytes };
  const ended = new Promise<"ended">((done) => serveControl(input, output, HANDLERS, () => done("ended"), limits));
  const lines = () => written.split("\n").flatMap((line) => (line === "" ? [] : [JSON.parse(line)]));
  return { input, lines, ended };
}

/** Everything that was sent has been looked at when the end of the input has. */
async function replies(...sent: readonly string[]): Promise<readonly unknown[]> {
  const { input, lines, ended } = serve();
  input.end(sent.map((line) => `${line}\n`).join(""));
  await ended;
  return lines();
}

const control = (message: unknown, id = 1) => ({ id, error: { code: "ERR_CONTROL", message, details: {} } });

describe("serving", () => {
  test("answers and refuses, each under its id", async () => {
    const all = await replies(
      '{"id":1,"method":"echo","params":{"a":1}}',
      '{"id":2,"method":"echo"}\r',
      '{"id":3,"method":"fail"}',
    );
    expect(all).toMatchObject([
      { id: 1, result: { a: 1 } },
      { id: 2, result: {} },
      { id: 3, error: { code: "ERR_CONFIG_FIELD_MISSING", details: { field: "x" } } },
    ]);
  });

  test.each([
    ["an answer that JSON has not", "big", expect.stringContaining("BigInt")],
    ["a failure that is no error", "break", expect.any(String)],
    ["a method that is inherited", "constructor", "no control method constructor"],
  ])("%s is told, and the next is served", async (_what, method, message) => {
    const all = await replies(`{"id":1,"method":"${method}"}`, '{"id":2,"method":"echo"}');
    expect(all).toEqual([control(message), { id: 2, result: {} }]);
  });

  test.each(["7", '"x"', "[]", "null"])("params %s are refused", async (params) => {
    const message = params === "null" ? "params must be an object" : expect.any(String);
    expect(await replies(`{"id":1,"method":"echo","params":${params}}`)).toEqual([control(message)]);
  });

  test("a method that is no text is refused", async () => {
    expect(await replies('{"id":1,"method":{}}')).toEqual([control("no control method of that type")]);
  });

  const deep = `${"[".repeat(200_000)}${"]".repeat(200_000)}`;
  test.each([
    ["null", "null"],
    ["a number", "5"],
    ["an array", "[]"],
    ["no id", '{"method":"echo"}'],
    ["a text for an id", '{"id":"1","method":"echo"}'],
    ["an id with a fraction", '{"id":1.5,"method":"echo"}'],
    ["an id too deep to be written", `{"id":${deep},"method":"echo"}`],
    ["no JSON", "GET / HTTP/1.1"],
    ["no line", ""],
  ])("%s: hung up on, and nothing after it is looked at", async (_what, line) => {
    const { input, lines, ended } = serve();
    input.write(`${line}\n{"id":2,"method":"echo"}\n`);
    expect(await ended).toBe("ended");
    expect([lines(), input.destroyed]).toEqual([[], true]);
  });

  test("bytes that are no UTF-8: hung up on", async () => {
    const { input, lines, ended } = serve();
    input.write(Buffer.concat([Buffer.from('{"id":1,"method":"echo","params":{"a":"'), Buffer.from([0xff, 0x22])]));
    input.write("}}\n");
    await ended;
    expect(lines()).toEqual([]);
  });

  test("a line has a limit, in one piece and byte by byte; a line of just so many bytes is read", async () => {
    const line = '{"id":1,"method":"echo","params":{}}';
    const fits = serve(line.length);
    fits.input.end(`${line}\n`);
    await fits.ended;
    expect(fits.lines()).toHaveLength(1);
    const long = serve(line.length - 1);
    long.input.write(`${line}\n`);
    await long.ended;
    const endless = serve(1_000);
    for (let i = 0; i < 1_001; i++) endless.input.write("a");
    await endless.ended;
    expect([long.lines(), endless.lines()]).toEqual([[], []]);
  });

  test("a thousand requests wait, one more is refused", async () => {
    const { input, lines, ended } = serve();
    input.end('{"id":1,"method":"wait"}\n'.repeat(1_025));
    await ended;
    expect(lines()).toEqual([control("too many requests wait")]);
  });
});

describe("over a socket", () => {
  let server: Server | undefined;
  const sockets: Socket[] = [];
  afterEach(async () => {
    for (const socket of sockets.splice(0)) socket.destroy();
    await new Promise((done) => (server ? server.close(done) : done(undefined)));
  });

  async function listen(onSocket: (socket: Socket) => void): Promise<Socket> {
    const path = join(folder, `${Math.random()}.sock`);
    server = createServer((socket) => {
      sockets.push(socket.on("error", () => undefined));
      onSocket(socket);
    });
    await new Promise<void>((done) => server?.listen(path, done));
    const socket = connect(path);
    sockets.push(socket);
    return socket;
  }

  test("who does not read the answers is not listened to", async () => {
    let asked = 0;
    const answer = "x".repeat(1 << 20);
    const ask = (): string => {
      asked++;
      return answer;
    };
    const socket = await listen((each) => serveControl(each, each, { ask }, () => each.destroy()));
    socket.pause();
    const all = 50;
    socket.write('{"id":1,"method":"ask"}\n'.repeat(all));
    for (let i = 0; i < 2_000; i++) await new Promise((done) => setImmediate(done));
    expect(asked).toBeGreaterThan(0);
    expect(asked).toBeLessThan(10);
    let read = 0;
    socket.on("data", (chunk) => (read += chunk.length)).resume();
    while (read < all * answer.length) await new Promise((done) => socket.once("data", done));
    expect(asked).toBe(all);
  });

  const SENT: readonly (readonly [string, string])[] = [
    ["null", "null"],
    ["a number", "5"],
    ["an object without an id", "{}"],
    ["an answer to nothing", '{"id":9,"result":1}'],
    ["an error that is none", '{"id":1,"error":{}}'],
    ["an error without a text", '{"id":1,"error":{"code":"ERR_X","details":{}}}'],
    ["no JSON", "hello"],
  ];
  test.each(SENT)(
    "a client that is sent %s refuses what waits and what comes, and ends nothing else",
    async (_, line) => {
      const socket = await listen((each) => each.once("data", () => each.write(`${line}\n`)));
      const client = new ControlClient(socket, socket);
      await expect(client.call("status")).rejects.toThrow();
      await expect(client.call("status")).rejects.toThrow();
      expect(socket.destroyed).toBe(true);
    },
  );

  test("a client reads answers and refusals, and lines up to its limit", async () => {
    const handlers = { ...HANDLERS, long: () => "x".repeat(2_000) };
    const socket = await listen((each) => serveControl(each, each, handlers, () => each.destroy()));
    const client = new ControlClient(socket, socket, { maxLineBytes: 1_000 });
    expect(await client.call("echo", { a: 1 })).toEqual({ a: 1 });
    await expect(client.call("fail")).rejects.toBeInstanceOf(ControlError);
    await expect(client.call("fail")).rejects.toMatchObject({ code: "ERR_CONFIG_FIELD_MISSING" });
    await expect(client.call("long")).rejects.toThrow();
  });
});
