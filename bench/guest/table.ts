/**
 * Makes tables of the samples: the median of the rounds with the smallest and the largest, and the median of the
 * rounds' own ratios to the same round's C program. A round in which either failed has no ratio.
 *
 * @module
 */
import { spread } from "../rounds.ts";
import type { Sample } from "./samples.ts";

interface Column {
  readonly title: string;
  readonly figure: string;
  readonly digits: number;
  /** Heads the column beside it, of ratios; none is shown without it. */
  readonly ratio?: string;
}

interface Table {
  readonly title: string;
  readonly floor: string;
  readonly columns: readonly Column[];
}

const TABLES: readonly Table[] = [
  {
    title: "AF_VSOCK over CID 1, two processes unless it says otherwise",
    floor: "plain C",
    columns: [
      { title: "one way, MiB/s", figure: "mibPerSecond", digits: 0, ratio: "÷ C" },
      { title: "1 byte there and back, median µs", figure: "medianUs", digits: 0, ratio: "× C" },
      { title: "p99 µs", figure: "p99Us", digits: 0 },
    ],
  },
  {
    title: "/dev/nsm, one call at a time",
    floor: "plain C, /dev/nsm",
    columns: [
      { title: "GetAttestationDoc, calls/s", figure: "attestPerSecond", digits: 0, ratio: "÷ C" },
      { title: "DescribePCR, calls/s", figure: "describePcrPerSecond", digits: 0, ratio: "÷ C" },
    ],
  },
];

export function tables(samples: readonly Sample[]): string {
  return TABLES.map((table) => oneTable(table, samples)).join("\n");
}

/** A line for each contestant that failed, with how often and why at first. */
export function failures(samples: readonly Sample[]): string[] {
  return namesOf(samples).flatMap((name) => {
    const own = samples.filter(({ contestant }) => contestant === name);
    const failed = own.filter(({ failure }) => failure !== undefined);
    const [first] = failed;
    return first ? [`${name}: failed in ${failed.length} of ${own.length} rounds: ${first.failure}`] : [];
  });
}

function namesOf(samples: readonly Sample[]): string[] {
  return [...new Set(samples.map(({ contestant }) => contestant))];
}

function oneTable({ title, floor, columns }: Table, samples: readonly Sample[]): string {
  const isNsm = (name: string): boolean => name.endsWith("/dev/nsm");
  const names = namesOf(samples).filter((name) => isNsm(name) === isNsm(floor));
  const rows = [floor, ...names.filter((name) => name !== floor).sort()].map((name) =>
    columns.flatMap(({ figure, digits, ratio }) => {
      const own = figuresOf(samples, name, figure);
      const of = figuresOf(samples, floor, figure);
      const ratios = [...own].map(([round, value]) => value / (of.get(round) ?? Number.NaN));
      return [cell([...own.values()], digits), ...(ratio === undefined ? [] : [cell(ratios, 2)])];
    }),
  );
  const heads = columns.flatMap((column) => [column.title, ...(column.ratio === undefined ? [] : [column.ratio])]);
  const named = [floor, ...names.filter((name) => name !== floor).sort()];
  return [
    `| ${[title, ...heads].join(" | ")} |`,
    `|${"---|".repeat(heads.length + 1)}`,
    ...rows.map((cells, row) => `| ${[named[row], ...cells].join(" | ")} |`),
    "",
  ].join("\n");
}

/** By round. */
function figuresOf(samples: readonly Sample[], name: string, figure: string): ReadonlyMap<number, number> {
  return new Map(
    samples.flatMap(({ contestant, round, figures }) => {
      const value = contestant === name ? figures?.[figure] : undefined;
      return value === undefined ? [] : [[round, value] as const];
    }),
  );
}

function cell(values: readonly number[], digits: number): string {
  const known = values.filter(Number.isFinite);
  if (known.length === 0) return "–";
  const [low, median, high] = [Math.min(...known), spread(known).median, Math.max(...known)];
  return `${median.toFixed(digits)} (${low.toFixed(digits)}–${high.toFixed(digits)})`;
}
