/**
 * The parent's figures in the Prometheus text format.
 *
 *   from services   connections, bytes, DNS: read when they are asked for, at no cost in between
 *   from events     refusals and failures by code, how long connections last
 *   from facts      the enclave, the credentials' expiry, log records, targets: what the operator's process knows
 *   of the process  memory, descriptors, event loop lag, under the names that dashboards know
 *
 * Labels come from closed sets (`metric-labels.ts`): no target, no id, nothing that a peer chose. `prom-client` is
 * loaded when metrics are made, so a parent without them does not pay for it.
 *
 * Source: Prometheus documentation, "Metric and label naming".
 *
 * @module
 */
import type { Registry } from "prom-client";
import { type FactMetrics, type ParentFacts, registerFacts } from "./metric-facts.ts";
import { codeLabel, serviceLabel } from "./metric-labels.ts";
import type { ParentEvent, ParentLog, Service } from "./observe.ts";
import { type ReadStats, Tallies, type Tally } from "./tallies.ts";

export interface MetricsOptions {
  /** Whether figures of the process are among them. Default true. */
  readonly ofProcess?: boolean;
}

export interface Metrics {
  /** Counts an event: give it to the services as their log, or call it from there. */
  readonly log: ParentLog;
  /** Reads a service's figures whenever metrics are asked for; what is given back stops that. */
  watch(service: Service, stats: ReadStats): () => void;
  /** Asks for facts whenever metrics are asked for. */
  observe(facts: () => ParentFacts): void;
  /** All of it, in the text format. */
  text(): Promise<string>;
  /** For the header of that name. */
  readonly contentType: string;
}

type Prom = typeof import("prom-client");

const DURATION_BUCKETS_S = [0.01, 0.1, 1, 10, 60, 600, 3_600, 86_400];
const CONNECT_BUCKETS_S = [0.001, 0.005, 0.02, 0.05, 0.1, 0.5, 1, 5];

/** Series of each service, by what they read. */
const TOTALS: readonly (readonly [name: string, help: string, figure: keyof Tally])[] = [
  ["connections_accepted_total", "Connections accepted, also those that were turned away.", "accepted"],
  ["connections_full_total", "Connections turned away because a limit was reached.", "full"],
  ["accept_pauses_total", "How often accepting rested because the system ran out of something.", "acceptPauses"],
];
const EGRESS_TOTALS: typeof TOTALS = [
  ["dns_resolutions_total", "Names resolved.", "resolutions"],
  ["dns_failures_total", "Names that could not be resolved.", "resolutionFailures"],
  ["connect_failures_total", "Allowed targets that could not be reached.", "connectFailures"],
];

/**
 * @example
 * ```ts
 * const metrics = await createMetrics();
 * const egress = await startEgress({ ...options, log: metrics.log });
 * metrics.watch("egress", () => egress.stats());
 * console.log(await metrics.text());
 * ```
 */
export async function createMetrics(options: MetricsOptions = {}): Promise<Metrics> {
  const prom = await import("prom-client");
  const registry = new prom.Registry();
  const tallies = new Tallies();
  if (options.ofProcess ?? true) prom.collectDefaultMetrics({ register: registry });
  registerServices({ prom, registry, tallies });
  const log = registerEvents(prom, registry);
  const facts: FactMetrics = registerFacts(prom, registry);
  return {
    log,
    watch: (service, stats) => tallies.watch(service, stats),
    observe: (read) => facts.observe(read),
    text: () => registry.metrics(),
    contentType: registry.contentType,
  };
}

interface Registering {
  readonly prom: Prom;
  readonly registry: Registry;
  readonly tallies: Tallies;
}

function registerServices({ prom, registry, tallies }: Registering): void {
  const registers = [registry];
  new prom.Gauge({
    name: "cloister_parent_connections_open",
    help: "Connections that are open.",
    labelNames: ["service"],
    registers,
    collect() {
      for (const [service, { open }] of tallies.read()) this.set({ service }, open);
    },
  });
  for (const [name, help, figure] of TOTALS) {
    new prom.Counter({
      name: `cloister_parent_${name}`,
      help,
      labelNames: ["service"],
      registers,
      collect() {
        this.reset();
        for (const [service, tally] of tallies.read()) this.inc({ service }, tally[figure]);
      },
    });
  }
  for (const [name, help, figure] of EGRESS_TOTALS) {
    new prom.Counter({
      name: `cloister_parent_egress_${name}`,
      help,
      registers,
      collect() {
        this.remove();
        for (const [service, tally] of tallies.read()) if (service === "egress") this.inc(tally[figure]);
      },
    });
  }
  new prom.Counter({
    name: "cloister_parent_bytes_total",
    help: "Bytes that crossed the parent.",
    labelNames: ["service", "direction"],
    registers,
    collect() {
      this.reset();
      for (const [service, { bytesFromEnclave, bytesToEnclave }] of tallies.read()) {
        this.inc({ service, direction: "from_enclave" }, bytesFromEnclave);
        this.inc({ service, direction: "to_enclave" }, bytesToEnclave);
      }
    },
  });
}

function registerEvents(prom: Prom, registry: Registry): ParentLog {
  const registers = [registry];
  const counter = (name: string, help: string) =>
    new prom.Counter({ name: `cloister_parent_${name}`, help, labelNames: ["service", "code"], registers });
  const histogram = (name: string, help: string, buckets: number[]) =>
    new prom.Histogram({ name: `cloister_parent_${name}`, help, labelNames: ["service"], registers, buckets });
  const counted: Partial<Record<ParentEvent["event"], ReturnType<typeof counter>>> = {
    refused: counter("connections_refused_total", "Connections refused by a rule, by code."),
    failed: counter("connections_failed_total", "Connections that could not be served, by code."),
    reloaded: counter("reloads_total", "Reloads of the configuration; the code of those that were refused."),
  };
  const timed: Partial<Record<ParentEvent["event"], ReturnType<typeof histogram>>> = {
    connected: histogram("connect_duration_seconds", "How long reaching the far side took.", CONNECT_BUCKETS_S),
    closed: histogram("connection_duration_seconds", "How long connections were open.", DURATION_BUCKETS_S),
  };
  return ({ service: name, event, code, durationMs }) => {
    const service = serviceLabel(name);
    counted[event]?.inc({ service, code: codeLabel(code) });
    if (durationMs !== undefined) timed[event]?.observe({ service }, durationMs / 1_000);
  };
}
