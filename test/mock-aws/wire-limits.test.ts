/** What the host gives a connection: so many bytes, so much time, so many others beside it. */
import { connect as connectPlain } from "node:net";
import { connect } from "node:tls";
import { GenerateRandomCommand } from "@aws-sdk/client-kms";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { outcome, startBed } from "./door-bed.ts";
import { accounts, keys, startWireBed, type WireBed } from "./wire-bed.ts";

let bed: WireBed;
beforeAll(async () => {
  bed = await startWireBed({ requestTimeoutMs: 400 });
});
afterAll(() => bed[Symbol.asyncDispose]());

describe("limits", () => {
  const MIB = 1_048_576;

  test("K12 1 MiB is read, one byte more is refused by its announcement", async () => {
    const body = `{"Unknown":"${"x".repeat(MIB - 14)}"}`;
    expect(body.length).toBe(MIB);
    expect((await bed.post(bed.sign(body), body)).status).toBe(200);
    const reply = await announce(`content-length: ${MIB + 1}`);
    expect(reply).toMatch(/^HTTP\/1\.1 400 .*connection: close.*SerializationException/is);
  });

  test("K12 a body of 1 GiB: who writes it reads the refusal before it is written", async () => {
    const before = process.memoryUsage().rss;
    const { text, written } = await flood(1_073_741_824);
    expect(text).toMatch(/^HTTP\/1\.1 400 .*SerializationException/s);
    expect(written).toBeLessThan(256 * MIB);
    expect(process.memoryUsage().rss - before).toBeLessThan(128 * MIB);
  });

  test("K12 who writes 32 MiB first and reads then, reads the refusal", async () => {
    await using patient = await startBed(accounts, { tls: false, requestTimeoutMs: 10_000 });
    const length = 32 * MIB;
    const answer = await new Promise((resolve) => {
      let text = "";
      let isWritten = false;
      const socket = connectPlain({ host: "127.0.0.1", port: patient.port }).pause();
      socket.on("error", () => resolve("broken off")).on("close", () => resolve({ isWritten, text }));
      socket.write(`POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: ${length}\r\n\r\n`);
      socket.write(Buffer.alloc(length), () => {
        isWritten = true;
        socket.on("data", (chunk) => {
          text += chunk.toString("latin1");
        });
        socket.resume();
      });
    });
    expect(answer).toEqual({ isWritten: true, text: expect.stringContaining("SerializationException") as string });
  });

  test("K12 no 100 Continue for a body that is too large", async () => {
    const expecting = (length: number) => announce(`content-length: ${length}\r\nexpect: 100-continue`);
    expect(await expecting(MIB + 1)).toMatch(/^HTTP\/1\.1 400 /);
    expect(await expecting(10)).toMatch(/^HTTP\/1\.1 100 Continue/);
  });

  test("K12 a chunked body is cut at 1 MiB", async () => {
    const chunk = `10000\r\n${"x".repeat(0x10000)}\r\n`;
    const reply = await announce("transfer-encoding: chunked", chunk.repeat(17));
    expect(reply).toMatch(/^HTTP\/1\.1 400 .*SerializationException/s);
  });

  test("K12 the refusal of a form is XML", async () => {
    const reply = await announce(`content-type: application/x-www-form-urlencoded\r\ncontent-length: ${MIB + 1}`);
    expect(reply).toMatch(/<Code>MalformedInput<\/Code>/);
  });

  test.each([
    ["both lengths", "content-length: 2\r\ntransfer-encoding: chunked"],
    ["both, the other way round", "transfer-encoding: chunked\r\ncontent-length: 2"],
    ["two lengths", "content-length: 2\r\ncontent-length: 3"],
    ["a coding after chunked", "transfer-encoding: chunked, identity"],
    ["a space before the colon", "content-length : 2"],
  ])("K15 %s → 400, and no second request is read", async (_why, headers) => {
    const calls = bed.calls.length;
    const smuggled = `POST / HTTP/1.1\r\nhost: x\r\n\r\n`;
    const reply = await announce(headers, `0\r\n\r\n${smuggled}`);
    expect(reply).toMatch(/^HTTP\/1\.1 400 /);
    expect(reply.match(/HTTP\/1\.1 /g)).toHaveLength(1);
    expect(bed.calls.length).toBe(calls);
  });

  test("a body that does not come is given up", async () => {
    expect(await announce("content-length: 10", "{")).toMatch(/^HTTP\/1\.1 408 /);
  });

  test("K12 a body too large behind a request that is not answered yet: both are answered, and it closes", async () => {
    const bugs: unknown[] = [];
    await using other = await startBed(accounts, { onBug: (error) => bugs.push(error) });
    const small = "POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\n{}";
    const large = "POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 1100000\r\n\r\nabc";
    const reply = await raw(`${small}${large}`, other.port);
    expect(reply.match(/HTTP\/1\.1 \d+/g)).toEqual(["HTTP/1.1 400", "HTTP/1.1 400"]);
    expect(reply).toMatch(/UnknownOperationException.*connection: close.*SerializationException/is);
    expect(bugs).toEqual([]);
  });

  test("headers that do not end are given up", async () => {
    expect(await raw("POST / HTTP/1.1\r\nhost: localhost\r\nx-a: ")).toMatch(/^HTTP\/1\.1 408 /);
  });

  test("a connection that says nothing is given up, before TLS and after", async () => {
    const plain = connectPlain({ host: "127.0.0.1", port: bed.port });
    const closed = new Promise((resolve) => plain.on("close", resolve).on("error", resolve));
    await Promise.all([closed, raw("")]);
  });

  test("one connection more than the limit is closed at once; the others work on", async () => {
    await using small = await startBed(accounts, { tls: false, maxConnections: 20, requestTimeoutMs: 5_000 });
    const open = Array.from({ length: 200 }, () => connectPlain({ host: "127.0.0.1", port: small.port }));
    const isClosed = await Promise.all(
      open
        .slice(20)
        .map(
          (socket) =>
            new Promise((resolve) => socket.on("close", () => resolve(true)).on("error", () => resolve(true))),
        ),
    );
    expect(isClosed).toHaveLength(180);
    for (const socket of open) socket.destroy();
    await expect.poll(() => outcome(small.kms(keys).send(new GenerateRandomCommand({})))).toBe("ok");
  });

  function announce(headers: string, body = ""): Promise<string> {
    return raw(`POST / HTTP/1.1\r\nhost: localhost\r\n${headers}\r\n\r\n${body}`);
  }

  function open(port = bed.port) {
    return connect({
      ...{ host: "127.0.0.1", port, ca: bed.identity.caCertificatePem, servername: "localhost" },
    });
  }

  /** Writes and never ends; gives what the server says until it closes. */
  function raw(bytes: string, port = bed.port): Promise<string> {
    return new Promise((resolve) => {
      let text = "";
      const socket = open(port);
      socket.on("secureConnect", () => socket.write(bytes));
      socket.on("data", (chunk) => {
        text += chunk.toString("latin1");
      });
      socket.on("error", () => resolve(text));
      socket.on("close", () => resolve(text));
    });
  }

  /** Writes a body of so many bytes, as fast as it is taken, until the server closes. */
  function flood(length: number): Promise<{ text: string; written: number }> {
    return new Promise((resolve) => {
      let text = "";
      const socket = open();
      const block = Buffer.alloc(65_536);
      const more = (): void => {
        while (socket.writable && socket.bytesWritten < length && socket.write(block));
      };
      socket.on("secureConnect", () => {
        socket.write(`POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: ${length}\r\n\r\n`);
        more();
      });
      socket.on("drain", more);
      socket.on("data", (chunk) => {
        text += chunk.toString("latin1");
      });
      const done = (): void => resolve({ text, written: socket.bytesWritten });
      socket.on("error", done);
      socket.on("close", done);
    });
  }
});
