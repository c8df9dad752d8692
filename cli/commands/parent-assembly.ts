/**
 * Makes a running parent of a configuration: services, enclave, logs, metrics, put together and ended together.
 *
 * @module
 */
import { fromFile } from "../../parent/config/credentials-file.ts";
import type { CredentialsConfig, EgressConfig, ParentConfig } from "../../parent/config/parent-config.ts";
import type { ProvideCredentials } from "../../parent/credentials/container-credentials.ts";
import { fromInstanceRole } from "../../parent/credentials/instance-role.ts";
import { refreshing } from "../../parent/credentials/refreshing.ts";
import { createResolver } from "../../parent/egress/resolver.ts";
import type { Supervisor, SupervisorEvent } from "../../parent/launcher/supervision.ts";
import type { LogDestination } from "../../parent/observability/delivery.ts";
import { type HealthReport, type HealthServer, startHealth } from "../../parent/observability/health.ts";
import type { ParentFacts } from "../../parent/observability/metric-facts.ts";
import { createMetrics, type Metrics } from "../../parent/observability/metrics.ts";
import type { ParentEvent } from "../../parent/observability/observe.ts";
import { type EgressPart, type Services, startServices } from "../../parent/services.ts";
import type { EnclaveDescription } from "../../shared/launcher.ts";
import { type Address, addressOf, type Peer } from "../../shared/transport/address.ts";
import type { Transport } from "../../shared/transport/transport.ts";
import { createTransport, VSOCK_CID_ANY } from "../../transport/index.ts";
import type { Terminal } from "../terminal.ts";
import { openParentFolder, superviseEnclave } from "./parent-enclave.ts";
import { openLogs } from "./parent-logs.ts";

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
  readonly #transport: Transport;
  #metrics: Metrics | undefined;
  #logs: LogDestination | undefined;
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
    const { enclave, logs, egress, credentials, ingress, metrics } = this.#config;
    this.#metrics = await createMetrics();
    this.#logs = logs && (await openLogs(logs));
    const { listen, allowedCids } = await meetingPoint(enclave);
    this.#services = await startServices({
      ...{ transport: this.#transport, at: (port) => addressOf(listen, port), allowedCids },
      log: (event) => this.#note(event),
      egress: egress && egressPart(egress),
      credentials: credentials && { provide: provider(credentials), http: credentials.http },
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
        onDown: ({ cid }: EnclaveDescription) => {
          this.#setEnclave([]);
          this.#services?.disconnect(cid);
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
    if (egress) this.#services?.update({ allowlist: egress.allowlist, hosts: egress.hosts });
    this.#extraTargets = ingress?.targets ?? [];
    this.#services?.ingress?.setTargets(this.#targets());
  }

  health(): HealthReport {
    const state = this.#supervisor?.state().kind ?? "attached";
    const ready = !this.#isDraining && (state === "up" || state === "attached");
    // A supervisor that gave up does nothing more: whoever watches may start the process anew.
    const live = state !== "failed" && state !== "refused";
    return { live, ready, facts: { enclave: state, draining: this.#isDraining, ...this.#healthyEnclaves() } };
  }

  async drain(deadlineMs: number): Promise<{ readonly forced: number }> {
    this.#isDraining = true;
    return (await this.#services?.drain(deadlineMs)) ?? { forced: 0 };
  }

  async close(): Promise<void> {
    const { enclave } = this.#config;
    const keeps = enclave.kind === "run" && enclave.onExit === "keep";
    await this.#services?.close();
    await (keeps ? this.#supervisor?.release() : this.#supervisor?.stop());
    await this.#health?.close();
    await this.#logs?.close();
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
    this.#settings.tell(JSON.stringify(event));
  }

  #healthyEnclaves(): { healthyEnclaves?: number } {
    const targets = this.#services?.ingress?.health();
    return targets ? { healthyEnclaves: targets.filter(({ healthy }) => healthy).length } : {};
  }

  #watch(metrics: Metrics): void {
    const services = this.#services;
    for (const name of ["egress", "credentials", "log", "ingress"] as const) {
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
      ...(records && { log: { accepted: records.accepted, dropped: { ...records.dropped, ...delivered } } }),
      ...(targets && { ingress: { healthy, unhealthy: targets.length - healthy } }),
    };
  }
}

interface MeetingPoint {
  readonly listen: Peer;
  readonly allowedCids: readonly number[] | undefined;
}

/** Where the enclave finds its parent, and who else is not let in. */
async function meetingPoint(enclave: ParentConfig["enclave"]): Promise<MeetingPoint> {
  if (enclave.kind === "attach" && enclave.peer.kind !== "vsock")
    return { listen: enclave.peer, allowedCids: undefined };
  if (enclave.kind === "run" && enclave.platform === "mock") {
    return { listen: { kind: "unix", folder: await openParentFolder(enclave.cid) }, allowedCids: undefined };
  }
  const cid = enclave.kind === "run" ? enclave.cid : enclave.peer.kind === "vsock" ? enclave.peer.cid : 0;
  return { listen: { kind: "vsock", cid: VSOCK_CID_ANY }, allowedCids: [cid] };
}

function egressPart({ allowlist, hosts, connect, ports, resolver, sniPolicy, limits }: EgressConfig): EgressPart {
  const resolve =
    typeof resolver === "object" ? createResolver({ servers: resolver.servers }) : createResolver({ source: resolver });
  const doors = ports.map(({ port, target }) => ({ kind: "port", port, target }) as const);
  const all = connect === "off" ? doors : [{ kind: "connect", port: connect } as const, ...doors];
  return { rules: { allowlist, hosts }, doors: all, resolve, sniPolicy, limits };
}

function provider(credentials: CredentialsConfig): ProvideCredentials {
  if (credentials.source === "file") return fromFile(credentials.file);
  return refreshing(fromInstanceRole(credentials.role === undefined ? {} : { role: credentials.role }));
}
