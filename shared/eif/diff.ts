/**
 * Compares two images: their PCRs, and what PCRs do not see.
 *
 *   identical    no difference
 *   unmeasured   the same kernel, command line and ramdisks; header defaults, metadata or signature differ
 *   boundaries   equal PCRs, yet bytes stand in another section or a section was split: not the same image
 *   measured     PCRs differ
 *
 * @module
 */
import { toHex } from "../bytes.ts";
import type { EifInspection } from "./inspect.ts";
import type { SectionType } from "./layout.ts";

export interface SectionSummary {
  readonly type: SectionType;
  readonly size: number;
  /** SHA-384 of the content, hex. */
  readonly sha384: string;
}

/** `left` or `right` is absent where that image has none. */
export type EifDifference =
  | { readonly kind: "pcr"; readonly index: number; readonly left?: string; readonly right?: string }
  | {
      readonly kind: "section";
      readonly index: number;
      readonly left?: SectionSummary;
      readonly right?: SectionSummary;
    }
  | { readonly kind: "header"; readonly field: string; readonly left: string; readonly right: string };

export interface EifDiff {
  readonly verdict: "identical" | "unmeasured" | "boundaries" | "measured";
  readonly differences: readonly EifDifference[];
}

/** @param left inspected with `eachSection`, as is `right` */
export function diffEif(left: EifInspection, right: EifInspection): EifDiff {
  const pcrs = diffPcrs(left, right);
  const [a, b] = [summaries(left), summaries(right)];
  const sections = zip(a, b).flatMap(([l, r], index): EifDifference[] =>
    same(l, r) ? [] : [{ kind: "section", index, ...(l && { left: l }), ...(r && { right: r }) }],
  );
  const differences = [...pcrs, ...sections, ...diffHeaders(left, right)];
  const areSameSections = zip(a.filter(isMeasured), b.filter(isMeasured)).every(([l, r]) => same(l, r));
  const arePcrsEqual = pcrs.every((difference) => difference.kind !== "pcr" || difference.index > 2);
  const verdict =
    differences.length === 0 ? "identical" : !arePcrsEqual ? "measured" : areSameSections ? "unmeasured" : "boundaries";
  return { verdict, differences };
}

function diffPcrs(left: EifInspection, right: EifInspection): EifDifference[] {
  const hex = (bytes: Uint8Array | undefined): string | undefined => bytes && toHex(bytes);
  const [a, b] = [left.measurements, right.measurements];
  return ([0, 1, 2, 8] as const).flatMap((index): EifDifference[] => {
    const [l, r] = [hex(a[`pcr${index}`]), hex(b[`pcr${index}`])];
    return l === r
      ? []
      : [{ kind: "pcr", index, ...(l !== undefined && { left: l }), ...(r !== undefined && { right: r }) }];
  });
}

function summaries({ sections, sectionDigests }: EifInspection): SectionSummary[] {
  return sections.map(({ type, size }, index) => {
    const digest = sectionDigests[index];
    if (!digest) throw new TypeError("both images are inspected with eachSection");
    return { type, size, sha384: toHex(digest) };
  });
}

function isMeasured({ type }: SectionSummary): boolean {
  return type !== "metadata" && type !== "signature";
}

function same(left: SectionSummary | undefined, right: SectionSummary | undefined): boolean {
  return left?.type === right?.type && left?.size === right?.size && left?.sha384 === right?.sha384;
}

function zip<Item>(left: readonly Item[], right: readonly Item[]): [Item | undefined, Item | undefined][] {
  return Array.from({ length: Math.max(left.length, right.length) }, (_, index) => [left[index], right[index]]);
}

function diffHeaders(left: EifInspection, right: EifInspection): EifDifference[] {
  const fields = ["version", "flags", "defaultMemoryBytes", "defaultCpus", "size", "crc32"] as const;
  return fields.flatMap((field): EifDifference[] =>
    left[field] === right[field]
      ? []
      : [{ kind: "header", field, left: String(left[field]), right: String(right[field]) }],
  );
}
