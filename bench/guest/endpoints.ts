/**
 * Both ends of what is measured, for every contestant that runs in Node; `plain.c` does the same in C.
 *
 * A connection begins with a count, 8 bytes, big-endian. So many bytes are then taken and answered with one byte; where
 * the count is 0, everything is sent back. Throughput is taken from the first write until that one byte is back, so
 * that nothing counts that still waits in a buffer.
 *
 * @module
 */
import type { Link, Links } from "./links.ts";

export interface LinkFigures {
  readonly mibPerSecond: number;
  readonly medianUs: number;
  readonly p99Us: number;
}

export interface Sizes {
  readonly bytes: number;
  readonly trips: number;
}

const CHUNK = 65_536;
const MIB = 1_048_576;
const HEADER_BYTES = 8;
const WARM_TRIPS = 200;
/** Of the bytes, sent before: what a just started process has not compiled yet is not what is measured. */
const WARM_PART = 8;

export async function serve(links: Links, port: number): Promise<void> {
  await links.listen(port, (link) => {
    let header: Buffer = Buffer.alloc(0);
    link.hear((bytes) => {
      header = Buffer.concat([header, bytes]);
      if (header.length < HEADER_BYTES) return;
      const expected = Number(header.readBigUInt64BE());
      const answer = expected === 0 ? echo(link) : sink(link, expected);
      link.hear(answer);
      if (header.length > HEADER_BYTES) answer(header.subarray(HEADER_BYTES));
    });
  });
}

function echo(link: Link): (bytes: Uint8Array) => void {
  return (bytes) => void link.send(bytes);
}

function sink(link: Link, expected: number): (bytes: Uint8Array) => void {
  let taken = 0;
  return (bytes) => {
    taken += bytes.length;
    if (taken === expected) link.send(Buffer.alloc(1));
  };
}

export async function measure(links: Links, port: number, { bytes, trips }: Sizes): Promise<LinkFigures> {
  await throughput(await dial(links, port, bytes / WARM_PART), bytes / WARM_PART);
  const mibPerSecond = await throughput(await dial(links, port, bytes), bytes);
  const link = await dial(links, port, 0);
  await roundTrips(link, WARM_TRIPS);
  const sorted = (await roundTrips(link, trips)).sort((a, b) => a - b);
  const at = (share: number): number => sorted[Math.ceil(share * trips) - 1] ?? Number.NaN;
  return { mibPerSecond, medianUs: at(0.5), p99Us: at(0.99) };
}

async function dial(links: Links, port: number, count: number): Promise<Link> {
  const link = await links.connect(port);
  const header = Buffer.alloc(HEADER_BYTES);
  header.writeBigUInt64BE(BigInt(count));
  link.send(header);
  return link;
}

function until<Result>(link: Link, start: (resolve: (result: Result) => void) => void): Promise<Result> {
  return new Promise((resolve, reject) => {
    void link.gone.then((reason) => reject(new Error(reason)));
    start(resolve);
  });
}

async function throughput(link: Link, bytes: number): Promise<number> {
  const chunk = Buffer.alloc(CHUNK);
  const answered = until<void>(link, (resolve) => link.hear(() => resolve()));
  // It is awaited below; until then its failure is nobody's.
  answered.catch(() => undefined);
  const began = process.hrtime.bigint();
  for (let left = bytes; left > 0; left -= CHUNK) {
    if (!link.send(left < CHUNK ? chunk.subarray(0, left) : chunk)) await Promise.race([link.drained(), link.gone]);
  }
  await answered;
  return bytes / MIB / (Number(process.hrtime.bigint() - began) / 1e9);
}

/** Microseconds of each. */
function roundTrips(link: Link, count: number): Promise<number[]> {
  const byte = Buffer.alloc(1);
  const times: number[] = [];
  return until(link, (resolve) => {
    let began = 0n;
    const send = (): void => {
      began = process.hrtime.bigint();
      link.send(byte);
    };
    link.hear(() => {
      times.push(Number(process.hrtime.bigint() - began) / 1000);
      if (times.length === count) resolve(times);
      else send();
    });
    send();
  });
}
