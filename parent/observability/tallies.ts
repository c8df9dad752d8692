/**
 * Adds up the figures of services, past and present: a service that was started again, or that has several doors, is
 * one line in the metrics, and what it counted before does not go away.
 *
 * @module
 */
import type { EgressStats, Service, ServiceStats } from "./observe.ts";

/** A service's figures; those of the egress proxy alone are 0 elsewhere. */
export type Tally = { readonly [Name in keyof EgressStats]: number };

export type ReadStats = () => ServiceStats | EgressStats;

/** Of a service that has done nothing. */
export const NOTHING: Tally = {
  open: 0,
  accepted: 0,
  refused: 0,
  failed: 0,
  full: 0,
  bytesFromEnclave: 0,
  bytesToEnclave: 0,
  acceptPauses: 0,
  resolutions: 0,
  resolutionFailures: 0,
  connectFailures: 0,
};

export class Tallies {
  readonly #live = new Map<Service, Set<ReadStats>>();
  readonly #past = new Map<Service, Tally>();

  /** Counts a service from now on; what is given back stops that, and keeps what it counted. */
  watch(service: Service, read: ReadStats): () => void {
    const sources = this.#live.get(service) ?? new Set<ReadStats>();
    // A function of its own, so that one that is given twice is two sources.
    const source: ReadStats = () => read();
    this.#live.set(service, sources.add(source));
    return () => {
      if (!sources.delete(source)) return;
      this.#past.set(service, add(this.#past.get(service) ?? NOTHING, { ...source(), open: 0 }));
    };
  }

  /** The services that were ever watched, with their sums. */
  read(): readonly (readonly [Service, Tally])[] {
    return [...this.#live].map(([service, sources]) => {
      const past = this.#past.get(service) ?? NOTHING;
      return [service, [...sources].map((source) => source()).reduce(add, past)] as const;
    });
  }
}

function add(sum: Tally, stats: ServiceStats | EgressStats): Tally {
  const figures: Partial<Tally> = stats;
  const names = Object.keys(NOTHING) as (keyof Tally)[];
  return Object.fromEntries(names.map((name) => [name, sum[name] + (figures[name] ?? 0)])) as unknown as Tally;
}
