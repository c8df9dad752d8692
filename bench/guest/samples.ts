/**
 * What the guest tells the host: who runs, and a line on the console for each measurement.
 *
 * @module
 */

export const GROUPS = ["vsock", "nsm", "egress"] as const;
/** What is measured alike, and shown in one table. */
export type Group = (typeof GROUPS)[number];

export interface Plan {
  readonly groups: readonly Group[];
  readonly rounds: number;
  readonly bytes: number;
  readonly trips: number;
  readonly calls: number;
  readonly hasNodeVsock: boolean;
  readonly requests: number;
  /** The other proxies in the image, each with how it is started. */
  readonly peers: Peers;
}

export interface Peers {
  readonly vsockProxy?: readonly string[];
  readonly socat?: readonly string[];
}

export interface Sample {
  readonly group: Group;
  readonly contestant: string;
  readonly round: number;
  /** By name; none where it failed. */
  readonly figures?: Readonly<Record<string, number>>;
  /** Why there are no figures. */
  readonly failure?: string;
}

/** How long one contestant's processes may take in one round, in milliseconds. */
export const CONTESTANT_MS = 120_000;

const CLOCK = /^bench: clock: ([^\r\n]*)/m;
const SAMPLE = /^bench: (\{.*\})\r?$/gm;

export function sampleLine(sample: Sample): string {
  return `bench: ${JSON.stringify(sample)}\n`;
}

/** What the guest measures time with. */
export function clockLine(clock: string): string {
  return `bench: clock: ${clock}\n`;
}

export function readClock(console: string): string {
  return CLOCK.exec(console)?.[1] ?? "unknown";
}

export function roundLine(round: number): string {
  return `bench: round ${round} is over\n`;
}

export function roundPattern(round: number): RegExp {
  return new RegExp(`^bench: round ${round} is over`, "m");
}

export function readSamples(console: string): Sample[] {
  return [...console.matchAll(SAMPLE)].map(([, json = ""]) => JSON.parse(json) as Sample);
}
