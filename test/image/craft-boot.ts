/**
 * Crafts what images are built from: a kernel's header, executables that ask for libraries; and unpacks ramdisks with
 * all that the strict reader does not know.
 *
 * @module
 */
import { concat, utf8 } from "../../shared/bytes.ts";

/** No more of a bzImage than the builder looks at. */
export function fakeKernel(): Uint8Array {
  const bytes = new Uint8Array(4096);
  bytes.set(utf8("HdrS"), 0x202);
  new DataView(bytes.buffer).setUint16(0x20e, 0x400, true);
  bytes.set(utf8("6.12.48-cloud-amd64 (a@b) #1 SMP"), 0x600);
  return bytes;
}

export interface RawElf {
  readonly loader?: string;
  readonly needed?: readonly string[];
  readonly machine?: number;
}

/** Headers, one loaded segment that is the whole file at 0x1000, the loader's name, the dynamic table, its strings. */
export function fakeElf({ loader, needed = [], machine = 62 }: RawElf): Uint8Array {
  const name = utf8(loader === undefined ? "" : `${loader}\0`);
  const strings = utf8(`\0${needed.map((each) => `${each}\0`).join("")}`);
  const nameAt = 64 + 3 * 56;
  const tableAt = nameAt + name.length;
  const stringsAt = tableAt + 16 * (needed.length + 2);
  const bytes = concat(new Uint8Array(nameAt), name, new Uint8Array(stringsAt - tableAt), strings);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, 0x7f454c46);
  view.setUint16(4, 0x0201);
  view.setUint16(18, machine, true);
  view.setBigUint64(32, 64n, true);
  view.setUint16(56, 3, true);
  const segment = (index: number, type: number, range: readonly [at: number, address: number, size: number]) => {
    const at = 64 + 56 * index;
    view.setUint32(at, type, true);
    for (const [field, value] of [8, 16, 32].entries()) view.setBigUint64(at + value, BigInt(range[field] ?? 0), true);
  };
  segment(0, 1, [0, 0x1000, bytes.length]);
  segment(1, 2, [tableAt, 0x1000 + tableAt, stringsAt - tableAt]);
  if (loader !== undefined) segment(2, 3, [nameAt, 0x1000 + nameAt, name.length]);
  let offset = 1;
  const entries = needed.map((each): readonly [number, number] => {
    const entry = [1, offset] as const;
    offset += each.length + 1;
    return entry;
  });
  for (const [index, [tag, value]] of [...entries, [5, 0x1000 + stringsAt] as const].entries()) {
    view.setBigUint64(tableAt + 16 * index, BigInt(tag), true);
    view.setBigUint64(tableAt + 16 * index + 8, BigInt(value), true);
  }
  return bytes;
}

export interface Unpacked {
  readonly path: string;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly data: string;
}

/** As a kernel would, up to the trailer. */
export function unpack(archive: Uint8Array): Unpacked[] {
  const found: Unpacked[] = [];
  const aligned = (at: number) => (at + 3) & ~3;
  for (let at = 0; ; ) {
    const header = String.fromCharCode(...archive.subarray(at, at + 110));
    const field = (index: number) => Number.parseInt(header.slice(6 + 8 * index, 14 + 8 * index), 16);
    const text = (from: number, length: number) => new TextDecoder().decode(archive.subarray(from, from + length));
    const path = text(at + 110, field(11) - 1);
    const dataAt = aligned(at + 110 + field(11));
    if (path === "TRAILER!!!") return found;
    found.push({ path, mode: field(1), uid: field(2), gid: field(3), data: text(dataAt, field(6)) });
    at = aligned(dataAt + field(6));
  }
}
