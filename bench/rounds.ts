/**
 * Compares ways of doing the same thing on a machine that others use too.
 *
 * Each round runs every contestant once, side by side in time, in an order that rotates. A ratio is taken within a round,
 * so that what slows a round slows both sides of it; the figure is the median of the rounds' ratios, shown with its quartiles.
 *
 * @module
 */

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

export type Samples = ReadonlyMap<string, readonly Sample[]>;

export async function alternate(contestants: readonly Contestant[], rounds: number, warmUp = 3): Promise<Samples> {
  const samples = new Map<string, Sample[]>(contestants.map(({ name }) => [name, []]));
  for (let round = 0; round < warmUp + rounds; round++) {
    const first = round % contestants.length;
    for (const contestant of [...contestants.slice(first), ...contestants.slice(0, first)]) {
      const sample = await measure(contestant, round);
      if (round >= warmUp) samples.get(contestant.name)?.push(sample);
    }
  }
  return samples;
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

export function absolute(samples: Samples, name: string, of: keyof Sample): Spread {
  return spread((samples.get(name) ?? []).map((sample) => sample[of]));
}

/** What one contestant costs of another, round by round. */
export function ratio(samples: Samples, name: string, to: string, of: keyof Sample): Spread {
  const base = samples.get(to) ?? [];
  return spread((samples.get(name) ?? []).map((sample, round) => sample[of] / (base[round]?.[of] ?? Number.NaN)));
}
