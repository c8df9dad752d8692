/**
 * Reads `parent.yaml`: what `cloister parent up` runs.
 *
 *   1. open      a file that only its owner may have written                    file.ts
 *   2. parse     strict YAML, with the place of each field                      yaml.ts
 *   3. form      against the published schema                                   form.ts, schema.ts
 *   4. together  what fields must be to each other, and each allowlist entry    here
 *
 * Fails closed: a file with any mistake is no configuration. Every mistake names file, line and column.
 *
 * @module
 */
import { dirname, resolve } from "node:path";
import { ConfigError, isConfigError } from "../../shared/errors/index.ts";
import { type Address, type Peer, parseAddress } from "../../shared/transport/address.ts";
import { parseTarget, type Target } from "../../shared/transport/target.ts";
import { readAllowlist } from "../egress/allowlist.ts";
import { readOwnFile } from "./file.ts";
import { checkForm } from "./form.ts";
import type { ParentConfig, ParentFile } from "./parent-config.ts";
import { PARENT_SCHEMA } from "./schema.ts";
import { parseStrictYaml, type StrictYaml } from "./yaml.ts";

/** @throws {ConfigError} names file, line and column */
export async function readParentConfig(path: string): Promise<ParentConfig> {
  return parseParentConfig(await readOwnFile(path), path);
}

/** The same of text that has been read. @param path how errors call it, and from where relative paths are taken */
export function parseParentConfig(text: string, path: string): ParentConfig {
  const yaml = parseStrictYaml(text, { path });
  checkForm(PARENT_SCHEMA, yaml.value, yaml.place);
  const file = yaml.value as unknown as ParentFile; // the schema and the type say the same
  const folder = dirname(resolve(path));
  const together = new Together(yaml);
  return {
    enclave: together.enclave(file, folder),
    ...(file.egress && { egress: together.egress(file.egress) }),
    ...(file.ingress && { ingress: together.ingress(file.ingress) }),
    ...(file.credentials && { credentials: together.credentials(file.credentials, folder) }),
    ...(file.logs && { logs: together.logs(file.logs, folder) }),
    ...(file.metrics && { metrics: { listen: together.address("metrics.listen", file.metrics.listen) } }),
    limits: { drainMs: file.limits?.drainMs ?? 30_000 },
  };
}

/** The fields of one file, asked about each other. */
class Together {
  readonly #place: StrictYaml["place"];

  constructor({ place }: StrictYaml) {
    this.#place = place;
  }

  enclave(file: ParentFile, folder: string): ParentConfig["enclave"] {
    const { platform, image, attach, measurements, cpus = 2, memoryMiB, ...rest } = file.enclave;
    const { cid = 16, port = 8_080, maxFailures = "unlimited", onExit = "terminate" } = rest;
    if ((image === undefined) === (attach === undefined)) {
      const actual = image === undefined ? "neither" : "both";
      throw this.#invalid("enclave.image", "there, or attach, one of the two", actual);
    }
    if (platform === "emulated") this.#withoutParent(file);
    if (image === undefined) {
      for (const name of ["measurements", "cpus", "memoryMiB", "cid", "maxFailures", "onExit"] as const) {
        if (file.enclave[name] === undefined) continue;
        throw this.#invalid(`enclave.${name}`, "absent: an attached enclave is not started here", "there");
      }
      return { kind: "attach", platform, peer: this.#peer(attach ?? ""), port };
    }
    const files = { image: resolve(folder, image), measurements: measurements && resolve(folder, measurements) };
    return { kind: "run", platform, ...files, cpus, memoryMiB, cid, port, maxFailures, onExit };
  }

  egress(given: NonNullable<ParentFile["egress"]>): NonNullable<ParentConfig["egress"]> {
    const { allowlist, hosts = {}, connect = 8_001, ports = [], sniPolicy = "off" } = given;
    const { resolver = "dns", limits = {} } = given;
    const list = this.#placed("egress", () => readAllowlist(allowlist, hosts));
    const taken = new Set<number>(connect === "off" ? [] : [connect]);
    ports.forEach(({ port, target }, index) => {
      const field = `egress.ports[${index}]`;
      if (taken.has(port)) throw this.#invalid(`${field}.port`, "a port of its own", "taken");
      taken.add(port);
      // A door that leads nowhere would be found out by the enclave's first call.
      if (!list.find(this.#target(`${field}.target`, target))) {
        throw this.#invalid(`${field}.target`, "on the allowlist", "not on it");
      }
    });
    if (taken.size === 0) throw this.#invalid("egress.connect", "a port, or ports some", "off, and no ports");
    return { allowlist, hosts, connect, ports, sniPolicy, resolver, limits };
  }

  ingress(given: NonNullable<ParentFile["ingress"]>): NonNullable<ParentConfig["ingress"]> {
    const { listen, proxyProtocol = "off", targets = [], health, limits = {} } = given;
    const { balance = "least-connections" } = given;
    return {
      listen: this.address("ingress.listen", listen),
      proxyProtocol,
      targets: targets.map((target, index) => this.address(`ingress.targets[${index}]`, target)),
      balance,
      ...(health && { health }),
      limits,
    };
  }

  credentials(given: NonNullable<ParentFile["credentials"]>, folder: string): NonNullable<ParentConfig["credentials"]> {
    const { source, role, file } = given;
    const http = given.http && { http: { path: "/credentials", ...given.http } };
    if (source === "file") {
      if (role !== undefined) throw this.#invalid("credentials.role", "absent with source: file", "there");
      if (file === undefined) throw this.#missing("credentials.file", "the path of a JSON file");
      return { source, file: resolve(folder, file), ...http };
    }
    if (file !== undefined) throw this.#invalid("credentials.file", "absent with source: instanceRole", "there");
    return { source, ...(role !== undefined && { role }), ...http };
  }

  logs(given: NonNullable<ParentFile["logs"]>, folder: string): NonNullable<ParentConfig["logs"]> {
    const { to, file, maxBytes = 16_777_216, keep = 5, group, stream, region } = given;
    const belongs = { stdout: [], file: ["file", "maxBytes", "keep"], cloudwatch: ["group", "stream", "region"] };
    for (const name of ["file", "maxBytes", "keep", "group", "stream", "region"] as const) {
      const isForeign = given[name] !== undefined && !(belongs[to] as readonly string[]).includes(name);
      if (isForeign) throw this.#invalid(`logs.${name}`, `absent with to: ${to}`, "there");
    }
    if (to === "stdout") return { to };
    if (to === "file") {
      if (file === undefined) throw this.#missing("logs.file", "a path");
      return { to, file: resolve(folder, file), maxBytes, keep };
    }
    if (group === undefined) throw this.#missing("logs.group", "the name of a log group");
    if (stream === undefined) throw this.#missing("logs.stream", "the name of a log stream");
    return { to, group, stream, ...(region !== undefined && { region }) };
  }

  address(field: string, url: string): Address {
    try {
      return parseAddress(url);
    } catch (cause) {
      throw this.#invalid(field, "an address of a known form", `another of ${url.length} characters`, cause);
    }
  }

  #target(field: string, text: string): Target {
    try {
      return parseTarget(text);
    } catch (cause) {
      throw this.#invalid(field, "host:port", `another of ${text.length} characters`, cause);
    }
  }

  #peer(attach: string): Peer {
    const cid = /^vsock:\/\/([0-9]+)$/.exec(attach)?.[1];
    if (cid === undefined) return { kind: "unix", folder: attach.slice("unix://".length) };
    if (Number(cid) < 4 || Number(cid) > 4_294_967_294) {
      throw this.#invalid("enclave.attach", "a context id from 4 to 4294967294", cid);
    }
    return { kind: "vsock", cid: Number(cid) };
  }

  /** What an emulated enclave dials at context id 3 reaches nobody: it has no instance around it. */
  #withoutParent(file: ParentFile): void {
    for (const section of ["egress", "credentials", "logs"] as const) {
      if (file[section] === undefined) continue;
      const expected = "absent: an emulated enclave that runs alone reaches nobody at context id 3";
      throw this.#invalid(section, expected, "there");
    }
  }

  /** What another reader says of its fields, at their place in this file. */
  #placed<Result>(section: string, work: () => Result): Result {
    try {
      return work();
    } catch (cause) {
      if (!isConfigError(cause) || !("field" in cause.details)) throw cause;
      const field = `${section}.${cause.details.field}`;
      const { expected, actual } = { expected: "of another form", actual: "this", ...cause.details };
      throw this.#invalid(field, expected, actual, cause);
    }
  }

  #missing(field: string, expected: string): ConfigError {
    return new ConfigError("ERR_CONFIG_FIELD_MISSING", { field, expected, at: this.#place(field) });
  }

  #invalid(field: string, expected: string, actual: string, cause?: unknown): ConfigError {
    return new ConfigError("ERR_CONFIG_FIELD_INVALID", { field, expected, actual, at: this.#place(field) }, { cause });
  }
}
