import { createHash } from "node:crypto";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Duplex } from "node:stream";
import { afterAll } from "vitest";

const BLOCK_BYTES = 4_096;

/** Bytes of which no two blocks are alike: a lost, doubled or swapped chunk changes the digest. Cheap, for slow guests. */
export function pattern(length: number, seed = 1): Buffer {
  const bytes = Buffer.alloc(length, `${seed} of many bytes that are not alike;`);
  for (let at = 0; at + 8 <= length; at += BLOCK_BYTES) {
    bytes.writeUInt32LE(at, at);
    bytes.writeUInt32LE(seed, at + 4);
  }
  return bytes;
}

export function digest(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}

/** Everything up to the peer's end. */
export async function collect(socket: Duplex): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of socket.iterator({ destroyOnReturn: false })) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}

/** Writes in chunks and waits where it is asked to; gives how many bytes the stream held at most. */
export async function send(socket: Duplex, bytes: Uint8Array, chunkBytes = 65_536): Promise<number> {
  let highest = 0;
  for (let at = 0; at < bytes.length; at += chunkBytes) {
    const more = socket.write(bytes.subarray(at, at + chunkBytes));
    highest = Math.max(highest, socket.writableLength);
    if (!more) await once(socket, "drain");
  }
  return highest;
}

/** Waits for the end of a socket; adds no `error` listener, as `events.once` would. */
export async function closed(socket: Duplex): Promise<void> {
  if (!socket.closed) await new Promise<void>((resolve) => socket.once("close", () => resolve()));
}

/** A connection's bytes until `count` have come; the stream goes on, and no listener stays behind. */
export async function take(socket: Duplex, count: number): Promise<Buffer> {
  for (;;) {
    const bytes = socket.read(count) as Buffer | null;
    if (bytes !== null) return bytes;
    if (socket.readableEnded || socket.destroyed) throw new Error(`ended before ${count} bytes`);
    await new Promise(setImmediate);
  }
}

/** A folder for sockets with short paths, removed after the file's tests. */
export function scratchFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), "cl-"));
  afterAll(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** The `code` of what a promise is rejected with. */
export async function codeOf(promise: Promise<unknown>): Promise<string> {
  try {
    await promise;
    return "accepted";
  } catch (error) {
    return (error as { code?: string }).code ?? String(error);
  }
}
