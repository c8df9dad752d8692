/**
 * Hashes an image of any size in one pass, with a few buffers.
 *
 *   image   kernel ‖ cmdline ‖ ramdisks → PCR0; its state after the first ramdisk → PCR1
 *   app     the other ramdisks → PCR2
 *   crc     the whole file but the header's own field
 *
 * So PCR1 costs nothing: it is a prefix of PCR0, in every layout that is accepted strictly. Where it is not one, it is
 * hashed apart, in the order of the file as AWS's reader would. The digests are values: Node's may run beside each other
 * on two cores, which is why `update` may answer later; a buffer is used again only when all have answered.
 *
 * Source: aws-nitro-enclaves-image-format, `src/utils/eif_reader.rs`.
 *
 * @module
 */
import { extendPcr, zeroPcr } from "../nsm/pcr.ts";
import { EIF_FIELD, EIF_HEADER_BYTES, EIF_SECTION_HEADER_BYTES, type EifSection } from "./layout.ts";
import type { EifMeasurements } from "./measure.ts";
import type { EifSource } from "./source.ts";
import type { EifLayout } from "./walk.ts";

/** An incremental digest or checksum of what it was given. */
export interface Incremental<Value> {
  /** May answer before it has read `bytes`: they stay as they are until the promise settles. */
  update(bytes: Uint8Array): void | Promise<void>;
  /** Of what came so far; more may follow. */
  value(): Value | Promise<Value>;
}

/** What is hashed: each is asked for at most once, `section` once for each. */
export type DigestRole = "image" | "app" | "boot" | "section";

export interface EifDigests {
  sha384(role: DigestRole): Incremental<Uint8Array>;
  crc32(): Incremental<number>;
  /** Memory for a piece of the file. */
  buffer(bytes: number): Uint8Array;
}

export interface SourceDigests {
  readonly measurements: EifMeasurements;
  readonly crc32: number;
  /** SHA-384 of each section's content, in their order; empty where not asked for. */
  readonly sections: readonly Uint8Array[];
}

export interface DigestOptions {
  readonly digests: EifDigests;
  /** Whether each section is hashed by itself too. */
  readonly eachSection: boolean;
}

const PIECE_BYTES = 2 * 1024 * 1024;
const PIECES = 3;

/** Reads the whole source once, in order. */
export async function digestSource(
  source: EifSource,
  layout: EifLayout,
  { digests, eachSection }: DigestOptions,
): Promise<SourceDigests> {
  const plan = planOf(layout.sections, digests, eachSection);
  const crc = digests.crc32();
  const ring = Array.from({ length: PIECES }, () => digests.buffer(PIECE_BYTES));
  const inUse: Promise<unknown>[] = ring.map(() => Promise.resolve());
  let turn = 0;
  for (const { from, to, into, after } of segments(layout, plan, crc)) {
    for (let offset = from; offset < to; offset += PIECE_BYTES) {
      const slot = turn++ % PIECES;
      await inUse[slot];
      const piece = (ring[slot] ?? new Uint8Array(0)).subarray(0, Math.min(PIECE_BYTES, to - offset));
      await source.read(offset, piece);
      inUse[slot] = all(into.map((digest) => digest.update(piece)));
    }
    after?.();
  }
  await Promise.all(inUse);
  return { measurements: await plan.measurements(), crc32: await crc.value(), sections: await plan.sections() };
}

/** Settles when all have; a failure is nobody's to handle until the slot's turn comes. */
function all(answers: readonly (void | Promise<void>)[]): Promise<unknown> {
  const settled = Promise.all(answers);
  settled.catch(() => undefined);
  return settled;
}

interface Segment {
  readonly from: number;
  readonly to: number;
  readonly into: readonly Incremental<unknown>[];
  readonly after?: (() => void) | undefined;
}

/** The file from end to end, cut where what it goes into changes. */
function* segments(layout: EifLayout, plan: Plan, crc: Incremental<number>): Generator<Segment> {
  yield { from: 0, to: EIF_FIELD.crc, into: [crc] };
  let at = EIF_HEADER_BYTES;
  for (const [index, section] of layout.sections.entries()) {
    const content = section.offset + EIF_SECTION_HEADER_BYTES;
    yield { from: at, to: content, into: [crc] };
    at = content + section.size;
    const { into, after } = plan.at(index);
    yield { from: content, to: at, into: [...into, crc], after };
  }
  yield { from: at, to: layout.size, into: [crc] };
}

interface Plan {
  at(index: number): { readonly into: readonly Incremental<Uint8Array>[]; readonly after?: (() => void) | undefined };
  measurements(): Promise<EifMeasurements>;
  sections(): Promise<readonly Uint8Array[]>;
}

function planOf(sections: readonly EifSection[], digests: EifDigests, eachSection: boolean): Plan {
  const isMeasured = ({ type }: EifSection): boolean => type === "kernel" || type === "cmdline" || type === "ramdisk";
  const firstRamdisk = sections.findIndex(({ type }) => type === "ramdisk");
  const isApp = (index: number): boolean => index > firstRamdisk && sections[index]?.type === "ramdisk";
  const isBoot = (index: number): boolean => isMeasured(sections[index] as EifSection) && !isApp(index);
  const indexes = [...sections.keys()];
  const lastBoot = indexes.findLast(isBoot) ?? -1;
  const isPrefix = !indexes.some((index) => index < lastBoot && isApp(index));
  const [image, app] = [digests.sha384("image"), digests.sha384("app")];
  const boot = isPrefix ? undefined : digests.sha384("boot");
  const each = eachSection ? sections.map(() => digests.sha384("section")) : [];
  let prefix: Promise<Uint8Array> | undefined;
  return {
    at: (index) => {
      const own = each[index];
      const into: Incremental<Uint8Array>[] = own ? [own] : [];
      if (isMeasured(sections[index] as EifSection)) into.push(image);
      if (isApp(index)) into.push(app);
      else if (boot && isBoot(index)) into.push(boot);
      // Asked for here, before anything else goes in; answered whenever.
      const after = (): void => {
        prefix = Promise.resolve(image.value());
        prefix.catch(() => undefined);
      };
      return { into, after: !boot && index === lastBoot ? after : undefined };
    },
    measurements: async () => {
      const first = boot?.value() ?? prefix ?? image.value();
      const [pcr0, pcr1, pcr2] = await Promise.all([image.value(), first, app.value()]);
      return { pcr0: await extend(pcr0), pcr1: await extend(pcr1), pcr2: await extend(pcr2) };
    },
    sections: () => Promise.all(each.map((digest) => digest.value())),
  };
}

function extend(digest: Uint8Array): Promise<Uint8Array> {
  return extendPcr(zeroPcr(), digest);
}
