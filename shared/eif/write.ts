/**
 * Writes an enclave image file, version 4, in the order of AWS's own builder:
 * kernel, cmdline, [metadata], ramdisks, [signature]. Same input, same bytes: nothing here reads a clock.
 *
 * Large parts are not copied: `eifParts` gives a header of its own and for the rest the bytes it was given, so that a
 * file is written without being held twice.
 *
 * @module
 */
import { concat, utf8 } from "../bytes.ts";
import { crc32 } from "./crc32.ts";
import {
  type Architecture,
  EIF_FIELD,
  EIF_HEADER_BYTES,
  EIF_MAGIC,
  EIF_METADATA_MAX,
  EIF_RAMDISKS_MAX,
  EIF_SECTION_HEADER_BYTES,
  EIF_VERSION,
  SECTION_TYPES,
  type SectionType,
} from "./layout.ts";
import { type EifMetadata, writeMetadata } from "./metadata.ts";

export interface EifContent {
  readonly architecture: Architecture;
  readonly kernel: Uint8Array;
  /** The kernel's command line, without a NUL. */
  readonly cmdline: string;
  /** 1 to 16; the first is the init, the rest hold the application. */
  readonly ramdisks: readonly SectionBytes[];
  /** Not measured. Left out of the file when absent. */
  readonly metadata?: EifMetadata;
  /** CBOR, not interpreted here and not measured. Left out of the file when absent. */
  readonly signature?: Uint8Array;
}

/** A section's content, whole or in parts that follow each other. */
export type SectionBytes = Uint8Array | readonly Uint8Array[];

// What AWS's builder writes; `nitro-cli run-enclave` is told the real values.
const DEFAULT_MEMORY_BYTES = 1024n * 1024n * 1024n;
const DEFAULT_CPUS = 2n;

interface Section {
  readonly type: SectionType;
  readonly parts: readonly Uint8Array[];
  readonly size: number;
}

/**
 * @throws {RangeError} an empty part, a NUL in the command line, too many ramdisks or too much metadata
 */
export function buildEif(content: EifContent): Uint8Array {
  return concat(...eifParts(content));
}

/**
 * The same file in parts, to be written one after the other.
 *
 * @throws {RangeError} as `buildEif`
 */
export function eifParts(content: EifContent): readonly Uint8Array[] {
  const { architecture, kernel, cmdline, ramdisks, metadata, signature } = content;
  if (cmdline.includes("\0")) throw new RangeError("the command line has no NUL byte");
  if (ramdisks.length < 1 || ramdisks.length > EIF_RAMDISKS_MAX) {
    throw new RangeError(`an image has 1 to ${EIF_RAMDISKS_MAX} ramdisks, not ${ramdisks.length}`);
  }
  const sections = [
    toSection("kernel", kernel),
    toSection("cmdline", utf8(cmdline)),
    ...(metadata ? [toSection("metadata", writeMetadata(metadata))] : []),
    ...ramdisks.map((ramdisk) => toSection("ramdisk", ramdisk)),
    ...(signature ? [toSection("signature", signature)] : []),
  ];
  for (const { type, size } of sections) {
    if (size === 0) throw new RangeError(`the ${type} section has a byte at least`);
    if (type === "metadata" && size > EIF_METADATA_MAX) {
      throw new RangeError(`metadata has at most ${EIF_METADATA_MAX} bytes, not ${size}`);
    }
  }
  return assemble(architecture, sections);
}

function toSection(type: SectionType, bytes: SectionBytes): Section {
  const parts = bytes instanceof Uint8Array ? [bytes] : bytes;
  return { type, parts, size: parts.reduce((sum, part) => sum + part.length, 0) };
}

function assemble(architecture: Architecture, sections: readonly Section[]): readonly Uint8Array[] {
  const header = new Uint8Array(EIF_HEADER_BYTES);
  const view = new DataView(header.buffer);
  header.set(EIF_MAGIC);
  view.setUint16(EIF_FIELD.version, EIF_VERSION);
  view.setUint16(EIF_FIELD.flags, architecture === "arm64" ? 1 : 0);
  view.setBigUint64(EIF_FIELD.defaultMemory, DEFAULT_MEMORY_BYTES);
  view.setBigUint64(EIF_FIELD.defaultCpus, DEFAULT_CPUS);
  view.setUint16(EIF_FIELD.sectionCount, sections.length);
  const body: Uint8Array[] = [];
  let offset = EIF_HEADER_BYTES;
  for (const [index, { type, parts, size }] of sections.entries()) {
    view.setBigUint64(EIF_FIELD.offsets + 8 * index, BigInt(offset));
    view.setBigUint64(EIF_FIELD.sizes + 8 * index, BigInt(size));
    body.push(sectionHeader(type, size), ...parts);
    offset += EIF_SECTION_HEADER_BYTES + size;
  }
  view.setUint32(EIF_FIELD.crc, crc32(header.subarray(0, EIF_FIELD.crc), ...body));
  return [header, ...body];
}

function sectionHeader(type: SectionType, size: number): Uint8Array {
  const out = new Uint8Array(EIF_SECTION_HEADER_BYTES);
  const view = new DataView(out.buffer);
  view.setUint16(0, SECTION_TYPES.indexOf(type));
  view.setBigUint64(4, BigInt(size));
  return out;
}
