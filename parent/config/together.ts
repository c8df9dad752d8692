/**
 * Decides what the fields of one `parent.yaml` must be to each other, and whether what they name can be used: addresses,
 * targets, ports. Fills in the defaults, and makes paths absolute.
 *
 * Each field has its form by then (`form.ts`). A mistake is told at its place in the file. Nothing is opened or asked.
 *
 * @module
 */
import { resolve } from "node:path";
import { ConfigError, isConfigError, isTransportError } from "../../shared/errors/index.ts";
import { type Address, addressOf, formatAddress, type Peer, parseAddress } from "../../shared/transport/address.ts";
import { CONFIG_PORT, CREDENTIALS_PORT, LOG_PORT } from "../../shared/transport/ports.ts";
import { parseTarget, type Target } from "../../shared/transport/target.ts";
import { socketPath } from "../../transport/unix.ts";
import { readAllowlist } from "../egress/allowlist.ts";
import type { PlaceOf } from "./form.ts";
import { isNameServer, mayListenAt, type Reach } from "./ip-addresses.ts";
import type { ParentConfig, ParentFile } from "./parent-config.ts";

/** The fields of one file, asked about each other. */
export class Together {
  readonly #place: PlaceOf;
  readonly #folder: string;

  /** @param from where the fields stand, and from which folder relative paths are taken */
  constructor({ place, folder }: { readonly place: PlaceOf; readonly folder: string }) {
    this.#place = place;
    this.#folder = folder;
  }

  enclave(given: ParentFile["enclave"]): ParentConfig["enclave"] {
    const { platform, image, attach, measurements, mockRoot, cpus = 2, memoryMiB, ...rest } = given;
    const { cid = 16, port = 8_080, maxFailures = "unlimited", onExit = "terminate" } = rest;
    if ((image === undefined) === (attach === undefined)) {
      const actual = image === undefined ? "neither" : "both";
      throw this.#invalid("enclave.image", "there, or attach, one of the two", actual);
    }
    if (image === undefined) {
      for (const name of ["measurements", "mockRoot", "cpus", "memoryMiB", "cid", "maxFailures", "onExit"] as const) {
        if (given[name] === undefined) continue;
        throw this.#invalid(`enclave.${name}`, "absent: an attached enclave is not started here", "there");
      }
      return { kind: "attach", platform, peer: this.#peer(attach ?? "", port), port };
    }
    if (platform === "nitro" && mockRoot !== undefined) {
      throw this.#invalid("enclave.mockRoot", "absent with platform: nitro, which has AWS's root", "there");
    }
    const at = (path: string | undefined): string | undefined => path && this.#path(path);
    const files = { image: this.#path(image), measurements: at(measurements), mockRoot: at(mockRoot) };
    return { kind: "run", platform, ...files, cpus, memoryMiB, cid, port, maxFailures, onExit };
  }

  egress(given: NonNullable<ParentFile["egress"]>): NonNullable<ParentConfig["egress"]> {
    const { allowlist, hosts = {}, connect = 8_001, ports = [], sniPolicy = "off" } = given;
    const { resolver = "dns", limits = {} } = given;
    const list = this.#placed("egress", () => readAllowlist(allowlist, hosts));
    ports.forEach(({ target }, index) => {
      const field = `egress.ports[${index}].target`;
      // A door that leads nowhere would be found out by the enclave's first call.
      if (!list.find(this.#target(field, target))) throw this.#invalid(field, "on the allowlist", "not on it");
    });
    if (connect === "off" && ports.length === 0) {
      throw this.#invalid("egress.connect", "a port, or ports some", "off, and no ports");
    }
    for (const [index, server] of (typeof resolver === "object" ? resolver.servers : []).entries()) {
      if (isNameServer(server)) continue;
      const expected = "an IP address, ADDRESS:PORT or [ADDRESS]:PORT";
      throw this.#invalid(`egress.resolver.servers[${index}]`, expected, `another of ${server.length} characters`);
    }
    return { allowlist, hosts, connect, ports, sniPolicy, resolver, limits };
  }

  ingress(
    given: NonNullable<ParentFile["ingress"]>,
    enclave: ParentConfig["enclave"],
  ): NonNullable<ParentConfig["ingress"]> {
    const { listen, proxyProtocol = "off", targets = [], health, limits = {} } = given;
    const { balance = "least-connections" } = given;
    const names = new Set(addressesOf(enclave).map(formatAddress));
    const others = targets.map((url, index) => {
      const field = `ingress.targets[${index}]`;
      const target = this.#address(field, url);
      const name = formatAddress(target);
      if (names.has(name)) throw this.#invalid(field, "another than the enclave and those before", "the same again");
      names.add(name);
      return target;
    });
    const door = this.#listen("ingress.listen", listen, "anywhere");
    return { listen: door, proxyProtocol, targets: others, balance, ...(health && { health }), limits };
  }

  credentials(given: NonNullable<ParentFile["credentials"]>): NonNullable<ParentConfig["credentials"]> {
    const { source, role, file } = given;
    const http = given.http && { http: { path: "/credentials", ...given.http } };
    if (source === "file") {
      if (role !== undefined) throw this.#invalid("credentials.role", "absent with source: file", "there");
      if (file === undefined) throw this.#missing("credentials.file", "the path of a JSON file");
      return { source, file: this.#path(file), ...http };
    }
    if (file !== undefined) throw this.#invalid("credentials.file", "absent with source: instanceRole", "there");
    return { source, ...(role !== undefined && { role }), ...http };
  }

  configuration({ file }: NonNullable<ParentFile["configuration"]>): NonNullable<ParentConfig["configuration"]> {
    return { file: this.#path(file) };
  }

  logs(given: NonNullable<ParentFile["logs"]>): NonNullable<ParentConfig["logs"]> {
    const { to, file, maxBytes = 16_777_216, keep = 5, group, stream, region } = given;
    const belongs = { stdout: [], file: ["file", "maxBytes", "keep"], cloudwatch: ["group", "stream", "region"] };
    for (const name of ["file", "maxBytes", "keep", "group", "stream", "region"] as const) {
      const isForeign = given[name] !== undefined && !(belongs[to] as readonly string[]).includes(name);
      if (isForeign) throw this.#invalid(`logs.${name}`, `absent with to: ${to}`, "there");
    }
    if (to === "stdout") return { to };
    if (to === "file") {
      if (file === undefined) throw this.#missing("logs.file", "a path");
      return { to, file: this.#path(file), maxBytes, keep };
    }
    if (group === undefined) throw this.#missing("logs.group", "the name of a log group");
    if (stream === undefined) throw this.#missing("logs.stream", "the name of a log stream");
    return { to, group, stream, ...(region !== undefined && { region }) };
  }

  metrics({ listen }: NonNullable<ParentFile["metrics"]>): NonNullable<ParentConfig["metrics"]> {
    return { listen: this.#listen("metrics.listen", listen, "loopback") };
  }

  /** Where the parent listens for its enclave, or an enclave in the same folder for the parent: one at each port. */
  ports({ enclave, egress, credentials, logs }: ParentConfig): void {
    const taken = new Map<number, string>([[CONFIG_PORT, "configuration"]]);
    if (credentials) taken.set(CREDENTIALS_PORT, "credentials");
    if (logs) taken.set(LOG_PORT, "logs");
    const sharesFolder = enclave.kind === "attach" && enclave.peer.kind === "unix";
    const wanted: readonly (readonly [field: string, port: number | "off" | undefined])[] = [
      ["enclave.port", sharesFolder ? enclave.port : undefined],
      ["egress.connect", egress?.connect],
      ...(egress?.ports ?? []).map(({ port }, index) => [`egress.ports[${index}].port`, port] as const),
      ["credentials.http.port", credentials?.http?.port],
    ];
    for (const [field, port] of wanted) {
      if (port === undefined || port === "off") continue;
      const holder = taken.get(port);
      if (holder !== undefined) throw this.#invalid(field, "a port of its own", `${port}, which ${holder} has`);
      taken.set(port, field);
    }
  }

  #path(path: string): string {
    return resolve(this.#folder, path);
  }

  #listen(field: string, url: string, reach: Reach): Address {
    const address = this.#address(field, url);
    if (mayListenAt(address, reach)) return address;
    const expected = `${reach === "loopback" ? "an address of loopback" : "an IP address"} and a port, or unix:///PATH`;
    throw this.#invalid(field, expected, `another of ${url.length} characters`);
  }

  #address(field: string, url: string): Address {
    try {
      const address = parseAddress(url);
      if (address.kind === "unix") socketPath(address.path, address);
      return address;
    } catch (cause) {
      throw this.#invalid(field, `an address (${ruleOf(cause)})`, `another of ${url.length} characters`, cause);
    }
  }

  #target(field: string, text: string): Target {
    try {
      return parseTarget(text);
    } catch (cause) {
      throw this.#invalid(field, `host:port (${ruleOf(cause)})`, `another of ${text.length} characters`, cause);
    }
  }

  #peer(attach: string, port: number): Peer {
    const cid = /^vsock:\/\/([0-9]+)$/.exec(attach)?.[1];
    if (cid === undefined) {
      this.#address("enclave.attach", `${attach}/${port}`);
      return { kind: "unix", folder: attach.slice("unix://".length) };
    }
    if (Number(cid) < 4 || Number(cid) > 4_294_967_294) {
      throw this.#invalid("enclave.attach", "a context id from 4 to 4294967294", cid);
    }
    return { kind: "vsock", cid: Number(cid) };
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

/** Where the application is to be found, as far as the file says it: mock and emulated launchers choose a place. */
function addressesOf(enclave: ParentConfig["enclave"]): readonly Address[] {
  if (enclave.kind === "attach") return [addressOf(enclave.peer, enclave.port)];
  return enclave.platform === "nitro" ? [addressOf({ kind: "vsock", cid: enclave.cid }, enclave.port)] : [];
}

function ruleOf(cause: unknown): string {
  return isTransportError(cause) && "rule" in cause.details ? cause.details.rule : "of another form";
}
