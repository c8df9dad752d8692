/**
 * Gives the addresses of a name, and goes on giving them while the name server is down.
 *
 *   fresh        a name's answer is kept as long as its records say (300 s at most), and asked for once at a time
 *   negative     a name that does not exist, or a server that fails, is not asked again for one second
 *   outage       when the server fails, the last answer serves on, for an hour at most; who asks meanwhile waits half a
 *                second for a newer one. A name that the server says does not exist has no last answer
 *
 * DNS is asked directly (A and AAAA side by side, no search domains, no `/etc/hosts`): `getaddrinfo` tells no TTL, and
 * in an outage its calls fill the four threads that the process has for files and keys too. The system's
 * way is an option for hosts that need it. Nothing here decides whether an address is acceptable: that is done at each dial, also for an
 * answer that was kept.
 *
 * Source: RFC 2308 §5, §7 (negative answers, failures); RFC 8767 §5 (stale answers).
 *
 * @module
 */
import { lookup, Resolver } from "node:dns/promises";
import { codeOf } from "../observability/observe.ts";

/** The addresses of a name, as text. */
export type Resolve = (host: string) => Promise<readonly string[]>;

/** What a name server says of a name. */
export interface DnsAnswer {
  readonly addresses: readonly string[];
  /** For how long, in milliseconds. */
  readonly ttlMs: number;
}

export interface ResolverOptions {
  /** Whom to ask. `system` is `getaddrinfo`: files, search domains, no TTL, so each answer is asked for anew. Default `dns`. */
  readonly source?: "dns" | "system" | undefined;
  /** For `dns`: name servers, `address` or `address:port`. Default: those of `/etc/resolv.conf`, read anew after a failure. */
  readonly servers?: readonly string[] | undefined;
  /** How long a server may take for the first try, in milliseconds; the second has twice that. Default 1 000. */
  readonly timeoutMs?: number | undefined;
  /** How old an answer may become while the server fails, in milliseconds. Default 3 600 000. */
  readonly maxStaleMs?: number | undefined;
  /** A clock that only goes forward, in milliseconds. Default `performance.now`. */
  readonly monotonicMs?: (() => number) | undefined;
  /** Asks one name. Default: DNS. */
  readonly ask?: ((host: string) => Promise<DnsAnswer>) | undefined;
}

const TTL_MAX_MS = 300_000;
const NEGATIVE_MS = 1_000;
const STALE_PATIENCE_MS = 500;
const NAMES_MAX = 10_000;
const TRIES = 2;
/** The name server answered, and there is nothing. */
const NOTHING: ReadonlySet<string> = new Set(["ENOTFOUND", "ENODATA"]);

interface Known {
  /** The last good answer, and when it came. */
  addresses?: readonly string[];
  answeredAt: number;
  freshUntil: number;
  failure?: unknown;
  failedUntil: number;
  asking?: Promise<readonly string[]>;
}

/** Asks the system, as `getaddrinfo` does: files, DNS and search domains. Nothing is kept. */
export const resolveBySystem: Resolve = async (host) => {
  const found = await lookup(host, { all: true, verbatim: true });
  return found.map(({ address }) => address);
};

const askSystem = async (host: string): Promise<DnsAnswer> => ({ addresses: await resolveBySystem(host), ttlMs: 0 });

export function createResolver(options: ResolverOptions = {}): Resolve {
  const { maxStaleMs = 3_600_000, monotonicMs = () => performance.now() } = options;
  const ask = options.ask ?? (options.source === "system" ? askSystem : createDnsClient(options));
  const names = new Map<string, Known>();

  const refresh = async (host: string, known: Known): Promise<readonly string[]> => {
    try {
      const { addresses, ttlMs } = await ask(host);
      known.addresses = addresses;
      known.answeredAt = monotonicMs();
      known.freshUntil = known.answeredAt + Math.min(Math.max(ttlMs, 0), TTL_MAX_MS);
      known.failure = undefined;
      return addresses;
    } catch (error) {
      known.failure = error;
      known.failedUntil = monotonicMs() + NEGATIVE_MS;
      if (NOTHING.has(codeOf(error))) delete known.addresses;
      throw error;
    }
  };

  return async (host) => {
    const known = names.get(host) ?? remember(names, host);
    const now = monotonicMs();
    if (known.addresses && now < known.freshUntil) return known.addresses;
    const stale = known.addresses && now < known.answeredAt + maxStaleMs ? known.addresses : undefined;
    if (known.failure !== undefined && now < known.failedUntil) {
      if (stale) return stale;
      throw known.failure;
    }
    known.asking ??= refresh(host, known).finally(() => delete known.asking);
    return stale ? orStale(known.asking, known, stale) : known.asking;
  };
}

/** A new entry; the oldest goes when there are too many. */
function remember(names: Map<string, Known>, host: string): Known {
  if (names.size >= NAMES_MAX) names.delete(names.keys().next().value ?? "");
  const known: Known = { answeredAt: 0, freshUntil: 0, failedUntil: 0 };
  names.set(host, known);
  return known;
}

/** The new answer if it comes soon; the old one if it fails or takes long, unless the name is said not to exist. */
function orStale(
  asking: Promise<readonly string[]>,
  known: Known,
  stale: readonly string[],
): Promise<readonly string[]> {
  return new Promise((resolve, reject) => {
    const patience = setTimeout(() => resolve(stale), STALE_PATIENCE_MS);
    asking
      .then(resolve, (error: unknown) => (known.addresses ? resolve(stale) : reject(error)))
      .finally(() => clearTimeout(patience));
  });
}

function createDnsClient({ servers, timeoutMs = 1_000 }: ResolverOptions): (host: string) => Promise<DnsAnswer> {
  const create = (): Resolver => {
    const client = new Resolver({ timeout: timeoutMs, tries: TRIES });
    if (servers) client.setServers(servers);
    return client;
  };
  let resolver = create();
  return async (host) => {
    const client = resolver;
    const families = [client.resolve4(host, { ttl: true }), client.resolve6(host, { ttl: true })];
    const [four, six] = await Promise.allSettled(families);
    const found = [six, four].flatMap((family) => (family?.status === "fulfilled" ? family.value : []));
    if (found.length > 0) {
      const ttl = Math.min(...found.slice(0, 64).map((record) => record.ttl));
      return { addresses: found.map(({ address }) => address), ttlMs: ttl * 1_000 };
    }
    const reasons = [four, six].flatMap((family) => (family?.status === "rejected" ? [family.reason as unknown] : []));
    const failure = reasons.find((reason) => !NOTHING.has(codeOf(reason)));
    // The host may have been given other servers since this client read of them.
    if (failure !== undefined && resolver === client) resolver = create();
    throw failure ?? reasons[0];
  };
}
