/**
 * Writes an enclave image file, version 4, in the order of AWS's own builder:
 * kernel, cmdline, [metadata], ramdisks. Same input, same bytes: nothing here reads a clock.
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
  readonly ramdisks: readonly Uint8Array[];
  /** Not measured. Left out of the file when absent. */
  readonly metadata?: EifMetadata;
}

// What AWS's builder writes; `nitro-cli run-enclave` is told the real values.
const DEFAULT_MEMORY_BYTES = 1024n * 1024n * 1024n;
const DEFAULT_CPUS = 2n;

/**
 * @throws {RangeError} an empty part, a NUL in the command line, too many ramdisks or too much metadata
 */
export function buildEif(content: EifContent): Uint8Array {
  const { architecture, kernel, cmdline, ramdisks, metadata } = content;
  if (cmdline.includes("\0")) throw new RangeError("the command line has no NUL byte");
  if (ramdisks.length < 1 || ramdisks.length > EIF_RAMDISKS_MAX) {
    throw new RangeError(`an image has 1 to ${EIF_RAMDISKS_MAX} ramdisks, not ${ramdisks.length}`);
  }
  const sections: (readonly [SectionType, Uint8Array])[] = [
    ["kernel", kernel],
    ["cmdline", utf8(cmdline)],
    ...(metadata ? [["metadata", writeMetadata(metadata)] as const] : []),
    ...ramdisks.map((ramdisk) => ["ramdisk", ramdisk] as const),
  ];
  for (const [type, bytes] of sections) {
    if (bytes.length === 0) throw new RangeError(`the ${type} section has a byte at least`);
    if (type === "metadata" && bytes.length > EIF_METADATA_MAX) {
      throw new RangeError(`metadata has at most ${EIF_METADATA_MAX} bytes, not ${bytes.length}`);
    }
  }
  return assemble(architecture, sections);
}

function assemble(architecture: Architecture, sections: readonly (readonly [SectionType, Uint8Array])[]): Uint8Array {
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
  for (const [index, [type, bytes]] of sections.entries()) {
    view.setBigUint64(EIF_FIELD.offsets + 8 * index, BigInt(offset));
    view.setBigUint64(EIF_FIELD.sizes + 8 * index, BigInt(bytes.length));
    body.push(sectionHeader(type, bytes.length), bytes);
    offset += EIF_SECTION_HEADER_BYTES + bytes.length;
  }
  view.setUint32(EIF_FIELD.crc, crc32(header.subarray(0, EIF_FIELD.crc), ...body));
  return concat(header, ...body);
}

function sectionHeader(type: SectionType, size: number): Uint8Array {
  const out = new Uint8Array(EIF_SECTION_HEADER_BYTES);
  const view = new DataView(out.buffer);
  view.setUint16(0, SECTION_TYPES.indexOf(type));
  view.setBigUint64(4, BigInt(size));
  return out;
}
