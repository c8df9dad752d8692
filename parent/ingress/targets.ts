/**
 * The enclaves behind a door: which one gets the next connection, and which are well.
 *
 *   choose     among the healthy, the one with the fewest connections, or the next in turn
 *   fail       so many failed connects one after the other, of clients or checks, and it gets no more
 *   recover    so many good ones, and it is back
 *
 * When none is healthy all are tried: a door that tries and fails is no worse than one that does not try, and an enclave
 * that has just come up is found at once. No I/O and no clock: `health.ts` asks, this remembers.
 *
 * @module
 */
import { ConfigError } from "../../shared/errors/index.ts";
import { type Address, formatAddress } from "../../shared/transport/address.ts";

export type Balance = "least-connections" | "round-robin";

export interface HealthThresholds {
  /** So many failures in a row make a target unhealthy. */
  readonly unhealthyAfter: number;
  /** So many successes in a row make it healthy again. */
  readonly healthyAfter: number;
}

/** What is known of one target. */
export interface TargetHealth {
  readonly address: Address;
  readonly healthy: boolean;
  readonly open: number;
}

export interface Target {
  readonly address: Address;
  /** Its URL form: what events name. */
  readonly name: string;
  readonly healthy: boolean;
  readonly open: number;
}

interface Entry {
  readonly address: Address;
  readonly name: string;
  healthy: boolean;
  open: number;
  /** Successes in a row if positive, failures in a row if negative. */
  streak: number;
}

const TARGETS_MAX = 256;

export class TargetSet {
  readonly #balance: Balance;
  readonly #thresholds: HealthThresholds;
  #entries: readonly Entry[] = [];
  #turn = 0;

  /** @throws {ConfigError} as `replace` does */
  constructor(targets: readonly Address[], balance: Balance, thresholds: HealthThresholds) {
    this.#balance = balance;
    this.#thresholds = thresholds;
    this.replace(targets);
  }

  get all(): readonly Target[] {
    return this.#entries;
  }

  /**
   * The targets from now on. One that was there keeps what is known of it; a new one is taken to be well. Connections to
   * one that is gone go on until they end.
   *
   * @throws {ConfigError} one comes twice, or there are too many; the old ones stay
   */
  replace(targets: readonly Address[]): void {
    if (targets.length > TARGETS_MAX) throw invalid("targets", `at most ${TARGETS_MAX}`, `${targets.length}`);
    const before = new Map(this.#entries.map((entry) => [entry.name, entry]));
    const names = new Set<string>();
    this.#entries = targets.map((address, index): Entry => {
      const name = formatAddress(address);
      if (names.has(name)) throw invalid(`targets[${index}]`, "another address than those before", "the same again");
      names.add(name);
      return before.get(name) ?? { address, name, healthy: true, open: 0, streak: 0 };
    });
  }

  /** The target for the next connection, none of those that were tried. */
  choose(tried: ReadonlySet<Target>): Target | undefined {
    const untried = this.#entries.filter((entry) => !tried.has(entry));
    const healthy = untried.filter((entry) => entry.healthy);
    const candidates = healthy.length > 0 ? healthy : untried;
    const turn = this.#turn++;
    const inTurn = candidates.map((_, index) => candidates[(turn + index) % candidates.length] as Entry);
    if (this.#balance === "round-robin") return inTurn[0];
    return inTurn.reduce<Entry | undefined>(
      (best, entry) => (best && best.open <= entry.open ? best : entry),
      undefined,
    );
  }

  /** Counts a connection until the function that comes back is called. */
  occupy(target: Target): () => void {
    const entry = target as Entry;
    entry.open++;
    let occupied = true;
    return () => {
      if (occupied) entry.open--;
      occupied = false;
    };
  }

  /** What a connect came to; true when the target is healthy now and was not, or the other way round. */
  note(target: Target, success: boolean): boolean {
    const entry = target as Entry;
    entry.streak = success ? Math.max(entry.streak, 0) + 1 : Math.min(entry.streak, 0) - 1;
    const { unhealthyAfter, healthyAfter } = this.#thresholds;
    const healthy = entry.healthy ? entry.streak > -unhealthyAfter : entry.streak >= healthyAfter;
    const changed = healthy !== entry.healthy;
    entry.healthy = healthy;
    return changed;
  }

  health(): readonly TargetHealth[] {
    return this.#entries.map(({ address, healthy, open }) => ({ address, healthy, open }));
  }
}

function invalid(field: string, expected: string, actual: string): ConfigError {
  return new ConfigError("ERR_CONFIG_FIELD_INVALID", { field, expected, actual });
}
