/**
 * The fixed set of questions that the enclave answers, and the rule that keeps rows out of the answers.
 *
 * A group is given only when it joins at least `MINIMUM_GROUP_ROWS` rows of *each* owner; how many groups were held back
 * is said, which ones is not, and no total is given from which the held-back rows could be subtracted. A threshold is not differential privacy: overlapping questions could difference out a row,
 * which is why the set is fixed and small (README, "What this proves, what it does not").
 *
 * @module
 */
import { DataError } from "../../shared/errors/index.ts";
import type { Flight, Strike } from "./tables.ts";

export const MINIMUM_GROUP_ROWS = 25;

export interface Tables {
  readonly flights: readonly Flight[];
  readonly strikes: readonly Strike[];
}

/** A named group of joined rows, already aggregated. */
export type Group = Readonly<Record<string, string | number>>;

export interface QueryResult {
  readonly query: string;
  readonly minimumGroupRows: number;
  readonly groups: readonly Group[];
  readonly groupsWithheld: number;
}

interface Bucket {
  readonly flights: Flight[];
  readonly strikes: Strike[];
}

type Aggregate = (name: string, bucket: Bucket) => Group;

const QUERIES: ReadonlyMap<string, Aggregate> = new Map<string, Aggregate>([
  [
    "strike-exposure-by-state",
    (state, { flights, strikes }) => ({
      state,
      flights: flights.length,
      strikes: strikes.length,
      strikesPerThousandFlights: round((1000 * strikes.length) / flights.length),
    }),
  ],
  [
    "strike-cost-by-state",
    (state, { flights, strikes }) => ({
      state,
      damagingShare: round(strikes.filter((strike) => strike.isDamaging).length / strikes.length),
      costPerStrikeUsd: round(mean(strikes.map((strike) => strike.costUsd))),
      meanDelayMinutes: round(mean(flights.map((flight) => flight.delayMinutes))),
    }),
  ],
]);

export const QUERY_NAMES: readonly string[] = [...QUERIES.keys()];

/** @throws {DataError} `ERR_DATA_QUERY_UNKNOWN` */
export function runQuery(query: string, { flights, strikes }: Tables): QueryResult {
  const aggregate = QUERIES.get(query);
  if (!aggregate) throw new DataError("ERR_DATA_QUERY_UNKNOWN", { known: QUERY_NAMES });
  const buckets = [...joinByState(flights, strikes)];
  const large = buckets.filter(
    ([, bucket]) => bucket.flights.length >= MINIMUM_GROUP_ROWS && bucket.strikes.length >= MINIMUM_GROUP_ROWS,
  );
  return {
    query,
    minimumGroupRows: MINIMUM_GROUP_ROWS,
    groups: large.map(([state, bucket]) => aggregate(state, bucket)),
    groupsWithheld: buckets.length - large.length,
  };
}

/** Inner join: states that both owners have rows for, in alphabetical order. */
function joinByState(flights: readonly Flight[], strikes: readonly Strike[]): Map<string, Bucket> {
  const buckets = new Map<string, Bucket>();
  const bucketOf = (state: string): Bucket => {
    const bucket = buckets.get(state) ?? { flights: [], strikes: [] };
    buckets.set(state, bucket);
    return bucket;
  };
  for (const flight of flights) bucketOf(flight.state).flights.push(flight);
  for (const strike of strikes) bucketOf(strike.state).strikes.push(strike);
  const joined = [...buckets].filter(([, bucket]) => bucket.flights.length > 0 && bucket.strikes.length > 0);
  return new Map(joined.toSorted(([a], [b]) => (a < b ? -1 : 1)));
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

function round(value: number): number {
  return Math.round(value * 1000) / 1000;
}
