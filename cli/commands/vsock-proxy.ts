/**
 * `cloister vsock-proxy`: takes AWS's vsock-proxy's place, with its command line and its file.
 *
 * What differs, each told in docs/parent.md: a host is allowed by its name and never because it has the address of an
 * allowed one; link-local addresses are never dialled; the number of workers is no limit below 1 024, as a connection is
 * no thread here.
 *
 * Source: aws-nitro-enclaves-cli, vsock_proxy/src/main.rs.
 *
 * @module
 */
import { isIPv4, isIPv6 } from "node:net";
import { readOwnFile } from "../../parent/config/file.ts";
import type { EgressRules } from "../../parent/egress/egress.ts";
import { createResolver, type Resolve } from "../../parent/egress/resolver.ts";
import { readVsockProxyAllowlist } from "../../parent/egress/vsock-proxy-allowlist.ts";
import { liveUntilStopped } from "../../parent/lifecycle.ts";
import { startServices } from "../../parent/services.ts";
import { ConfigError } from "../../shared/errors/index.ts";
import { type Address, formatAddress } from "../../shared/transport/address.ts";
import { canonicalHost } from "../../shared/transport/target.ts";
import { createTransport, createVsockTransport, VSOCK_CID_ANY } from "../../transport/index.ts";
import { type Arguments, readArguments } from "../arguments.ts";
import { type Terminal, UsageError } from "../terminal.ts";
import { version } from "../version.ts";
import { notifyFromEnvironment } from "./parent-notify.ts";

const PROXY_USAGE = `usage: cloister vsock-proxy [options] LOCAL_PORT REMOTE_ADDR REMOTE_PORT

  forwards what connects to the vsock port LOCAL_PORT to one host, if its allowlist has it
  -4, --ipv4             only IPv4 addresses
  -6, --ipv6             only IPv6 addresses
  -w, --num_workers N    accepted; N connections at once, or 1024 if N is less
      --config FILE      the allowlist, YAML; default /etc/nitro_enclaves/vsock-proxy.yaml
  beyond AWS's:
      --allow-cid N      serves this context id only; default any, as AWS's does
      --max-connections N
      --system-resolver  names by /etc/hosts and search domains too; default DNS, which survives an outage
      --transport URL    unix:///FOLDER: listens on FOLDER/LOCAL_PORT instead of vsock, for tests

  SIGHUP reads the allowlist again; SIGTERM ends connections within 30 s, a second one at once

  example: cloister vsock-proxy 8000 kms.eu-central-1.amazonaws.com 443`;

const string = { type: "string" } as const;
const OPTIONS = {
  ipv4: { type: "boolean", short: "4" },
  ipv6: { type: "boolean", short: "6" },
  num_workers: { type: "string", short: "w" },
  config: string,
  help: { type: "boolean", short: "h" },
  version: { type: "boolean" },
  "allow-cid": string,
  "max-connections": string,
  "system-resolver": { type: "boolean" },
  transport: string,
} as const;
const CONFIG = "/etc/nitro_enclaves/vsock-proxy.yaml";
const CONNECTIONS = 1_024;
const DRAIN_MS = 30_000;

export async function vsockProxy(args: readonly string[], { print, tell }: Terminal): Promise<number> {
  const { values, positionals } = readArguments(args, { options: OPTIONS, operands: 3, usage: PROXY_USAGE });
  if (values["help"]) {
    print(PROXY_USAGE);
    return 0;
  }
  if (values["version"]) {
    print(`cloister vsock-proxy ${await version()}`);
    return 0;
  }
  const { target, limits, resolve, address, port, config, cids } = readProxy(values, positionals);
  // Until it listens a hangup has nothing to reload; by default it would end the process.
  const ignore = (): void => undefined;
  process.on("SIGHUP", ignore);
  const services = await startServices({
    transport: createTransport({ vsock: createVsockTransport({ allowedCids: cids ?? "any" }) }),
    at: () => address,
    log: (event) => tell(JSON.stringify(event)),
    egress: { rules: await readRules(config), doors: [{ kind: "port", target, port }], resolve, limits },
  });
  tell(`cloister: vsock-proxy listens on ${formatAddress(address)} for ${target}`);
  await liveUntilStopped({
    signals: process,
    reload: async () => services.update(await readRules(config)),
    drain: (deadlineMs) => services.drain(deadlineMs),
    close: () => services.close(),
    drainMs: () => DRAIN_MS,
    isLive: () => true,
    notify: notifyFromEnvironment(tell),
    log: (event) => tell(JSON.stringify({ service: "parent", ...event })),
  });
  process.off("SIGHUP", ignore);
  return 0;
}

async function readRules(path: string): Promise<EgressRules> {
  // As AWS's: a VPC endpoint's name resolves to a private network. Link-local stays closed all the same.
  const allowlist = readVsockProxyAllowlist(await readOwnFile(path), { path, allowPrivate: true });
  if (allowlist.length > 0) return { allowlist };
  const details = { field: "allowlist", expected: "one entry at least", actual: "none", at: `${path}:1:1` };
  throw new ConfigError("ERR_CONFIG_FIELD_INVALID", details);
}

interface Proxy {
  readonly port: number;
  readonly target: string;
  readonly config: string;
  readonly address: Address;
  readonly cids: readonly number[] | undefined;
  readonly limits: { readonly maxConnections: number };
  readonly resolve: Resolve;
}

function readProxy(values: Arguments["values"], [local = "", host = "", remote = ""]: readonly string[]): Proxy {
  const port = whole("LOCAL_PORT", local, { minimum: 0, maximum: 0xffff_fffe });
  const remotePort = whole("REMOTE_PORT", remote, { minimum: 1, maximum: 65_535 });
  const workers = whole("--num_workers", values["num_workers"] ?? "4", { minimum: 1, maximum: 1_000_000 });
  const most = { minimum: 1, maximum: 1_000_000 };
  const given = values["max-connections"];
  const maxConnections = given === undefined ? Math.max(workers, CONNECTIONS) : whole("--max-connections", given, most);
  if (values["ipv4"] && values["ipv6"]) throw new UsageError("-4 and -6 exclude each other", PROXY_USAGE);
  if (values["ipv6"] && isIPv4(host)) throw new UsageError("REMOTE_ADDR is IPv4, and -6 was asked for", PROXY_USAGE);
  const cid = values["allow-cid"];
  return {
    port,
    target: `${canonicalHost(host)}:${remotePort}`,
    config: String(values["config"] ?? CONFIG),
    address: listenAddress(values["transport"], port),
    cids: cid === undefined ? undefined : [whole("--allow-cid", cid, { minimum: 4, maximum: 0xffff_fffe })],
    limits: { maxConnections },
    resolve: resolver(values),
  };
}

function resolver(values: Arguments["values"]): Resolve {
  const resolve = createResolver({ source: values["system-resolver"] ? "system" : "dns" });
  const fits = values["ipv4"] ? isIPv4 : values["ipv6"] ? isIPv6 : undefined;
  return fits ? async (host) => (await resolve(host)).filter((address) => fits(address)) : resolve;
}

function listenAddress(url: string | boolean | undefined, port: number): Address {
  if (url === undefined) return { kind: "vsock", cid: VSOCK_CID_ANY, port };
  const folder = /^unix:\/\/(\/.+)$/.exec(String(url))?.[1];
  if (folder === undefined) throw new UsageError("--transport is unix:///FOLDER", PROXY_USAGE);
  return { kind: "unix", path: `${folder}/${port}` };
}

function whole(
  name: string,
  text: string | boolean,
  { minimum, maximum }: { readonly minimum: number; readonly maximum: number },
): number {
  const value = typeof text === "string" && /^(0|[1-9][0-9]{0,9})$/.test(text) ? Number(text) : -1;
  if (value >= minimum && value <= maximum) return value;
  throw new UsageError(`${name} is a whole number from ${minimum} to ${maximum}`, PROXY_USAGE);
}
