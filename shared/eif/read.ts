/**
 * Reads an enclave image file, version 4, and accepts one layout only.
 *
 *   1. header    magic, version, known flags, zero where reserved
 *   2. walk      each section where the header's table says, of that size, one after the other, to the last byte
 *   3. order     kernel, cmdline, [metadata], ramdisks, [signature]; metadata may also stand last
 *   4. checksum  CRC-32; finds accidents, stops nobody
 *
 * AWS's own reader walks the sections and ignores the header's table, so a file can mean two things; here it can not.
 * PCRs hash content without lengths: bytes moved over a section boundary leave them equal. Compare `sections` too.
 * Gives views of the input and allocates nothing that a length field asks for.
 *
 * Source: aws-nitro-enclaves-image-format, `src/defs/mod.rs`, `src/utils/mod.rs` (order), `src/utils/eif_reader.rs`.
 *
 * @module
 */
import { equalBytes } from "../bytes.ts";
import { EifError } from "../errors/eif.ts";
import { crc32 } from "./crc32.ts";
import {
  EIF_FIELD,
  EIF_HEADER_BYTES,
  EIF_MAGIC,
  EIF_RAMDISKS_MAX,
  EIF_SECTION_HEADER_BYTES,
  EIF_SECTIONS_MAX,
  EIF_VERSION,
  type Eif,
  type EifSection,
  SECTION_TYPES,
} from "./layout.ts";
import { parseMetadataObject } from "./metadata.ts";

/**
 * @throws {EifError} `ERR_EIF_HEADER`, `ERR_EIF_SECTION`, `ERR_EIF_CRC`
 */
export function readEif(bytes: Uint8Array): Eif {
  if (bytes.length < EIF_HEADER_BYTES)
    throw header("length", `at least ${EIF_HEADER_BYTES} bytes, not ${bytes.length}`);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  checkHeader(bytes, view);
  const sections = walk(view);
  checkOrder(sections);
  checkCrc(bytes, view);
  return collect(bytes, view, sections);
}

function header(field: string, rule: string): EifError {
  return new EifError("ERR_EIF_HEADER", { field, rule });
}

function section(index: number, rule: string): EifError {
  return new EifError("ERR_EIF_SECTION", { section: index, rule });
}

function checkHeader(bytes: Uint8Array, view: DataView): void {
  if (!equalBytes(bytes.subarray(0, EIF_MAGIC.length), EIF_MAGIC)) throw header("magic", "is .eif");
  const version = view.getUint16(EIF_FIELD.version);
  if (version !== EIF_VERSION) throw header("version", `is ${EIF_VERSION}, not ${version}`);
  if ((view.getUint16(EIF_FIELD.flags) & ~1) !== 0) throw header("flags", "has no bit but the architecture's");
  if (view.getUint16(EIF_FIELD.reserved) !== 0) throw header("reserved", "is zero");
  if (view.getUint32(EIF_FIELD.unused) !== 0) throw header("unused", "is zero");
  const count = view.getUint16(EIF_FIELD.sectionCount);
  if (count < 3 || count > EIF_SECTIONS_MAX) throw header("num_sections", `is 3 to ${EIF_SECTIONS_MAX}, not ${count}`);
  for (let index = count; index < EIF_SECTIONS_MAX; index++) {
    if (view.getBigUint64(EIF_FIELD.offsets + 8 * index) !== 0n)
      throw header("section_offsets", "is zero where unused");
    if (view.getBigUint64(EIF_FIELD.sizes + 8 * index) !== 0n) throw header("section_sizes", "is zero where unused");
  }
}

function walk(view: DataView): readonly EifSection[] {
  const count = view.getUint16(EIF_FIELD.sectionCount);
  const sections: EifSection[] = [];
  let offset = EIF_HEADER_BYTES;
  for (let index = 0; index < count; index++) {
    const current = readSection(view, index, offset);
    sections.push(current);
    offset += EIF_SECTION_HEADER_BYTES + current.size;
  }
  if (offset !== view.byteLength) throw section(count, `${view.byteLength - offset} bytes follow the last section`);
  return sections;
}

/** No gap and no overlap: the table must say exactly where the section before ended. */
function readSection(view: DataView, index: number, offset: number): EifSection {
  const tableOffset = view.getBigUint64(EIF_FIELD.offsets + 8 * index);
  const tableSize = view.getBigUint64(EIF_FIELD.sizes + 8 * index);
  if (tableOffset !== BigInt(offset)) throw section(index, `starts at ${offset}, the header says ${tableOffset}`);
  if (offset + EIF_SECTION_HEADER_BYTES > view.byteLength) throw section(index, "the file ends before its header");
  const type = SECTION_TYPES[view.getUint16(offset)];
  if (type === undefined) throw section(index, "is of no known type");
  if (view.getUint16(offset + 2) !== 0) throw section(index, "has no flags");
  const size = view.getBigUint64(offset + 4);
  if (size !== tableSize) throw section(index, `has ${size} bytes, the header says ${tableSize}`);
  if (size === 0n) throw section(index, "has a byte at least");
  const room = view.byteLength - offset - EIF_SECTION_HEADER_BYTES;
  if (size > BigInt(room)) throw section(index, `announces ${size} bytes, the file has ${room} more`);
  return { type, offset, size: Number(size) };
}

function checkOrder(sections: readonly EifSection[]): void {
  if (sections[0]?.type !== "kernel") throw section(0, "the kernel comes first");
  if (sections[1]?.type !== "cmdline") throw section(1, "the command line comes second");
  const ramdisks = sections.filter(({ type }) => type === "ramdisk").length;
  if (ramdisks < 1 || ramdisks > EIF_RAMDISKS_MAX) {
    throw section(sections.length, `an image has 1 to ${EIF_RAMDISKS_MAX} ramdisks, not ${ramdisks}`);
  }
  let metadata = 0;
  let signature = 0;
  let before = 0;
  for (const [index, { type }] of sections.entries()) {
    if (index < 2) continue;
    if (type === "kernel" || type === "cmdline") throw section(index, `a second ${type}`);
    if (type === "signature" && ++signature > 1) throw section(index, "a second signature");
    if (type === "metadata" && ++metadata > 1) throw section(index, "second metadata");
    // AWS's builder writes metadata after the command line; other builders write it last.
    const place = type === "ramdisk" ? 2 : type === "signature" ? 3 : index === 2 ? 1 : 4;
    if (place < before) throw section(index, `a ${type} section does not stand here`);
    before = place;
  }
}

function checkCrc(bytes: Uint8Array, view: DataView): void {
  const expected = view.getUint32(EIF_FIELD.crc);
  const actual = crc32(bytes.subarray(0, EIF_FIELD.crc), bytes.subarray(EIF_HEADER_BYTES));
  if (actual !== expected) throw new EifError("ERR_EIF_CRC", { expected: hex32(expected), actual: hex32(actual) });
}

function hex32(value: number): string {
  return value.toString(16).padStart(8, "0");
}

function collect(bytes: Uint8Array, view: DataView, sections: readonly EifSection[]): Eif {
  const content = ({ offset, size }: EifSection): Uint8Array =>
    bytes.subarray(offset + EIF_SECTION_HEADER_BYTES, offset + EIF_SECTION_HEADER_BYTES + size);
  const all = (type: EifSection["type"]): Uint8Array[] => sections.filter((s) => s.type === type).map(content);
  const [kernel = new Uint8Array()] = all("kernel");
  const [cmdline = new Uint8Array()] = all("cmdline");
  const [metadata] = all("metadata");
  const [signature] = all("signature");
  if (metadata) parseMetadataObject(metadata);
  return {
    architecture: view.getUint16(EIF_FIELD.flags) & 1 ? "arm64" : "x86_64",
    defaultMemoryBytes: view.getBigUint64(EIF_FIELD.defaultMemory),
    defaultCpus: view.getBigUint64(EIF_FIELD.defaultCpus),
    kernel,
    cmdline,
    ramdisks: all("ramdisk"),
    ...(metadata && { metadata }),
    ...(signature && { signature }),
    sections,
  };
}
