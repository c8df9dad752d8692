/**
 * What a client does through a proxy: each function gives what it measured or throws at a byte that is wrong.
 *
 * @module
 */
import { createHash } from "node:crypto";
import { once } from "node:events";
import { connect as connectSocket, type Socket } from "node:net";
import { patternAt, patternDigest } from "./pattern.ts";
import { next } from "./wait.ts";

/** Where a contestant listens. */
export type Door = { readonly path: string } | { readonly port: number };

export async function open(door: Door): Promise<Socket> {
  for (let attempt = 0; ; attempt++) {
    const socket = connectSocket({ allowHalfOpen: true, host: "127.0.0.1", noDelay: true, ...door });
    try {
      await once(socket, "connect");
      // Whoever reads or writes finds it closed.
      return socket.on("error", () => undefined);
    } catch (error) {
      // A Unix socket does not queue one more than its backlog: TCP would ask again by itself.
      if (!(error instanceof Error && "code" in error && error.code === "EAGAIN") || attempt === 20) throw error;
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }
}

function command(letter: "D" | "F" | "R", count: number): Buffer {
  const head = Buffer.alloc(5);
  head.write(letter);
  head.writeUInt32BE(count, 1);
  return head;
}

/** Microseconds of each round trip of 64 bytes. */
export async function pingPong(door: Door, connections: number, rounds: number): Promise<number[]> {
  const sockets = await Promise.all(Array.from({ length: connections }, () => open(door)));
  const message = Buffer.alloc(64, 7);
  const times: number[] = [];
  await Promise.all(
    sockets.map(async (socket) => {
      socket.write("E");
      for (let round = 0; round < rounds / connections; round++) {
        const start = process.hrtime.bigint();
        socket.write(message);
        await receive(socket, message.length);
        times.push(Number(process.hrtime.bigint() - start) / 1_000);
      }
      socket.destroy();
    }),
  );
  return times;
}

async function receive(socket: Socket, count: number): Promise<void> {
  for (let left = count; left > 0; ) {
    const chunk = socket.read() as Buffer | null;
    if (chunk) left -= chunk.length;
    else if (socket.readableEnded || socket.destroyed) throw new Error("the connection ended early");
    else await next(socket, "readable");
  }
}

/** Sends so many bytes and ends; the server's digest must be theirs. */
export async function upload(door: Door, count: number): Promise<void> {
  const socket = await open(door);
  const answer = readAll(socket);
  socket.write("U");
  await sendPattern(socket, count);
  socket.end();
  const digest = (await answer).toString();
  if (digest !== patternDigest(count)) throw new Error(`uploaded bytes differ: ${digest}`);
}

/** Sends so many bytes as fast as they go, unhashed; the server's count must be theirs. */
export async function uploadCounted(door: Door, count: number): Promise<void> {
  const socket = await open(door);
  const answer = readAll(socket);
  socket.write("N");
  await sendPattern(socket, count);
  socket.end();
  const counted = Number((await answer).toString());
  if (counted !== count) throw new Error(`${counted} of ${count} bytes arrived`);
}

/** Ends at once, then takes so many bytes: what a half-close must leave whole. */
export async function downloadAfterEnd(door: Door, count: number): Promise<void> {
  const socket = await open(door);
  socket.end(command("D", count));
  await expectPattern(socket, count);
}

/** Both sides write all they have before either ends. */
export async function flood(door: Door, count: number): Promise<void> {
  const socket = await open(door);
  socket.write(command("F", count));
  const got = readAll(socket);
  await sendPattern(socket, count);
  socket.end();
  const all = await got;
  const digest = createHash("sha256").update(all.subarray(0, count)).digest("hex");
  const expected = patternDigest(count);
  if (digest !== expected || all.subarray(count).toString() !== expected) throw new Error("flooded bytes differ");
}

/** Asks for so many bytes and then a reset. A Unix socket knows no reset: there it comes as an end. */
export async function resetAfter(door: Door, count: number): Promise<void> {
  const socket = await open(door);
  socket.write(command("R", count));
  await gone(socket);
}

/** Until the other side is no more, however that comes. */
export async function gone(socket: Socket): Promise<void> {
  socket.resume();
  if (!socket.readableEnded && !socket.closed)
    await new Promise<void>((resolve) => socket.once("end", resolve).once("close", resolve));
  socket.destroy();
}

/** One connection, one message there and back, closed. */
export async function oneRequest(door: Door): Promise<void> {
  const socket = await open(door);
  socket.write(Buffer.concat([Buffer.from("E"), Buffer.alloc(64, 7)]));
  await receive(socket, 64);
  socket.end();
  await gone(socket);
}

export async function sendPattern(socket: Socket, count: number): Promise<void> {
  for (let sent = 0; sent < count; ) {
    const size = Math.min(65_536, count - sent);
    const wantsMore = socket.write(patternAt(sent, size));
    sent += size;
    if (!wantsMore) await next(socket, "drain");
    if (socket.destroyed) throw new Error("the connection ended early");
  }
}

export async function expectPattern(socket: Socket, count: number): Promise<void> {
  const hash = createHash("sha256");
  let got = 0;
  for await (const chunk of socket) {
    hash.update(chunk as Buffer);
    got += (chunk as Buffer).length;
  }
  if (got !== count || hash.digest("hex") !== patternDigest(count)) throw new Error(`downloaded bytes differ: ${got}`);
}

/** Who waits for it later is told later of a failure too. */
export function readAll(socket: Socket): Promise<Buffer> {
  const all = socket.toArray().then((chunks) => Buffer.concat(chunks as Buffer[]));
  all.catch(() => undefined);
  return all;
}
