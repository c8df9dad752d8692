/**
 * Compares ways of doing the same thing on a machine that others use too.
 *
 * Each round runs every contestant once, side by side in time, in an order that rotates. A ratio is taken within a round,
 * so that what slows a round slows both sides of it; the figure is the median of the rounds' ratios, shown with its quartiles.
 * While other processes take much of the cores, more rounds are run than are kept: the quietest are, whatever they say.
 *
 * @module
 */
import { watchOthers } from "./machine.ts";

export interface Contestant {
  readonly name: string;
  /** Done before each round's work, unmeasured. */
  prepare?(): Promise<void>;
  /** Does one round's work and gives how many items that was. */
  run(round: number): Promise<number>;
}

/** Microseconds per item: on the clock, and of all cores together. */
export interface Sample {
  readonly wall: number;
  readonly cpu: number;
}

type Round = ReadonlyMap<string, Sample>;

export interface Outcome {
  readonly rounds: readonly Round[];
  /** How many were run to find them. */
  readonly tried: number;
  /** The largest share of all cores that other processes took of a round that was kept. */
  readonly others: number;
}

const WARM_UP = 3;
/** Of all cores, taken by others: below it a round is quiet. */
const QUIET = 0.05;

export interface RoundLimits {
  readonly wanted: number;
  readonly limitMs: number;
  /** Process ids of servers that are asked: what they take is not others'. */
  readonly children?: readonly number[];
}

/** Runs until `wanted` rounds were quiet, or `limitMs` have passed, and keeps the quietest. */
export async function alternate(
  contestants: readonly Contestant[],
  { wanted, limitMs, children = [] }: RoundLimits,
): Promise<Outcome> {
  const tried: { readonly round: Round; readonly others: number }[] = [];
  const isEnough = (): boolean => tried.filter(({ others }) => others < QUIET).length >= wanted;
  const until = performance.now() + limitMs;
  for (let number = 0; tried.length < wanted || (!isEnough() && performance.now() < until); number++) {
    const othersShare = watchOthers(children);
    const first = number % contestants.length;
    const round = new Map<string, Sample>();
    for (const contestant of [...contestants.slice(first), ...contestants.slice(0, first)]) {
      round.set(contestant.name, await measure(contestant, number));
    }
    if (number >= WARM_UP) tried.push({ round, others: othersShare() });
  }
  const kept = tried.toSorted((a, b) => a.others - b.others).slice(0, wanted);
  return {
    rounds: kept.map(({ round }) => round),
    tried: tried.length,
    others: Math.max(...kept.map(({ others }) => others)),
  };
}

async function measure(contestant: Contestant, round: number): Promise<Sample> {
  await contestant.prepare?.();
  const cpuBefore = process.cpuUsage();
  const before = process.hrtime.bigint();
  const items = await contestant.run(round);
  const wall = Number(process.hrtime.bigint() - before) / 1000;
  const { user, system } = process.cpuUsage(cpuBefore);
  return { wall: wall / items, cpu: (user + system) / items };
}

export interface Spread {
  readonly low: number;
  readonly median: number;
  readonly high: number;
}

/** First quartile, median, third quartile. */
export function spread(values: readonly number[]): Spread {
  const sorted = values.toSorted((a, b) => a - b);
  const at = (share: number): number => sorted[Math.round(share * (sorted.length - 1))] ?? Number.NaN;
  return { low: at(0.25), median: at(0.5), high: at(0.75) };
}

export function absolute({ rounds }: Outcome, name: string, of: keyof Sample): Spread {
  return spread(rounds.map((round) => round.get(name)?.[of] ?? Number.NaN));
}

/** What one contestant costs of another, round by round. */
export function ratio({ rounds }: Outcome, name: string, to: string, of: keyof Sample): Spread {
  return spread(rounds.map((round) => (round.get(name)?.[of] ?? Number.NaN) / (round.get(to)?.[of] ?? Number.NaN)));
}

export function quietness({ rounds, tried, others }: Outcome): string {
  const percent = (100 * others).toFixed(0);
  return `the quietest ${rounds.length} of ${tried} rounds; others took at most ${percent} % of the cores in them`;
}
