/** What the scenarios send, receive and count. No test runner: they run in a guest as well. */
import { createHash } from "node:crypto";
import { once } from "node:events";
import { readdirSync } from "node:fs";
import type { Socket } from "node:net";
import type { Duplex } from "node:stream";
import type { Address } from "../../shared/transport/address.ts";
import type { Listener, Transport } from "../../shared/transport/transport.ts";

export const MIB = 1_048_576;

/** Where the scenarios run, and on what. */
export interface Ground {
  readonly transport: Transport;
  readonly nativePath: string;
  /** The context id that leads back to this machine: 1. */
  readonly cid: number;
  /** Divides sizes and counts, where a sanitizer slows everything. 1 for the whole. */
  readonly scale: number;
}

export type Scenario = (ground: Ground) => Promise<void>;

export interface Flow {
  readonly bytes: number;
  readonly sha256: string;
}

/** Block `index` of a stream: no two are alike, so a lost, doubled or swapped one changes the digest. */
function block(seed: number, index: number, length: number): Buffer {
  const bytes = Buffer.alloc(length, `${seed}/${index};`);
  bytes.writeUInt32LE(index, 0);
  return bytes;
}

/** Sends `bytes` and heeds backpressure; gives what was sent. */
export async function send(socket: Duplex, bytes: number, seed = 1): Promise<Flow> {
  const hash = createHash("sha256");
  for (let at = 0, index = 0; at < bytes; at += 65_536, index++) {
    const chunk = block(seed, index, Math.min(65_536, bytes - at));
    hash.update(chunk);
    if (!socket.write(chunk)) await once(socket, "drain");
  }
  return { bytes, sha256: hash.digest("hex") };
}

/** Everything up to the peer's end. */
export async function drain(socket: Duplex): Promise<Flow> {
  const hash = createHash("sha256");
  let bytes = 0;
  for await (const chunk of socket.iterator({ destroyOnReturn: false })) {
    hash.update(chunk as Buffer);
    bytes += (chunk as Buffer).length;
  }
  return { bytes, sha256: hash.digest("hex") };
}

export function equal(what: string, actual: unknown, expected: unknown): void {
  const [left, right] = [JSON.stringify(actual), JSON.stringify(expected)];
  if (left !== right) throw new Error(`${what}: expected ${right}, got ${left}`);
}

export function anyPort(cid: number): Address {
  return { kind: "vsock", cid, port: 0xffff_ffff };
}

/** A listener and one connection to it. */
export async function pair({ transport, cid }: Ground): Promise<{ near: Socket; far: Socket; listener: Listener }> {
  let arrived: (socket: Duplex) => void = () => {};
  const arrival = new Promise<Duplex>((resolve) => {
    arrived = resolve;
  });
  const listener = await transport.listen(anyPort(cid), (socket) => arrived(socket));
  const near = await transport.connect(listener.address);
  return { near: near as Socket, far: (await arrival) as Socket, listener };
}

/** How a promise ends: `accepted`, or the code and the system's reason. */
export async function outcome(attempt: Promise<unknown>): Promise<string> {
  try {
    await attempt;
    return "accepted";
  } catch (error) {
    const { code, details, name, message } = error as Error & { code?: string; details?: { reason?: string } };
    return [code ?? `${name} ${message}`, details?.reason].filter((part) => part !== undefined).join(" ");
  }
}

/** Descriptors open now, after closes that are under way have had turns of the event loop. */
export async function descriptors(): Promise<number> {
  for (let i = 0; i < 50; i++) await new Promise(setImmediate);
  return readdirSync("/proc/self/fd").length;
}

export async function closed(socket: Duplex): Promise<void> {
  if (!socket.closed) await new Promise<void>((resolve) => socket.once("close", () => resolve()));
}
