/**
 * Metrics of what is no service of the parent but decides whether it serves: the enclave, the credentials, the log.
 *
 * A fact that is not known has no series: nothing reads as 0 that was not looked at.
 *
 * @module
 */
import type { Registry } from "prom-client";

/** What the operator's process knows. Totals only grow. */
export interface ParentFacts {
  readonly enclave?: {
    readonly up: boolean;
    /** How often it was started again. */
    readonly restarts: number;
  };
  readonly credentials?: {
    /** When those that are handed out end, in milliseconds since 1970; absent while there are none. */
    readonly expireAtMs?: number;
    readonly refreshFailures?: number;
  };
  readonly log?: {
    readonly accepted: number;
    /** By reason: `shape`, `rate`, `sink`, or the kind of destination. */
    readonly dropped: Readonly<Partial<Record<LogDropReason, number>>>;
  };
  readonly ingress?: { readonly healthy: number; readonly unhealthy: number };
}

/** Why a log record of the enclave, or a line of the parent, did not arrive. */
export type LogDropReason = "shape" | "rate" | "sink" | "stdout" | "file" | "cloudwatch";

const REASONS: readonly LogDropReason[] = ["shape", "rate", "sink", "stdout", "file", "cloudwatch"];

export interface FactMetrics {
  observe(read: () => ParentFacts): void;
}

type Prom = typeof import("prom-client");

/** One series: its labels, and what it is now. */
type Sample = readonly [labels: Readonly<Record<string, string>>, value: number];

interface FactMetric {
  readonly name: string;
  readonly help: string;
  readonly labels: readonly string[];
  /** Absent facts have no samples. */
  readonly samples: (facts: ParentFacts) => readonly Sample[];
}

const GAUGES: readonly FactMetric[] = [
  {
    name: "enclave_up",
    help: "Whether the enclave runs.",
    labels: [],
    samples: ({ enclave }) => (enclave ? [[{}, enclave.up ? 1 : 0]] : []),
  },
  {
    name: "credentials_expiry_timestamp_seconds",
    help: "When the credentials that are handed out end.",
    labels: [],
    samples: ({ credentials }) => one(credentials?.expireAtMs, 1_000),
  },
  {
    name: "ingress_targets",
    help: "Enclaves behind the ingress door, by health.",
    labels: ["health"],
    samples: ({ ingress }) =>
      ingress
        ? [
            [{ health: "healthy" }, ingress.healthy],
            [{ health: "unhealthy" }, ingress.unhealthy],
          ]
        : [],
  },
];

const COUNTERS: readonly FactMetric[] = [
  {
    name: "enclave_restarts_total",
    help: "How often the enclave was started again.",
    labels: [],
    samples: ({ enclave }) => one(enclave?.restarts),
  },
  {
    name: "credentials_refresh_failures_total",
    help: "How often fresh credentials could not be had.",
    labels: [],
    samples: ({ credentials }) => one(credentials?.refreshFailures),
  },
  {
    name: "log_records_total",
    help: "Records taken from the enclave's log.",
    labels: [],
    samples: ({ log }) => one(log?.accepted),
  },
  {
    name: "log_records_dropped_total",
    help: "Log records that did not arrive, by reason.",
    labels: ["reason"],
    samples: ({ log }) =>
      log ? REASONS.flatMap((reason) => one(log.dropped[reason]).map(([, value]): Sample => [{ reason }, value])) : [],
  },
];

export function registerFacts(prom: Prom, registry: Registry): FactMetrics {
  let read: () => ParentFacts = () => ({});
  const registers = [registry];
  for (const { name, help, labels, samples } of GAUGES) {
    new prom.Gauge({
      name: `cloister_parent_${name}`,
      help,
      labelNames: labels,
      registers,
      collect() {
        clear(this, labels);
        for (const [labelValues, value] of samples(read())) this.set(labelValues, value);
      },
    });
  }
  for (const { name, help, labels, samples } of COUNTERS) {
    new prom.Counter({
      name: `cloister_parent_${name}`,
      help,
      labelNames: labels,
      registers,
      collect() {
        clear(this, labels);
        for (const [labelValues, value] of samples(read())) this.inc(labelValues, value);
      },
    });
  }
  return {
    observe: (next) => {
      read = next;
    },
  };
}

/** Without samples. A reset would leave a 0 where there are no labels, and a removal needs those that there are. */
function clear(metric: { reset(): void; remove(): void }, labels: readonly string[]): void {
  if (labels.length === 0) metric.remove();
  else metric.reset();
}

function one(value: number | undefined, divisor = 1): readonly Sample[] {
  return value === undefined ? [] : [[{}, value / divisor]];
}
