/**
 * Reads the list of hosts and ports that the egress proxy forwards to, and answers what is on it.
 *
 * Entries and requests pass the same reader (`shared/transport/target.ts`); after that the comparison is exact. There
 * are no wildcards and no rules by address: a name that merely resolves to an allowed host's address is not allowed.
 *
 * @module
 */
import { isIP } from "node:net";
import { ConfigError, isTransportError } from "../shared/errors/index.ts";
import { isIpv4Literal, parseTarget, type Target } from "../shared/transport/target.ts";
import { classifyAddress } from "./address-class.ts";

/** A target, as `host:port` or with what it is allowed besides. */
export type AllowlistEntry =
  | string
  | {
      /** `host:port` */
      readonly target: string;
      /** Whether the name may resolve to this host or a private network, as a VPC endpoint's does. */
      readonly allowPrivate: boolean;
    };

/** Names with a fixed place, like curl's `--resolve`: `host:port` → `address:port`. */
export type HostMap = Readonly<Record<string, string>>;

export interface AllowedTarget extends Target {
  readonly allowPrivate: boolean;
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
    const { target: text, allowPrivate } = readEntry(entry, field);
    const target = readTarget(text, field);
    const key = keyOf(target);
    if (allowed.has(key)) throw invalid(field, "another target than the entries before", "the same target again");
    const place = fixed.get(key);
    const ip = isIpv4Literal(target.host) ? classifyAddress(target.host) : "public";
    if (ip === "never") throw invalid(field, "a place that may be forwarded to", "a link-local or reserved address");
    allowed.set(key, { ...target, allowPrivate, ...(place && { fixed: place }) });
  });
  return { find: (target) => allowed.get(keyOf(target)) };
}

function keyOf({ host, port }: Target): string {
  return `${host}:${port}`;
}

function readEntry(entry: unknown, field: string): { readonly target: string; readonly allowPrivate: boolean } {
  if (typeof entry === "string") return { target: entry, allowPrivate: false };
  if (typeof entry !== "object" || entry === null) {
    throw invalid(field, "a string or an object with target and allowPrivate", typeof entry);
  }
  const known = ["target", "allowPrivate"] as const;
  for (const name of Object.keys(entry)) {
    if (name !== "target" && name !== "allowPrivate") {
      throw new ConfigError("ERR_CONFIG_FIELD_UNKNOWN", { field: `${field}.${name}`, known });
    }
  }
  const { target, allowPrivate } = entry as Readonly<Record<string, unknown>>;
  if (typeof target !== "string") throw invalid(`${field}.target`, "a string host:port", typeof target);
  if (typeof allowPrivate !== "boolean") throw invalid(`${field}.allowPrivate`, "a boolean", typeof allowPrivate);
  return { target, allowPrivate };
}

function readTarget(text: string, field: string): Target {
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
