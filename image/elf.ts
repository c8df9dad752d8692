/**
 * Reads which shared libraries an executable asks for: ELF, 64 bits, little-endian.
 *
 *   program headers   PT_INTERP names the loader, PT_DYNAMIC the table of needs, PT_LOAD where addresses are in the file
 *   dynamic table     DT_NEEDED: offsets into the table of strings at DT_STRTAB
 *
 * Source: System V gABI, chapters 4 and 5 (ELF header, program header, dynamic section).
 *
 * @module
 */
import type { Architecture } from "../shared/eif/layout.ts";
import { EifError } from "../shared/errors/eif.ts";

export interface Elf {
  /** Absolute path of the loader; absent in a library and in a static executable. */
  readonly loader?: string;
  /** Names such as `libc.so.6`. */
  readonly needed: readonly string[];
}

const MACHINE: Readonly<Record<Architecture, number>> = { x86_64: 62, arm64: 183 };
const PT = { load: 1, dynamic: 2, interp: 3 } as const;
const DT = { none: 0, needed: 1, strtab: 5 } as const;
const PROGRAM_HEADER_BYTES = 56;
const TEXT_MAX = 256;
const NEEDED_MAX = 64;

/**
 * @param name only named in the error
 * @throws {EifError} `ERR_EIF_INPUT` not such a file, or one that points outside itself
 */
export function readElf(bytes: Uint8Array, name: string, architecture: Architecture): Elf {
  const refuse = (rule: string, cause?: unknown): never => {
    throw new EifError("ERR_EIF_INPUT", { input: name, rule }, { cause });
  };
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  try {
    if (view.getUint32(0) !== 0x7f454c46 || view.getUint16(4) !== 0x0201) refuse("it is ELF, 64 bits, little-endian");
    if (view.getUint16(18, true) !== MACHINE[architecture]) refuse(`it is for ${architecture}`);
    return readSegments(view, refuse);
  } catch (cause) {
    if (cause instanceof RangeError) return refuse("its tables are within it", cause);
    throw cause;
  }
}

interface Segment {
  readonly type: number;
  readonly offset: number;
  readonly address: number;
  readonly size: number;
}

function readSegments(view: DataView, refuse: (rule: string) => never): Elf {
  const count = view.getUint16(56, true);
  const start = number(view, 32);
  const segments = Array.from({ length: count }, (_, index): Segment => {
    const at = start + index * PROGRAM_HEADER_BYTES;
    const type = view.getUint32(at, true);
    return { type, offset: number(view, at + 8), address: number(view, at + 16), size: number(view, at + 32) };
  });
  const interp = segments.find(({ type }) => type === PT.interp);
  const dynamic = segments.find(({ type }) => type === PT.dynamic);
  const loader = interp ? { loader: text(view, interp.offset) } : {};
  if (!dynamic) return { ...loader, needed: [] };
  const entries: (readonly [tag: number, value: number])[] = [];
  for (let at = dynamic.offset; at < dynamic.offset + dynamic.size; at += 16) {
    const tag = number(view, at);
    if (tag === DT.none) break;
    if (tag === DT.needed || tag === DT.strtab) entries.push([tag, number(view, at + 8)]);
    if (entries.length > NEEDED_MAX + 1) return refuse(`it asks for at most ${NEEDED_MAX} libraries`);
  }
  const address = entries.find(([tag]) => tag === DT.strtab)?.[1];
  const home = segments.find((s) => s.type === PT.load && address !== undefined && within(s, address));
  if (address === undefined || !home) return refuse("it has a table of strings");
  const strings = address - home.address + home.offset;
  return {
    ...loader,
    needed: entries.filter(([tag]) => tag === DT.needed).map(([, offset]) => text(view, strings + offset)),
  };
}

function within({ address, size }: Segment, wanted: number): boolean {
  return wanted >= address && wanted < address + size;
}

/** A field of 64 bits; beyond 2^53 it is a number no file reaches. */
function number(view: DataView, at: number): number {
  return Number(view.getBigUint64(at, true));
}

function text(view: DataView, at: number): string {
  let end = at;
  while (view.getUint8(end) !== 0) if (++end - at > TEXT_MAX) throw new RangeError("a name without an end");
  return String.fromCharCode(...new Uint8Array(view.buffer, view.byteOffset + at, end - at));
}
