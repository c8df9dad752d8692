/** A peer that misbehaves on the stream, and paths that are no NSM. */
import { chmod, mkdtemp, rm, writeFile } from "node:fs/promises";
import { connect, createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { openNsmSocket } from "../../enclave/nsm/socket.ts";
import { serveNsm } from "../../mock/nsm/serve.ts";
import { concat, fromHex } from "../../shared/bytes.ts";
import { NSM_RESPONSE_MAX } from "../../shared/nsm/device.ts";
import { NsmFrameReader, nsmFrame } from "../../shared/nsm/frame.ts";
import { encodeNsmRequest, encodeNsmResponse } from "../../shared/nsm/messages.ts";
import { decodeNsmResponse } from "../../shared/nsm/parse.ts";
import { refusal } from "./refusal.ts";

const locked = nsmFrame(encodeNsmResponse({ kind: "LockPCR" }));
let folder: string;
let path: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "nsm-"));
  path = join(folder, "nsm.sock");
});
afterEach(() => rm(folder, { recursive: true }));

/** A server that answers the first request so. */
async function peer(answer: (socket: Socket) => void): Promise<AsyncDisposable> {
  const server: Server = createServer((socket) => {
    socket.on("error", () => {});
    socket.once("data", () => answer(socket));
  });
  await new Promise<void>((done) => server.listen(path, done));
  return { [Symbol.asyncDispose]: () => new Promise<void>((done) => server.close(() => done())) };
}

describe("the stream", () => {
  test.each<[string, (socket: Socket) => void, string]>([
    ["answers in one piece", (s) => s.write(locked), "accepted"],
    ["ends before it answers", (s) => s.end(), "ERR_NSM_UNAVAILABLE"],
    ["ends after three bytes", (s) => s.end(locked.subarray(0, 3)), "ERR_NSM_UNAVAILABLE"],
    ["ends one byte early", (s) => s.end(locked.subarray(0, -1)), "ERR_NSM_UNAVAILABLE"],
    ["announces 0x3001 bytes", (s) => s.write(fromHex("00003001")), "ERR_NSM_RESPONSE_MALFORMED"],
    ["announces 4 GiB", (s) => s.write(fromHex("ffffffff")), "ERR_NSM_RESPONSE_MALFORMED"],
    ["announces nothing", (s) => s.write(fromHex("00000000")), "ERR_NSM_RESPONSE_MALFORMED"],
  ])("%s → $2", async (_, answer, expected) => {
    await using _server = await peer(answer);
    await using nsm = await openNsmSocket(path, { timeoutMs: 60_000 });
    expect(await refusal(() => nsm.lockPcr(16))).toBe(expected);
    // At once, not when a time has passed: there is nobody to answer.
    if (expected !== "accepted") expect(await refusal(() => nsm.lockPcr(17))).toBe(expected);
  });

  test("an answer that nobody asked for ends the connection", async () => {
    await using _server = await peer((socket) => socket.write(concat(locked, locked)));
    await using nsm = await openNsmSocket(path);
    await nsm.lockPcr(16);
    expect(await refusal(() => nsm.lockPcr(17))).toBe("ERR_NSM_RESPONSE_MALFORMED");
  });

  test("no answer in time, and then no other call", async () => {
    await using _server = await peer(() => {});
    await using nsm = await openNsmSocket(path, { timeoutMs: 20 });
    expect(await refusal(() => nsm.lockPcr(16))).toBe("ERR_NSM_UNAVAILABLE");
    expect(await refusal(() => nsm.lockPcr(17))).toBe("ERR_NSM_UNAVAILABLE");
  });

  test("a message has a byte at least", async () => {
    const reader = new NsmFrameReader(NSM_RESPONSE_MAX);
    expect(await refusal(async () => reader.push(fromHex("00000000")))).toBe("ERR_TRANSPORT_FRAME_INVALID");
  });

  test("any split of the stream gives the same messages", () => {
    const stream = concat(locked, nsmFrame(Uint8Array.of(1)), locked);
    const whole = new NsmFrameReader(NSM_RESPONSE_MAX).push(stream);
    expect(whole).toHaveLength(3);
    for (let size = 1; size < stream.length; size++) {
      const reader = new NsmFrameReader(NSM_RESPONSE_MAX);
      const messages: Uint8Array[] = [];
      for (let at = 0; at < stream.length; at += size) messages.push(...reader.push(stream.subarray(at, at + size)));
      expect(messages).toEqual(whole);
    }
  });
});

describe("NSM08 what is no NSM", () => {
  test.each<[string, () => Promise<unknown>]>([
    ["nothing there", async () => {}],
    ["a regular file", () => writeFile(path, "")],
    ["a socket that nobody serves", async () => (await peer(() => {}))[Symbol.asyncDispose]()],
  ])("%s", async (_, prepare) => {
    await prepare();
    expect(await refusal(() => openNsmSocket(path))).toBe("ERR_NSM_UNAVAILABLE");
  });

  test.skipIf(process.getuid?.() === 0)("a socket that this user may not open", async () => {
    await using _server = await peer(() => {});
    await chmod(path, 0);
    expect(await refusal(() => openNsmSocket(path))).toBe("ERR_NSM_UNAVAILABLE");
  });
});

describe("the serving side", () => {
  const request = nsmFrame(encodeNsmRequest({ kind: "LockPCR", index: 16 }));

  async function firstAnswer(bytes: Uint8Array): Promise<Uint8Array | undefined> {
    const socket = connect(path);
    const reader = new NsmFrameReader(NSM_RESPONSE_MAX);
    socket.write(bytes);
    try {
      for await (const chunk of socket) for (const message of reader.push(chunk as Uint8Array)) return message;
      return undefined;
    } finally {
      socket.destroy();
    }
  }

  test("a request above 0x1000 bytes is refused before it is read", async () => {
    let asked = 0;
    await using _server = await serveNsm(path, async () => {
      asked++;
      return encodeNsmResponse({ kind: "LockPCR" });
    });
    const refused = await firstAnswer(fromHex("00001001"));
    expect(decodeNsmResponse(refused ?? new Uint8Array(), "")).toEqual({ kind: "Error", code: "InputTooLarge" });
    expect(asked).toBe(0);
    expect(decodeNsmResponse((await firstAnswer(request)) ?? new Uint8Array(), "")).toEqual({ kind: "LockPCR" });
  });

  test("a path that a socket can not have is refused", async () => {
    expect(await refusal(() => serveNsm(`${folder}/${"x".repeat(108)}`, async (r) => r))).toBe("RangeError");
  });
});
