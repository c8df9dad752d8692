/**
 * Reads the allowlist file of AWS's vsock-proxy, so that it can be used as it is:
 *
 *   allowlist:
 *   - {address: kms.eu-central-1.amazonaws.com, port: 443}
 *
 * A target that stands there twice is read once, as there. What differs: an address is a name or an IPv4 address, and a
 * host that merely has an allowed host's address is not allowed. Names may not resolve to private networks unless the
 * caller says that all of them may: a VPC endpoint's name does.
 *
 * Source: aws-nitro-enclaves-cli, vsock_proxy/README.md and configs/vsock-proxy.yaml.
 *
 * @module
 */
import { ConfigError, isTransportError } from "../../shared/errors/index.ts";
import { parseTarget } from "../../shared/transport/target.ts";
import { parseStrictYaml, type StrictYaml, type YamlValue } from "../config/yaml.ts";
import type { AllowlistEntry } from "./allowlist.ts";

export interface VsockProxyAllowlistOptions {
  /** How the file is called in errors. Default `allowlist`. */
  readonly path?: string;
  /** Whether every name may resolve to this host or a private network. Default false. */
  readonly allowPrivate?: boolean;
}

type YamlMap = { readonly [name: string]: YamlValue };

/**
 * @throws {ConfigError} with the line and the column
 */
export function readVsockProxyAllowlist(text: string, options: VsockProxyAllowlistOptions = {}): AllowlistEntry[] {
  const { path = "allowlist", allowPrivate = false } = options;
  const yaml = parseStrictYaml(text, { path });
  const { allowlist } = fieldsOf(yaml, yaml.value, { field: "", known: ["allowlist"] });
  if (!Array.isArray(allowlist)) throw invalid(yaml, "allowlist", ["a list of {address, port}", allowlist]);
  const targets = new Set<string>();
  allowlist.forEach((entry: YamlValue, index) => {
    targets.add(readEntry(yaml, entry, `allowlist[${index}]`));
  });
  return [...targets].map((target) => ({ target, allowPrivate }));
}

function readEntry(yaml: StrictYaml, entry: YamlValue, field: string): string {
  const { address, port } = fieldsOf(yaml, entry, { field, known: ["address", "port"] });
  if (typeof address !== "string") throw invalid(yaml, `${field}.address`, ["a host name", address]);
  if (typeof port !== "number") throw invalid(yaml, `${field}.port`, ["a number", port]);
  try {
    const target = parseTarget(`${address}:${port}`);
    return `${target.host}:${target.port}`;
  } catch (cause) {
    if (!isTransportError(cause) || !("rule" in cause.details)) throw cause;
    throw invalid(yaml, field, [`an address and a port (${cause.details.rule})`, entry], cause);
  }
}

function fieldsOf(
  yaml: StrictYaml,
  value: YamlValue,
  { field, known }: { readonly field: string; readonly known: readonly string[] },
): YamlMap {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw invalid(yaml, field, [`a mapping with ${known.join(" and ")}`, value]);
  }
  const map = value as YamlMap;
  const prefix = field === "" ? "" : `${field}.`;
  for (const name of Object.keys(map)) {
    if (known.includes(name)) continue;
    const unknown = `${prefix}${name}`;
    throw new ConfigError("ERR_CONFIG_FIELD_UNKNOWN", { field: unknown, known, at: yaml.place(unknown) });
  }
  for (const name of known) {
    if (name in map) continue;
    const details = { field: `${prefix}${name}`, expected: "given", at: yaml.place(`${prefix}${name}`) };
    throw new ConfigError("ERR_CONFIG_FIELD_MISSING", details);
  }
  return map;
}

function invalid(
  yaml: StrictYaml,
  field: string,
  [expected, value]: readonly [expected: string, value: unknown],
  cause?: unknown,
): ConfigError {
  const actual = value === null ? "null" : Array.isArray(value) ? "a list" : typeof value;
  const details = { field: field === "" ? "the file" : field, expected, actual, at: yaml.place(field) };
  return new ConfigError("ERR_CONFIG_FIELD_INVALID", details, { cause });
}
