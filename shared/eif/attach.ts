/**
 * Plans how a signature section gets into an image: which bytes stay, which are new.
 *
 * It stands after the last ramdisk, as AWS's builder puts it; one that is there is replaced. Nothing that PCR0, PCR1 or
 * PCR2 measure moves. The checksum is left zero: it takes a pass over the new file.
 *
 * @module
 */
import { EIF_FIELD, EIF_SECTION_HEADER_BYTES, EIF_SECTIONS_MAX, SECTION_TYPES } from "./layout.ts";
import type { EifLayout } from "./walk.ts";

/** A piece of the new file, in order: bytes, or a range of the old file. */
export type Piece =
  | { readonly kind: "bytes"; readonly bytes: Uint8Array }
  | { readonly kind: "copy"; readonly from: number; readonly to: number };

export interface AttachPlan {
  /** The new file's header, its checksum zero. */
  readonly header: Uint8Array;
  /** What follows the header. */
  readonly pieces: readonly Piece[];
}

/**
 * @param header of the old file, 548 bytes
 * @param layout of the old file, as the strict reader gives it
 */
export function planSignature(
  header: Uint8Array,
  { layout, content }: { readonly layout: EifLayout; readonly content: Uint8Array },
): AttachPlan {
  const kept = layout.sections.filter(({ type }) => type !== "signature");
  const after = kept.findLastIndex(({ type }) => type === "ramdisk");
  const start = kept[0]?.offset ?? layout.size;
  const sections = kept.map(({ offset, size }) => ({
    size,
    pieces: [{ kind: "copy", from: offset, to: offset + EIF_SECTION_HEADER_BYTES + size }] as Piece[],
  }));
  sections.splice(after + 1, 0, {
    size: content.length,
    pieces: [
      { kind: "bytes", bytes: sectionHeader(content.length) },
      { kind: "bytes", bytes: content },
    ],
  });
  return {
    header: newHeader(
      header,
      start,
      sections.map(({ size }) => size),
    ),
    pieces: sections.flatMap((s) => s.pieces),
  };
}

function newHeader(old: Uint8Array, start: number, sizes: readonly number[]): Uint8Array {
  const header = old.slice();
  const view = new DataView(header.buffer);
  view.setUint16(EIF_FIELD.sectionCount, sizes.length);
  view.setUint32(EIF_FIELD.crc, 0);
  let offset = start;
  for (let index = 0; index < EIF_SECTIONS_MAX; index++) {
    const size = sizes[index];
    view.setBigUint64(EIF_FIELD.offsets + 8 * index, BigInt(size === undefined ? 0 : offset));
    view.setBigUint64(EIF_FIELD.sizes + 8 * index, BigInt(size ?? 0));
    if (size !== undefined) offset += EIF_SECTION_HEADER_BYTES + size;
  }
  return header;
}

function sectionHeader(size: number): Uint8Array {
  const header = new Uint8Array(EIF_SECTION_HEADER_BYTES);
  const view = new DataView(header.buffer);
  view.setUint16(0, SECTION_TYPES.indexOf("signature"));
  view.setBigUint64(4, BigInt(size));
  return header;
}
