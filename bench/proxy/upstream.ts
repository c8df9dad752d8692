/**
 * What stands behind the proxies: one TCP server that does what the first byte of a connection asks for.
 *
 *   E                 echo until the end
 *   D + count         so many bytes (32 bits), then the end, whatever was said before
 *   U                 reads until the end, then answers with the SHA-256 of it, in hex
 *   N                 reads until the end, then answers with how many bytes came
 *   S                 reads nothing more
 *   F + count         sends so many bytes while it reads; answers at the end as U does
 *   R + count         so many bytes, then a reset
 *
 *   node dist/bench/proxy/upstream.js        prints its port; a line of its input is answered with its open sockets
 *
 * @module
 */
import { createHash } from "node:crypto";
import { type AddressInfo, createServer, type Socket } from "node:net";
import { createInterface } from "node:readline";
import { patternAt } from "./pattern.ts";
import { next } from "./wait.ts";

const CHUNK = 65_536;
const open = new Set<Socket>();
let failures = 0;

async function send(socket: Socket, count: number): Promise<void> {
  for (let sent = 0; sent < count && !socket.destroyed; ) {
    const size = Math.min(CHUNK, count - sent);
    const wantsMore = socket.write(patternAt(sent, size));
    sent += size;
    if (!wantsMore) await next(socket, "drain");
  }
}

async function digestUntilEnd(socket: Socket, first: Buffer): Promise<string> {
  const hash = createHash("sha256").update(first);
  for await (const chunk of socket.iterator({ destroyOnReturn: false })) hash.update(chunk as Buffer);
  return hash.digest("hex");
}

async function serve(socket: Socket): Promise<void> {
  const head = await readHead(socket);
  if (!head) {
    socket.destroy();
    return;
  }
  const { command, count, rest } = head;
  if (command === "E") {
    if (rest.length > 0) socket.write(rest);
    socket.pipe(socket);
  } else if (command === "D") {
    socket.resume();
    await send(socket, count);
    socket.end();
  } else if (command === "U") {
    socket.end(await digestUntilEnd(socket, rest));
  } else if (command === "N") {
    let count = rest.length;
    socket.on("data", (chunk: Buffer) => (count += chunk.length)).once("end", () => socket.end(String(count)));
  } else if (command === "F") {
    const digest = digestUntilEnd(socket, rest);
    await send(socket, count);
    socket.end(await digest);
  } else if (command === "R") {
    socket.resume();
    await send(socket, count);
    socket.resetAndDestroy();
  } else socket.pause();
}

interface Head {
  readonly command: string;
  readonly count: number;
  readonly rest: Buffer;
}

/** The command, the count that some have, and what came behind. */
async function readHead(socket: Socket): Promise<Head | undefined> {
  let got = Buffer.alloc(0);
  for (;;) {
    const command = got.subarray(0, 1).toString();
    const size = "DFR".includes(command) && command !== "" ? 5 : 1;
    if (got.length >= size) return { command, count: size === 5 ? got.readUInt32BE(1) : 0, rest: got.subarray(size) };
    const chunk = (socket.read() as Buffer | null) ?? undefined;
    if (chunk) got = Buffer.concat([got, chunk]);
    else if (socket.readableEnded || socket.destroyed) return undefined;
    else await next(socket, "readable");
  }
}

const server = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
  open.add(socket);
  socket.on("error", () => failures++);
  socket.once("close", () => open.delete(socket));
  serve(socket).catch(() => socket.destroy());
});
server.listen({ port: 0, host: "127.0.0.1", backlog: 4_096 }, () => {
  process.stdout.write(`${JSON.stringify({ port: (server.address() as AddressInfo).port })}\n`);
});
createInterface({ input: process.stdin })
  .on("line", () => process.stdout.write(`${JSON.stringify({ open: open.size, failures })}\n`))
  .on("close", () => process.exit(0));
