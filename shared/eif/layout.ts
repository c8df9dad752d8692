/**
 * The layout of an enclave image file (EIF), version 4. All numbers are big-endian.
 *
 *   0    magic ".eif"            4
 *   4    version                 u16
 *   6    flags                   u16   bit 0: arm64
 *   8    default memory, bytes   u64
 *   16   default cpus            u64
 *   24   reserved                u16
 *   26   number of sections      u16
 *   28   section offsets         u64 × 32
 *   284  section sizes           u64 × 32
 *   540  unused                  u32
 *   544  CRC-32                  u32   over the whole file but these four bytes
 *   548  sections, each: type u16, flags u16, size u64, content
 *
 * Source: aws-nitro-enclaves-image-format, `src/defs/mod.rs`.
 *
 * @module
 */

export const EIF_MAGIC: Uint8Array = Uint8Array.of(0x2e, 0x65, 0x69, 0x66);
export const EIF_VERSION = 4;
export const EIF_HEADER_BYTES = 548;
export const EIF_SECTION_HEADER_BYTES = 12;
export const EIF_SECTIONS_MAX = 32;
/** AWS's tools write two; more than this is no layout we know. */
export const EIF_RAMDISKS_MAX = 16;
/** Metadata is not measured and is parsed as JSON, so it is kept small. */
export const EIF_METADATA_MAX: number = 1024 * 1024;
/** One certificate and one signature, two bytes a byte: a few kilobytes in earnest. */
export const EIF_SIGNATURE_MAX: number = 64 * 1024;

/** Where each header field stands, in bytes. */
export const EIF_FIELD = {
  version: 4,
  flags: 6,
  defaultMemory: 8,
  defaultCpus: 16,
  reserved: 24,
  sectionCount: 26,
  offsets: 28,
  sizes: 284,
  unused: 540,
  crc: 544,
} as const;

export type SectionType = "kernel" | "cmdline" | "ramdisk" | "signature" | "metadata";

/** The section types by their number in the file; 0 is invalid. */
export const SECTION_TYPES: readonly (SectionType | undefined)[] = [
  undefined,
  "kernel",
  "cmdline",
  "ramdisk",
  "signature",
  "metadata",
];

export type Architecture = "x86_64" | "arm64";

/** One section as it stands in the file. Offset of its header and size of its content, in bytes. */
export interface EifSection {
  readonly type: SectionType;
  readonly offset: number;
  readonly size: number;
}

/** A parsed image. The byte strings are views of the bytes it was read from. */
export interface Eif {
  readonly architecture: Architecture;
  readonly defaultMemoryBytes: bigint;
  readonly defaultCpus: bigint;
  readonly kernel: Uint8Array;
  readonly cmdline: Uint8Array;
  /** At least one. The first is AWS's init, the rest hold the application. */
  readonly ramdisks: readonly Uint8Array[];
  /** JSON text, not measured: nothing vouches for it. */
  readonly metadata?: Uint8Array;
  /** CBOR, not interpreted here. */
  readonly signature?: Uint8Array;
  /** The section table. Two images with equal PCRs can differ here, since PCRs hash content without lengths. */
  readonly sections: readonly EifSection[];
}
