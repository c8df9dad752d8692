/**
 * The services around one enclave, each of them there or not, started and ended together.
 *
 *   enclave → parent   egress, by one door or several; credentials; log       at the parent's ports
 *   clients → enclave  ingress                                                to the enclaves that are up
 *
 * When one can not start, none is left running. At the end the door of the clients is closed first: what they asked for
 * may still need the others, which go on accepting until the clients are served; the log goes on to the last line.
 *
 * @module
 */
import type { Address } from "../shared/transport/address.ts";
import { CONFIG_PORT, CREDENTIALS_PORT, LOG_PORT } from "../shared/transport/ports.ts";
import type { Transport } from "../shared/transport/transport.ts";
import { startConfiguration } from "./configuration/configuration.ts";
import { type ProvideCredentials, startCredentials } from "./credentials/credentials.ts";
import { startCredentialsHttp } from "./credentials/http-form.ts";
import {
  type EgressDoor,
  type EgressLimits,
  type EgressRules,
  type EgressService,
  startEgress,
} from "./egress/egress.ts";
import { createResolver, type Resolve } from "./egress/resolver.ts";
import type { SniPolicy } from "./egress/sni.ts";
import { type IngressOptions, type IngressService, startIngress } from "./ingress/ingress.ts";
import type { CidListeningService } from "./listening/service.ts";
import type { LogSink } from "./observability/log-gate.ts";
import { type LogService, startLogSink } from "./observability/log-sink.ts";
import type { EgressStats, ParentLog, Service, ServiceStats, Tap } from "./observability/observe.ts";

export interface ServicesOptions {
  readonly transport: Transport;
  /** Where the parent listens for the enclave, by port. */
  readonly at: (port: number) => Address;
  /** Over vsock, the only peers that are served, by context id. */
  readonly allowedCids?: readonly number[] | undefined;
  readonly log: ParentLog;
  readonly tap?: Tap | undefined;
  readonly egress?: EgressPart | undefined;
  readonly credentials?: CredentialsPart | undefined;
  /** The document for the enclave, or `none`. */
  readonly configuration?: Uint8Array | "none" | undefined;
  readonly logSink?: LogSink | undefined;
  readonly ingress?: Omit<IngressOptions, "transport" | "log" | "tap"> | undefined;
}

export interface EgressPart {
  readonly rules: EgressRules;
  /** One at least. */
  readonly doors: readonly (EgressDoor & { readonly port: number })[];
  /** One for all doors. Default: `createResolver()`. */
  readonly resolve?: Resolve | undefined;
  readonly sniPolicy?: SniPolicy | undefined;
  /** Of each door. */
  readonly limits?: EgressLimits | undefined;
}

export interface CredentialsPart {
  readonly provide: ProvideCredentials;
  /** Also over HTTP. */
  readonly http?: { readonly port: number; readonly path: string } | undefined;
}

export interface Services extends AsyncDisposable {
  readonly ingress: IngressService | undefined;
  readonly log: LogService | undefined;
  /** Of the services that are there; those with several doors together. */
  stats(): ServicesStats;
  /**
   * Puts new rules in the place of the old ones, at every door or at none.
   *
   * @throws {ConfigError} they are not usable
   */
  update(rules: EgressRules): void;
  /** Ends at once what an enclave that is gone has open, by its context id if it has one; says how much that was. */
  disconnect(cid: number | undefined): number;
  /**
   * Ends accepting, the clients' door first, and waits for what clients asked for; says how many connections did not end
   * by themselves. Credentials, configuration and the log, whose channels the enclave keeps open as long as it lives, go on until `close`.
   */
  drain(deadlineMs: number): Promise<{ readonly forced: number }>;
  close(): Promise<void>;
}

export type ServicesStats = Readonly<Partial<Record<Exclude<Service, "egress">, ServiceStats>>> & {
  readonly egress?: EgressStats;
};

/** Of the time for draining, what is kept for the services that the enclave needs while it serves the last clients. */
const RESERVED = 0.1;
/** Once clients are served, what the enclave keeps open and does not use ends after so long, in milliseconds. */
const QUIET_MS = 2_000;

/**
 * @throws {ConfigError} the allowlist or another option is not usable
 * @throws {TransportError} an address can not be bound
 */
export async function startServices(options: ServicesOptions): Promise<Services> {
  const { transport, at, allowedCids, log, tap, egress, credentials, configuration, logSink } = options;
  const running = new RunningServices();
  const shared = { transport, log, tap };
  const forEnclave = { ...shared, allowedCids };
  try {
    if (egress) {
      const { rules, doors, sniPolicy, limits } = egress;
      const { resolve = createResolver() } = egress;
      for (const { port, ...door } of doors) {
        const address = at(port);
        running.egress.push(await startEgress({ ...forEnclave, ...rules, address, door, resolve, sniPolicy, limits }));
      }
    }
    if (credentials) {
      const { provide, http } = credentials;
      running.credentials.push(await startCredentials({ ...forEnclave, address: at(CREDENTIALS_PORT), provide }));
      if (http) {
        const { port, path } = http;
        running.credentials.push(await startCredentialsHttp({ ...forEnclave, address: at(port), path, provide }));
      }
    }
    if (configuration !== undefined) {
      const address = at(CONFIG_PORT);
      running.configuration = await startConfiguration({ ...forEnclave, address, document: configuration });
    }
    if (logSink) running.log = await startLogSink({ ...forEnclave, address: at(LOG_PORT), sink: logSink });
    if (options.ingress) running.ingress = await startIngress({ ...shared, ...options.ingress });
    return running;
  } catch (error) {
    await running.close();
    throw error;
  }
}

class RunningServices implements Services {
  readonly egress: EgressService[] = [];
  readonly credentials: CidListeningService[] = [];
  configuration: CidListeningService | undefined;
  log: LogService | undefined;
  ingress: IngressService | undefined;

  stats(): ServicesStats {
    const { egress, credentials, configuration, log, ingress } = this;
    return {
      ...(egress.length > 0 && { egress: summed(egress.map((door) => door.stats())) }),
      ...(credentials.length > 0 && { credentials: summed(credentials.map((form) => form.stats())) }),
      ...(configuration && { configuration: configuration.stats() }),
      ...(log && { log: log.stats() }),
      ...(ingress && { ingress: ingress.stats() }),
    };
  }

  update(rules: EgressRules): void {
    // What the first door takes the others do not refuse, and what it refuses they never see.
    for (const door of this.egress) door.update(rules);
  }

  disconnect(cid: number | undefined): number {
    return this.#forEnclave().reduce((sum, service) => sum + service.disconnect(cid), 0);
  }

  async drain(deadlineMs: number): Promise<{ readonly forced: number }> {
    const start = performance.now();
    const clients = (await this.ingress?.drain(deadlineMs * (1 - RESERVED))) ?? { forced: 0 };
    const left = Math.max(0, deadlineMs - (performance.now() - start));
    const others = await Promise.all(this.egress.map((door) => door.drain(left, { quietMs: QUIET_MS })));
    return { forced: [clients, ...others].reduce((sum, { forced }) => sum + forced, 0) };
  }

  async close(): Promise<void> {
    const all = [...(this.ingress ? [this.ingress] : []), ...this.#forEnclave()];
    await Promise.all(all.map((service) => service.close()));
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #forEnclave(): readonly CidListeningService[] {
    const { configuration, log } = this;
    return [...this.egress, ...this.credentials, ...(configuration ? [configuration] : []), ...(log ? [log] : [])];
  }
}

/** Figures of several doors as those of one service. */
function summed<Stats extends ServiceStats>(all: readonly Stats[]): Stats {
  const sum: Record<string, number> = {};
  for (const stats of all as readonly (Stats & Readonly<Record<string, number>>)[]) {
    for (const name of Object.keys(stats)) sum[name] = (sum[name] ?? 0) + (stats[name] ?? 0);
  }
  return sum as unknown as Stats; // every figure of every service is a number
}
