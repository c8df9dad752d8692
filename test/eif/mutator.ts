/**
 * Changes images where their structure is: header fields, table, section headers, the order of sections, and inside
 * signature and metadata. Most changes are sealed with a right checksum, so that they get past it.
 *
 * @module
 */
import { concat, utf8 } from "../../shared/bytes.ts";
import { EIF_FIELD, EIF_HEADER_BYTES } from "../../shared/eif/layout.ts";
import { mutate, type xorshift } from "../fuzz/fuzzer.ts";
import { CMDLINE, craft, KERNEL, METADATA, metadata, type Part, RAMDISK, SIGNATURE, sealed, viewOf } from "./craft.ts";
import { anySignature } from "./signing.ts";

type Random = ReturnType<typeof xorshift>;

const kernel: Part = [KERNEL, utf8("kernel")];
const cmdline: Part = [CMDLINE, utf8("console=ttyS0")];
const [init, app]: [Part, Part] = [
  [RAMDISK, utf8("init")],
  [RAMDISK, utf8("application")],
];
const signature: Part = [SIGNATURE, anySignature()];
const meta: Part = [METADATA, utf8(JSON.stringify(metadata))];

/** Accepted strictly, each of another shape. */
export const SHAPES: readonly (readonly Part[])[] = [
  [kernel, cmdline, meta, init, app],
  [kernel, cmdline, meta, init, app, signature],
  [kernel, cmdline, init, app, signature, meta],
  [kernel, cmdline, init],
];

const U16 = [EIF_FIELD.version, EIF_FIELD.flags, EIF_FIELD.reserved, EIF_FIELD.sectionCount] as const;
const U64 = [EIF_FIELD.defaultMemory, EIF_FIELD.defaultCpus] as const;

export function mutateEif(random: Random): Uint8Array {
  const parts = pick(SHAPES, random);
  const file = random(3) === 0 ? craft(mutateParts(parts, random)) : mutateFields(craft(parts), parts, random);
  const cut = random(12);
  const sized =
    cut === 0
      ? file.slice(0, random(file.length))
      : cut === 1
        ? concat(file, new Uint8Array(1 + random(30)).fill(random(6)))
        : file;
  return random(4) > 0 && sized.length >= EIF_HEADER_BYTES ? sealed(sized) : sized;
}

/** Sections in another order, twice, gone, empty, of another type, or with another content; the table is right. */
function mutateParts(parts: readonly Part[], random: Random): readonly Part[] {
  const list = [...parts];
  for (let rounds = 1 + random(2); rounds > 0; rounds--) {
    const at = random(list.length || 1);
    const [type, bytes] = list[at] ?? kernel;
    const change = random(8);
    if (change === 0) list.splice(at, 1);
    else if (change === 1) list.splice(random(list.length + 1), 0, [type, bytes]);
    else if (change === 2) list.splice(at, 1, [type, new Uint8Array(0)]);
    else if (change === 3) list.splice(at, 1, [random(8), bytes]);
    else if (change === 4) list.splice(random(list.length + 1), 0, ...list.splice(at, 1));
    else list.splice(at, 1, [type, mutate(bytes, pick(parts, random)[1], random)]);
  }
  return list.slice(0, 32);
}

function mutateFields(file: Uint8Array, parts: readonly Part[], random: Random): Uint8Array {
  const view = viewOf(file);
  for (let rounds = 1 + random(3); rounds > 0; rounds--) {
    const index = random(parts.length);
    const at = sectionAt(parts, index);
    const size = interesting(file.length, random);
    const change = random(8);
    if (change === 0) view.setUint16(pick(U16, random), Number(size & 0xffffn));
    else if (change === 1) view.setBigUint64(pick(U64, random), size);
    else if (change === 2) view.setBigUint64(EIF_FIELD.offsets + 8 * random(32), size);
    else if (change === 3) view.setBigUint64(EIF_FIELD.sizes + 8 * random(32), size);
    else if (change === 4) view.setUint16(at + 2 * random(2), random(9));
    else if (change === 5) view.setBigUint64(at + 4, size);
    else if (change === 6) {
      // A lie that table and section agree on.
      view.setBigUint64(EIF_FIELD.sizes + 8 * index, size);
      view.setBigUint64(at + 4, size);
    } else file[random(file.length)] = random(256);
  }
  return file;
}

/** Where a section's header stands. */
function sectionAt(parts: readonly Part[], index: number): number {
  return parts.slice(0, index).reduce((sum, [, bytes]) => sum + 12 + bytes.length, EIF_HEADER_BYTES);
}

function interesting(length: number, random: Random): bigint {
  const near = [0, 1, 3, 11, 12, 32, 33, EIF_HEADER_BYTES, length, 0xffff].map((value) => BigInt(value));
  const far = [31n, 32n, 53n, 63n, 64n].map((bits) => 1n << bits);
  const value = pick([...near, ...far], random) + BigInt(random(3)) - 1n;
  return value < 0n ? (1n << 64n) - 1n : value & 0xffff_ffff_ffff_ffffn;
}

function pick<Item>(list: readonly Item[], random: Random): Item {
  return list[random(list.length)] as Item;
}
