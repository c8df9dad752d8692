/**
 * Reads the list of hosts and ports that the egress proxy forwards to, and answers what is on it.
 *
 * Entries and requests pass the same reader (`shared/transport/target.ts`); after that the comparison is exact. There
 * are no rules by address: a name that merely resolves to an allowed host's address is not allowed.
 *
 * A star is taken only from an entry that says `wildcard: "one-label"`, in the place of the first label, before at least
 * two others: `*.s3.eu-central-1.amazonaws.com` is `a.s3.…`, and neither `s3.…` nor `a.b.s3.…`. It opens names that
 * others may own (any account's bucket), so an entry that stands for itself is to be preferred.
 *
 * @module
 */
import { isIP } from "node:net";
import { ConfigError, isTransportError } from "../../shared/errors/index.ts";
import { isIpv4Literal, parseTarget, type Target } from "../../shared/transport/target.ts";
import { classifyAddress } from "./address-class.ts";
import type { SniPolicy } from "./sni.ts";

/** A target, as `host:port` or with what it is allowed besides. */
export type AllowlistEntry =
  | string
  | {
      /** `host:port` */
      readonly target: string;
      /** Whether the name may resolve to this host or a private network, as a VPC endpoint's does. */
      readonly allowPrivate: boolean;
      /** Whether TLS must ask for this very host (`sni.ts`). Default: the proxy's. */
      readonly sniPolicy?: SniPolicy;
      /** That a star as the first label stands for one label. Default: a star is refused. */
      readonly wildcard?: "one-label";
    };

/** Names with a fixed place, like curl's `--resolve`: `host:port` → `address:port`. */
export type HostMap = Readonly<Record<string, string>>;

export interface AllowedTarget extends Target {
  readonly allowPrivate: boolean;
  /** Absent: the proxy's. */
  readonly sniPolicy?: SniPolicy;
  /** The operator's fixed place for it; the name is then not resolved. */
  readonly fixed?: { readonly address: string; readonly port: number };
}

export interface Allowlist {
  find(target: Target): AllowedTarget | undefined;
}

const ENTRIES_MAX = 10_000;

function invalid(field: string, expected: string, actual: string, cause?: unknown): ConfigError {
  return new ConfigError("ERR_CONFIG_FIELD_INVALID", { field, expected, actual }, { cause });
}

/**
 * @throws {ConfigError} an entry that is not a target, comes twice, or is a place that is never forwarded to
 */
export function readAllowlist(entries: readonly AllowlistEntry[], hosts: HostMap = {}): Allowlist {
  if (entries.length > ENTRIES_MAX) {
    throw invalid("allowlist", `at most ${ENTRIES_MAX} entries`, `${entries.length} entries`);
  }
  const fixed = readHosts(hosts);
  const allowed = new Map<string, AllowedTarget>();
  entries.forEach((entry, index) => {
    const field = `allowlist[${index}]`;
    const { target: text, wildcard, ...rest } = readEntry(entry, field);
    const target = wildcard === undefined ? readTarget(text, field) : readWildcard(text, field);
    const key = keyOf(target);
    if (allowed.has(key)) throw invalid(field, "another target than the entries before", "the same target again");
    const place = fixed.get(key);
    const ip = isIpv4Literal(target.host) ? classifyAddress(target.host) : "public";
    if (ip === "never") throw invalid(field, "a place that may be forwarded to", "a link-local or reserved address");
    allowed.set(key, { ...target, ...rest, ...(place && { fixed: place }) });
  });
  const find = (target: Target): AllowedTarget | undefined => {
    const exact = allowed.get(keyOf(target));
    if (exact) return exact;
    const pattern = allowed.get(keyOf({ host: target.host.replace(/^[^.]+/, "*"), port: target.port }));
    const place = pattern && fixed.get(keyOf(target));
    return pattern && { ...pattern, host: target.host, ...(place && { fixed: place }) };
  };
  return { find };
}

function keyOf({ host, port }: Target): string {
  return `${host}:${port}`;
}

function readEntry(entry: unknown, field: string): Exclude<AllowlistEntry, string> {
  if (typeof entry === "string") return { target: entry, allowPrivate: false };
  if (typeof entry !== "object" || entry === null) {
    throw invalid(field, "a string or an object with target and allowPrivate", typeof entry);
  }
  const known = ["target", "allowPrivate", "sniPolicy", "wildcard"];
  for (const name of Object.keys(entry)) {
    if (!known.includes(name)) throw new ConfigError("ERR_CONFIG_FIELD_UNKNOWN", { field: `${field}.${name}`, known });
  }
  const { target, allowPrivate, sniPolicy, wildcard } = entry as Readonly<Record<string, unknown>>;
  if (typeof target !== "string") throw invalid(`${field}.target`, "a string host:port", typeof target);
  if (typeof allowPrivate !== "boolean") throw invalid(`${field}.allowPrivate`, "a boolean", typeof allowPrivate);
  if (sniPolicy !== undefined && sniPolicy !== "off" && sniPolicy !== "enforce") {
    throw invalid(`${field}.sniPolicy`, '"off" or "enforce"', typeof sniPolicy);
  }
  if (wildcard !== undefined && wildcard !== "one-label") {
    throw invalid(`${field}.wildcard`, '"one-label"', typeof wildcard);
  }
  return { target, allowPrivate, ...(sniPolicy && { sniPolicy }), ...(wildcard && { wildcard }) };
}

/** A pattern, with its star in the place of the host's first label. */
function readWildcard(text: string, field: string): Target {
  if (!text.startsWith("*.")) throw invalid(field, "a star, a dot and a host", "something else");
  const { host, port } = readTarget(text.slice(2), field);
  if (!host.includes(".") || isIpv4Literal(host)) throw invalid(field, "a star before two labels or more", "fewer");
  return { host: `*.${host}`, port };
}

/**
 * Reads a target of the configuration.
 *
 * @throws {ConfigError} that names the field
 */
export function readTarget(text: string, field: string): Target {
  try {
    return parseTarget(text);
  } catch (cause) {
    const rule = isTransportError(cause) && "rule" in cause.details ? cause.details.rule : "host:port";
    throw invalid(field, `host:port (${rule})`, `${text.length} characters`, cause);
  }
}

function readHosts(hosts: HostMap): ReadonlyMap<string, { readonly address: string; readonly port: number }> {
  const fixed = new Map<string, { readonly address: string; readonly port: number }>();
  for (const [name, place] of Object.entries(hosts)) {
    const key = keyOf(readTarget(name, "hosts"));
    const field = `hosts["${key}"]`;
    if (fixed.has(key)) throw invalid(field, "one place", "two spellings of one name");
    if (typeof place !== "string") throw invalid(field, "a string address:port", typeof place);
    const match = /^(?:\[([0-9a-f:.]+)\]|([0-9.]+)):([1-9][0-9]{0,4})$/.exec(place);
    const address = match?.[1] ?? match?.[2] ?? "";
    const port = Number(match?.[3]);
    if (isIP(address) === 0 || port > 65_535) throw invalid(field, "an IP address and a port", "something else");
    if (classifyAddress(address) === "never") {
      throw invalid(field, "a place that may be forwarded to", "a link-local or reserved address");
    }
    fixed.set(key, { address, port });
  }
  return fixed;
}
