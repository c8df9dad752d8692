/**
 * The clients' way in: forwards the bytes of each connection to an enclave, untouched.
 *
 *   1. choose     a healthy enclave, the one with the fewest connections
 *   2. connect    and, while that fails, the next one: nothing of the client's has been sent yet
 *   3. introduce  the client's address in a PROXY header, where the enclave is made for it
 *   4. tunnel     bytes both ways; from here on a failure is the client's to repeat
 *
 * TLS ends inside the enclave. A client's half-close reaches it, and its answer reaches the client. When no enclave can
 * be reached the client's connection is closed at once, and the next one tries again.
 *
 * @module
 */
import type { Duplex } from "node:stream";
import { TransportError } from "../../shared/errors/index.ts";
import { type Address, formatAddress } from "../../shared/transport/address.ts";
import type { Transport } from "../../shared/transport/transport.ts";
import type { Connection, Outcome } from "../listening/connection.ts";
import { listenService } from "../listening/service.ts";
import { tunnel } from "../listening/tunnel.ts";
import type { ListeningService, ParentLog, Tap } from "../observability/observe.ts";
import { isOwnShortage, startChecking } from "./health.ts";
import { OpenByTarget } from "./open-by-target.ts";
import { endpointsOf, LOCAL_HEADER, proxyHeader } from "./proxy-protocol.ts";
import { type Balance, type HealthThresholds, type Target, type TargetHealth, TargetSet } from "./targets.ts";

export interface IngressLimits {
  /** To reach an enclave, all attempts together, in milliseconds. Default 5 000. */
  readonly connectTimeoutMs?: number;
  /** For one attempt, in milliseconds, so that a silent enclave leaves time for another. Default 2 000. */
  readonly attemptTimeoutMs?: number;
  /** How long nothing may cross, in milliseconds. Default 600 000. */
  readonly idleTimeoutMs?: number;
  /** How many connections at once. Default 1 024. */
  readonly maxConnections?: number;
  /** How many may wait for a place, and how long, in milliseconds. Default 128 and 1 000. */
  readonly maxWaiting?: number;
  readonly waitTimeoutMs?: number;
}

/** By default two failures make a target unhealthy, as one may be a full backlog, and one success makes it healthy. */
export interface IngressHealth extends Partial<HealthThresholds> {
  /** Between two checks of a target, in milliseconds. Default 2 000. */
  readonly intervalMs?: number;
  /** For one check, in milliseconds. Default 1 000. */
  readonly timeoutMs?: number;
}

export interface IngressOptions {
  readonly transport: Transport;
  /** Where clients connect: TCP or a Unix socket. */
  readonly listen: Address;
  /** Where the application listens in each of the enclaves. With none, clients are turned away until there is one. */
  readonly targets: readonly Address[];
  /** Tells the enclave the client's address before its bytes. Default: nothing is added. */
  readonly proxyProtocol?: "v2" | undefined;
  /** How the next enclave is chosen. Default `least-connections`. */
  readonly balance?: Balance | undefined;
  /** Asks every enclave at intervals. Default: only those that clients could not reach, until they answer. */
  readonly health?: IngressHealth | undefined;
  readonly log: ParentLog;
  readonly tap?: Tap | undefined;
  readonly limits?: IngressLimits | undefined;
}

export interface IngressService extends ListeningService {
  /**
   * The enclaves from now on, as after a restart with a new context id; connections that are open go on.
   *
   * @throws {ConfigError} one comes twice, or there are too many; the old ones stay
   */
  setTargets(targets: readonly Address[]): void;
  /** Destroys what is open to one enclave, for who knows that it is gone; says how many connections that were. */
  disconnect(target: Address): number;
  health(): readonly TargetHealth[];
}

/**
 * Opens the door.
 *
 * @throws {ConfigError} a target comes twice
 * @throws {TransportError} the address can not be bound
 */
export async function startIngress(options: IngressOptions): Promise<IngressService> {
  const { transport, listen, proxyProtocol, balance = "least-connections", health, log, tap, limits = {} } = options;
  const { idleTimeoutMs = 600_000, maxConnections = 1_024, maxWaiting, waitTimeoutMs } = limits;
  const places = { maxConnections, maxWaiting, waitTimeoutMs };
  const { unhealthyAfter = 2, healthyAfter = 1, intervalMs = 2_000, timeoutMs = 1_000 } = health ?? {};
  const open = new OpenByTarget();
  const targets = new TargetSet(options.targets, balance, { unhealthyAfter, healthyAfter });
  const tell = ({ name, healthy }: Target): void => {
    log({ service: "ingress", event: healthy ? "healthy" : "unhealthy", target: name });
  };

  async function serve(connection: Connection): Promise<Outcome> {
    const { id, socket, traffic, signal } = connection;
    // Read before the connect: a client that leaves meanwhile has no address any more.
    const introduction = proxyProtocol && proxyHeader(endpointsOf(socket));
    const { enclave, target, release } = await reach({ transport, targets, limits, client: socket, tell });
    connection.log("connected", { target: target.name });
    open.add(target.name, enclave);
    try {
      if (introduction) {
        tap?.(id, "to-enclave", introduction);
        traffic.bytesToEnclave += introduction.length;
        enclave.write(introduction);
      }
      await tunnel(enclave, socket, { connectionId: id, tap, idleTimeoutMs, traffic, signal });
    } finally {
      release();
    }
    return "served";
  }

  const service = await listenService({ service: "ingress", transport, address: listen, log, ...places, serve });
  const greeting = proxyProtocol && LOCAL_HEADER;
  const everyone = health !== undefined;
  const stop = startChecking({ transport, targets, intervalMs, timeoutMs, everyone, greeting, onChange: tell });
  return doorOf({ service, targets, open, stop });
}

interface DoorParts {
  readonly service: ListeningService;
  readonly targets: TargetSet;
  readonly open: OpenByTarget;
  readonly stop: () => void;
}

/** The service with its targets; whatever ends it ends the checks first. */
function doorOf({ service, targets, open, stop }: DoorParts): IngressService {
  const close = (): Promise<void> => {
    stop();
    return service.close();
  };
  return {
    address: service.address,
    stats: () => service.stats(),
    setTargets: (next) => targets.replace(next),
    disconnect: (target) => open.end(formatAddress(target)),
    health: () => targets.health(),
    drain: (deadlineMs) => {
      stop();
      return service.drain(deadlineMs);
    },
    close,
    [Symbol.asyncDispose]: close,
  };
}

interface Reaching {
  readonly transport: Transport;
  readonly targets: TargetSet;
  readonly limits: IngressLimits;
  readonly client: Duplex;
  readonly tell: (target: Target) => void;
}

interface Reached {
  readonly enclave: Duplex;
  readonly target: Target;
  /** To be called when the connection is over. */
  readonly release: () => void;
}

/** Connects to one enclave after the other until one answers, time is up, or the client leaves. */
async function reach(options: Reaching): Promise<Reached> {
  const { transport, targets, limits, client, tell } = options;
  const { connectTimeoutMs = 5_000, attemptTimeoutMs = 2_000 } = limits;
  const given = new AbortController();
  const late = new TransportError("ERR_TRANSPORT_TIMEOUT", { address: "the enclave", timeoutMs: connectTimeoutMs });
  const timer = setTimeout(() => given.abort(late), connectTimeoutMs);
  const onClose = (): void => given.abort(new TransportError("ERR_TRANSPORT_CLOSED", { address: "the client" }));
  client.once("close", onClose);
  const tried = new Set<Target>();
  let failure: unknown = new TransportError("ERR_TRANSPORT_UNREACHABLE", { address: "enclave", reason: "NO_TARGET" });
  try {
    for (let target = targets.choose(tried); target; target = targets.choose(tried)) {
      tried.add(target);
      const release = targets.occupy(target); // a connect under way counts: many at once must not choose the same
      try {
        const enclave = await transport.connect(target.address, { timeoutMs: attemptTimeoutMs, signal: given.signal });
        if (targets.note(target, true)) tell(target);
        return { enclave, target, release };
      } catch (error) {
        release();
        // The client left: that says nothing about the enclave.
        if (given.signal.aborted && given.signal.reason !== late) throw given.signal.reason;
        // Neither does a host that has run out of something.
        if (isOwnShortage(error)) throw error;
        if (targets.note(target, false)) tell(target);
        if (given.signal.aborted) throw late;
        failure = error;
      }
    }
    throw failure;
  } finally {
    clearTimeout(timer);
    client.off("close", onClose);
  }
}
