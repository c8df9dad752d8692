/**
 * Walks the structure of an image: header, then section after section to the last byte. Content is not read.
 *
 *   1. header   magic, version, known flags, zero where reserved
 *   2. walk     each section where the header's table says, of that size, one after the other, to the end
 *   3. order    kernel, cmdline, [metadata], ramdisks, [signature]; metadata may also stand last
 *
 * AWS's own reader walks the sections and ignores the header's table, so a file can mean two things; what is accepted
 * strictly can not. What neither reader can go on from is thrown in both modes. Nothing is allocated that a length asks for.
 *
 * Source: aws-nitro-enclaves-image-format, `src/defs/mod.rs`, `src/utils/mod.rs` (order), `src/utils/eif_reader.rs`.
 *
 * @module
 */
import { equalBytes } from "../bytes.ts";
import { EifError } from "../errors/eif.ts";
import type { Findings } from "./finding.ts";
import {
  type Architecture,
  EIF_FIELD,
  EIF_HEADER_BYTES,
  EIF_MAGIC,
  EIF_RAMDISKS_MAX,
  EIF_SECTION_HEADER_BYTES,
  EIF_SECTIONS_MAX,
  EIF_VERSION,
  type EifSection,
  SECTION_TYPES,
} from "./layout.ts";
import type { Parser } from "./source.ts";

/** What the header says and where the sections are. */
export interface EifLayout {
  /** Of the whole file, in bytes. */
  readonly size: number;
  readonly version: number;
  readonly flags: number;
  readonly architecture: Architecture;
  readonly defaultMemoryBytes: bigint;
  readonly defaultCpus: bigint;
  /** As the header says; whether it is right takes a pass over the file. */
  readonly crc32: number;
  readonly sections: readonly EifSection[];
}

/** AWS's reader has no limit; a hostile file of many empty sections must have one here. */
const WALK_MAX = 1024;
const NOT_CHECKED = "does not check this";

/** @throws {EifError} `ERR_EIF_HEADER`, `ERR_EIF_SECTION`; when collecting, only where AWS's reader fails too */
export function* walkEif(size: number, findings: Findings): Parser<EifLayout> {
  if (size < EIF_HEADER_BYTES) {
    throw new EifError("ERR_EIF_HEADER", { field: "length", rule: `at least ${EIF_HEADER_BYTES} bytes, not ${size}` });
  }
  const header = yield { offset: 0, length: EIF_HEADER_BYTES };
  const view = new DataView(header.buffer, header.byteOffset, EIF_HEADER_BYTES);
  checkHeader(header, view, findings);
  const sections = yield* walkSections(size, view, findings);
  checkOrder(sections, findings);
  const flags = view.getUint16(EIF_FIELD.flags);
  return {
    size,
    version: view.getUint16(EIF_FIELD.version),
    flags,
    architecture: flags & 1 ? "arm64" : "x86_64",
    defaultMemoryBytes: view.getBigUint64(EIF_FIELD.defaultMemory),
    defaultCpus: view.getBigUint64(EIF_FIELD.defaultCpus),
    crc32: view.getUint32(EIF_FIELD.crc),
    sections,
  };
}

function checkHeader(header: Uint8Array, view: DataView, findings: Findings): void {
  const wrong = (field: string, rule: string): void => findings.error("ERR_EIF_HEADER", { field, rule }, NOT_CHECKED);
  if (!equalBytes(header.subarray(0, EIF_MAGIC.length), EIF_MAGIC)) wrong("magic", "is .eif");
  const version = view.getUint16(EIF_FIELD.version);
  if (version !== EIF_VERSION) wrong("version", `is ${EIF_VERSION}, not ${version}`);
  if ((view.getUint16(EIF_FIELD.flags) & ~1) !== 0) wrong("flags", "has no bit but the architecture's");
  if (view.getUint16(EIF_FIELD.reserved) !== 0) wrong("reserved", "is zero");
  if (view.getUint32(EIF_FIELD.unused) !== 0) wrong("unused", "is zero");
  const count = view.getUint16(EIF_FIELD.sectionCount);
  if (count < 3 || count > EIF_SECTIONS_MAX) wrong("num_sections", `is 3 to ${EIF_SECTIONS_MAX}, not ${count}`);
  const unused = Array.from({ length: EIF_SECTIONS_MAX }, (_, index) => 8 * index).slice(count);
  for (const [field, at] of [
    ["section_offsets", EIF_FIELD.offsets],
    ["section_sizes", EIF_FIELD.sizes],
  ] as const) {
    if (unused.some((entry) => view.getBigUint64(at + entry) !== 0n)) wrong(field, "is zero where unused");
  }
}

function* walkSections(size: number, header: DataView, findings: Findings): Parser<readonly EifSection[]> {
  const count = header.getUint16(EIF_FIELD.sectionCount);
  const sections: EifSection[] = [];
  let offset = EIF_HEADER_BYTES;
  for (let index = 0; ; index++) {
    const left = size - offset;
    const isWhole = left >= EIF_SECTION_HEADER_BYTES;
    if (index === count && left > 0) {
      const aws = isWhole ? "reads them as further sections" : "ignores them; no PCR measures them";
      findings.error("ERR_EIF_SECTION", { section: index, rule: `${left} bytes follow the last section` }, aws);
    }
    if (!isWhole) {
      if (index < count) {
        const rule = "the file ends before its header";
        findings.error("ERR_EIF_SECTION", { section: index, rule }, "stops here and does not count sections");
      }
      return sections;
    }
    if (index === WALK_MAX) throw fatal(index, `more than ${WALK_MAX} sections`);
    const current = toSection(index, offset, yield { offset, length: EIF_SECTION_HEADER_BYTES });
    checkSection(current, { index, left, header, findings });
    sections.push({ type: current.type, offset, size: Number(current.size) });
    offset += EIF_SECTION_HEADER_BYTES + Number(current.size);
  }
}

interface RawSection {
  readonly type: EifSection["type"];
  readonly flags: number;
  readonly offset: number;
  readonly size: bigint;
}

function toSection(index: number, offset: number, bytes: Uint8Array): RawSection {
  const view = new DataView(bytes.buffer, bytes.byteOffset, EIF_SECTION_HEADER_BYTES);
  const type = SECTION_TYPES[view.getUint16(0)];
  if (type === undefined) throw fatal(index, "is of no known type");
  return { type, flags: view.getUint16(2), offset, size: view.getBigUint64(4) };
}

interface Place {
  readonly index: number;
  /** Bytes from the section's header to the file's end. */
  readonly left: number;
  readonly header: DataView;
  readonly findings: Findings;
}

/** No gap and no overlap: the table must say exactly where the section before ended. */
function checkSection({ flags, offset, size }: RawSection, { index, left, header, findings }: Place): void {
  const wrong = (rule: string, aws = NOT_CHECKED): void =>
    findings.error("ERR_EIF_SECTION", { section: index, rule }, aws);
  if (index < EIF_SECTIONS_MAX) {
    const tableOffset = header.getBigUint64(EIF_FIELD.offsets + 8 * index);
    const tableSize = header.getBigUint64(EIF_FIELD.sizes + 8 * index);
    const ignores = "ignores the header's table";
    if (tableOffset !== BigInt(offset)) wrong(`starts at ${offset}, the header says ${tableOffset}`, ignores);
    if (size !== tableSize) wrong(`has ${size} bytes, the header says ${tableSize}`, ignores);
  }
  if (flags !== 0) wrong("has no flags");
  if (size === 0n) wrong("has a byte at least", "takes it as it is");
  const room = left - EIF_SECTION_HEADER_BYTES;
  if (size > BigInt(room)) throw fatal(index, `announces ${size} bytes, the file has ${room} more`);
}

function checkOrder(sections: readonly EifSection[], findings: Findings): void {
  const wrong = (section: number, rule: string, aws = "measures in the order of the file"): void =>
    findings.error("ERR_EIF_SECTION", { section, rule }, aws);
  if (sections[0]?.type !== "kernel") wrong(0, "the kernel comes first");
  if (sections[1]?.type !== "cmdline") wrong(1, "the command line comes second");
  const ramdisks = sections.filter(({ type }) => type === "ramdisk").length;
  if (ramdisks < 1 || ramdisks > EIF_RAMDISKS_MAX) {
    wrong(sections.length, `an image has 1 to ${EIF_RAMDISKS_MAX} ramdisks, not ${ramdisks}`, "does not count them");
  }
  const seen = new Set<EifSection["type"]>();
  let before = 0;
  for (const [index, { type }] of sections.entries()) {
    const isSecond = seen.has(type);
    seen.add(type);
    if (index < 2) continue;
    if (type === "kernel" || type === "cmdline") wrong(index, `a second ${type}`, "measures both");
    else if (type !== "ramdisk" && isSecond) wrong(index, `a second ${type}`, AWS_ON_A_SECOND[type]);
    // AWS's builder writes metadata after the command line; other builders write it last.
    const place = type === "ramdisk" ? 2 : type === "signature" ? 3 : index === 2 ? 1 : 4;
    if (place < before) wrong(index, `a ${type} section does not stand here`);
    before = place;
  }
}

const AWS_ON_A_SECOND = {
  metadata: "keeps the last",
  signature: "shows the last, and PCR8 over the certificates of all",
} as const;

function fatal(section: number, rule: string): EifError {
  return new EifError("ERR_EIF_SECTION", { section, rule });
}
