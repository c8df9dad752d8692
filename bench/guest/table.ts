/**
 * Makes tables of the samples: the median of the rounds with the smallest and the largest, and the median of the
 * rounds' own ratios to the same round's C program or, of proxies, vsock-proxy. A round in which either failed has no
 * ratio.
 *
 * @module
 */
import { spread } from "../rounds.ts";
import { CONNECTIONS, VSOCK_PROXY } from "./proxies.ts";
import type { Group, Sample } from "./samples.ts";

interface Column {
  readonly title: string;
  readonly figure: string;
  readonly digits: number;
  /** Heads the column beside it, of ratios; none is shown without it. */
  readonly ratio?: string;
}

interface Table {
  readonly group: Group;
  readonly title: string;
  /** What the ratios are to. Without it there are none. */
  readonly floor: string;
  readonly columns: readonly Column[];
}

const TABLES: readonly Table[] = [
  {
    group: "vsock",
    title: "AF_VSOCK over CID 1, two processes unless it says otherwise",
    floor: "plain C",
    columns: [
      { title: "one way, MiB/s", figure: "mibPerSecond", digits: 0, ratio: "÷ C" },
      { title: "1 byte there and back, median µs", figure: "medianUs", digits: 0, ratio: "× C" },
      { title: "p99 µs", figure: "p99Us", digits: 0 },
    ],
  },
  {
    group: "nsm",
    title: "/dev/nsm, one call at a time",
    floor: "plain C, /dev/nsm",
    columns: [
      { title: "GetAttestationDoc, calls/s", figure: "attestPerSecond", digits: 0, ratio: "÷ C" },
      { title: "DescribePCR, calls/s", figure: "describePcrPerSecond", digits: 0, ratio: "÷ C" },
    ],
  },
  {
    group: "egress",
    title: "AF_VSOCK to TCP, 64 bytes there and back, requests/s",
    floor: VSOCK_PROXY,
    columns: [
      { title: "1 connection", figure: "onePerSecond", digits: 0, ratio: "÷ vsock-proxy" },
      { title: `${CONNECTIONS} connections`, figure: "manyPerSecond", digits: 0, ratio: "÷ vsock-proxy" },
      { title: "of them answered", figure: "manyAnswered", digits: 0 },
      { title: `${CONNECTIONS}, new for each`, figure: "renewedPerSecond", digits: 0, ratio: "÷ vsock-proxy" },
    ],
  },
];

export function tables(samples: readonly Sample[]): string {
  return TABLES.map((table) => ({ table, own: samples.filter(({ group }) => group === table.group) }))
    .filter(({ own }) => own.length > 0)
    .map(({ table, own }) => oneTable(table, own))
    .join("\n");
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
  const names = namesOf(samples);
  const named = [...names.filter((name) => name === floor), ...names.filter((name) => name !== floor).sort()];
  const rows = named.map((name) =>
    columns.flatMap(({ figure, digits, ratio }) => {
      const own = figuresOf(samples, name, figure);
      const of = figuresOf(samples, floor, figure);
      const ratios = [...own].map(([round, value]) => value / (of.get(round) ?? Number.NaN));
      return [cell([...own.values()], digits), ...(ratio === undefined ? [] : [cell(ratios, 2)])];
    }),
  );
  const heads = columns.flatMap((column) => [column.title, ...(column.ratio === undefined ? [] : [column.ratio])]);
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
