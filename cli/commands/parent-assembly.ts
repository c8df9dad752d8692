/**
 * Makes a running parent of a configuration: services, enclave, logs, metrics, put together and ended together.
 *
 * @module
 */
import { readOwnFile } from "../../parent/config/file.ts";
import type { CredentialsConfig, ParentConfig } from "../../parent/config/parent-config.ts";
import { refreshing } from "../../parent/credentials/refreshing.ts";
import { type WatchedCredentials, watchCredentials } from "../../parent/credentials/watched.ts";
import type { Supervisor, SupervisorEvent } from "../../parent/launcher/supervision.ts";
import type { LogDestination } from "../../parent/observability/delivery.ts";
import { type HealthReport, type HealthServer, startHealth } from "../../parent/observability/health.ts";
import { limitEvents } from "../../parent/observability/limit-events.ts";
import type { ParentFacts } from "../../parent/observability/metric-facts.ts";
import { createMetrics, type Metrics } from "../../parent/observability/metrics.ts";
import type { ParentEvent, ParentLog } from "../../parent/observability/observe.ts";
import { type CredentialsPart, type Services, startServices } from "../../parent/services.ts";
import type { EnclaveDescription } from "../../shared/launcher.ts";
import { type Address, addressOf } from "../../shared/transport/address.ts";
import type { Transport } from "../../shared/transport/transport.ts";
import { createTransport } from "../../transport/index.ts";
import type { Terminal } from "../terminal.ts";
import { superviseEnclave } from "./parent-enclave.ts";
import { openLogs } from "./parent-logs.ts";
import { egressPart, meetingPoint, sourceOf } from "./parent-parts.ts";

export interface AssemblySettings {
  readonly tell: Terminal["tell"];
  readonly emulator?: string;
  /** Default: over every kind of address, TCP also beyond loopback for the clients' door. */
  readonly transport?: Transport;
}

/** A parent that runs, as `liveUntilStopped` wants it. */
export class Assembly {
  readonly #config: ParentConfig;
  readonly #settings: AssemblySettings;
  readonly #tell: ParentLog;
  readonly #transport: Transport;
  #metrics: Metrics | undefined;
  #logs: LogDestination | undefined;
  #credentials: WatchedCredentials | undefined;
  #services: Services | undefined;
  #health: HealthServer | undefined;
  #supervisor: Supervisor | undefined;
  #isDraining = false;
  #extraTargets: readonly Address[];
  #enclaveTargets: readonly Address[];

  private constructor(config: ParentConfig, settings: AssemblySettings) {
    const { transport = createTransport({ dangerouslyAllowNonLoopback: true }) } = settings;
    this.#config = config;
    this.#settings = settings;
    this.#tell = limitEvents((event) => settings.tell(JSON.stringify(event)));
    this.#transport = transport;
    this.#extraTargets = config.ingress?.targets ?? [];
    const { enclave } = config;
    this.#enclaveTargets = enclave.kind === "attach" ? [addressOf(enclave.peer, enclave.port)] : [];
  }

  /** Starts everything, the enclave last; what can not start leaves nothing running. */
  static async start(config: ParentConfig, settings: AssemblySettings): Promise<Assembly> {
    const assembly = new Assembly(config, settings);
    try {
      await assembly.#start();
      return assembly;
    } catch (error) {
      await assembly.close();
      throw error;
    }
  }

  async #start(): Promise<void> {
    const { enclave, logs, egress, credentials, configuration, ingress, metrics } = this.#config;
    this.#metrics = await createMetrics();
    this.#logs = logs && (await openLogs(logs));
    const { listen, allowedCids } = await meetingPoint(enclave);
    this.#services = await startServices({
      ...{ transport: this.#transport, at: (port) => addressOf(listen, port), allowedCids },
      log: (event) => this.#note(event),
      egress: egress && egressPart(egress),
      credentials: credentials && this.#credentialsPart(credentials),
      configuration: configuration ? Buffer.from(await readOwnFile(configuration.file)) : "none",
      logSink: this.#logs && ((record) => this.#logs?.write(record)),
      ingress: ingress && {
        ...{ listen: ingress.listen, targets: this.#targets(), balance: ingress.balance, limits: ingress.limits },
        ...(ingress.proxyProtocol === "v2" && { proxyProtocol: "v2" }),
        ...(ingress.health && { health: ingress.health }),
      },
    });
    this.#watch(this.#metrics);
    if (metrics) {
      const health = (): HealthReport => this.health();
      this.#health = await startHealth({ listen: metrics.listen, metrics: this.#metrics, health });
    }
    if (enclave.kind === "run") {
      this.#supervisor = await superviseEnclave(enclave, {
        ...{ transport: this.#transport, ...this.#settings },
        onUp: ({ peer }: EnclaveDescription) => this.#setEnclave([addressOf(peer, enclave.port)]),
        onDown: ({ cid, peer }: EnclaveDescription) => {
          this.#services?.ingress?.disconnect(addressOf(peer, enclave.port));
          this.#setEnclave([]);
          this.#services?.disconnect(peer.kind === "vsock" ? cid : undefined);
        },
        log: (event: SupervisorEvent) => this.#settings.tell(JSON.stringify({ service: "launcher", ...event })),
      });
      await this.#supervisor.start();
    }
  }

  /** Where the clients' door is, with the port that the system chose. */
  get ingress(): Address | undefined {
    return this.#services?.ingress?.address;
  }

  /** Puts into force what may change while it runs. What may not has been refused by then (`parent-reload.ts`). */
  update({ egress, ingress }: ParentConfig): void {
    const before = this.#targets();
    const extra = ingress?.targets ?? [];
    const door = this.#services?.ingress;
    door?.setTargets([...this.#enclaveTargets, ...extra]);
    try {
      if (egress) this.#services?.update({ allowlist: egress.allowlist, hosts: egress.hosts });
    } catch (error) {
      door?.setTargets(before);
      throw error;
    }
    this.#extraTargets = extra;
  }

  /** Counts what a reload came to. */
  noteReload(code: string | undefined): void {
    this.#metrics?.log({ service: "parent", event: "reloaded", ...(code !== undefined && { code }) });
  }

  health(): HealthReport {
    const state = this.#supervisor?.state().kind ?? "attached";
    const { healthyEnclaves } = this.#healthyEnclaves();
    const isServed = state === "up" || (state === "attached" && healthyEnclaves !== 0);
    const ready = !this.#isDraining && isServed && this.#hasCredentials();
    // A supervisor that gave up does nothing more: whoever watches may start the process anew.
    const live = state !== "failed" && state !== "refused";
    return { live, ready, facts: { enclave: state, draining: this.#isDraining, ...this.#healthyEnclaves() } };
  }

  /** Whether those that were given last still serve, or none were asked for yet. */
  #hasCredentials(): boolean {
    const { isWell = true, expireAtMs = 0 } = this.#credentials?.facts() ?? {};
    return isWell || expireAtMs > Date.now();
  }

  async drain(deadlineMs: number): Promise<{ readonly forced: number }> {
    this.#isDraining = true;
    return (await this.#services?.drain(deadlineMs)) ?? { forced: 0 };
  }

  async close(): Promise<void> {
    const { enclave } = this.#config;
    const keeps = enclave.kind === "run" && enclave.onExit === "keep";
    // The clients' door first; the enclave's last lines still find the log. What does not end keeps nothing else.
    await endInTurn([
      () => this.#services?.ingress?.close(),
      () => (keeps ? this.#supervisor?.release() : this.#supervisor?.stop()),
      () => this.#services?.close(),
      () => this.#health?.close(),
      () => this.#logs?.close(),
    ]);
  }

  #targets(): readonly Address[] {
    return [...this.#enclaveTargets, ...this.#extraTargets];
  }

  #setEnclave(targets: readonly Address[]): void {
    this.#enclaveTargets = targets;
    this.#services?.ingress?.setTargets(this.#targets());
  }

  #note(event: ParentEvent): void {
    this.#metrics?.log(event);
    // Nobody reached the enclave: it may be gone, and the next look would come a second later.
    if (event.service === "ingress" && event.event === "failed") this.#supervisor?.look();
    this.#tell(event);
  }

  #healthyEnclaves(): { healthyEnclaves?: number } {
    const targets = this.#services?.ingress?.health();
    return targets ? { healthyEnclaves: targets.filter(({ healthy }) => healthy).length } : {};
  }

  #credentialsPart(credentials: CredentialsConfig): CredentialsPart {
    const watched = watchCredentials(sourceOf(credentials));
    this.#credentials = watched;
    const provide = credentials.source === "file" ? watched.provide : refreshing(watched.provide);
    return { provide, http: credentials.http };
  }

  #watch(metrics: Metrics): void {
    const services = this.#services;
    for (const name of ["egress", "credentials", "configuration", "log", "ingress"] as const) {
      const first = services?.stats()[name];
      if (first) metrics.watch(name, () => services?.stats()[name] ?? first);
    }
    metrics.observe(() => this.#facts());
  }

  #facts(): ParentFacts {
    const supervisor = this.#supervisor;
    const records = this.#services?.log?.records();
    const targets = this.#services?.ingress?.health();
    const healthy = targets?.filter((target) => target.healthy).length ?? 0;
    const { logs } = this.#config;
    const delivered = logs && this.#logs ? { [logs.to]: this.#logs.dropped() } : {};
    return {
      ...(supervisor && {
        enclave: { up: supervisor.state().kind === "up", restarts: Math.max(0, supervisor.starts() - 1) },
      }),
      ...(this.#credentials && { credentials: this.#credentials.facts() }),
      ...(records && { log: { accepted: records.accepted, dropped: { ...records.dropped, ...delivered } } }),
      ...(targets && { ingress: { healthy, unhealthy: targets.length - healthy } }),
    };
  }
}

/** Does all of it, one after the other. @throws what the first that failed threw */
async function endInTurn(ends: readonly (() => Promise<unknown> | undefined)[]): Promise<void> {
  const failures: unknown[] = [];
  for (const end of ends) await Promise.resolve(end()).catch((error: unknown) => failures.push(error));
  if (failures.length > 0) throw failures[0];
}
