/**
 * The form of `parent.yaml`, as a JSON Schema: `schemas/parent.json` is this object, and a test compares the two.
 *
 * A service is there when its section is; what has a default says it. What fields must be to each other, and what an
 * allowlist entry must be beyond its form, is asked where the file is read.
 *
 * Source: JSON Schema 2020-12.
 *
 * @module
 */
import type { ConfigSchema } from "./form.ts";
import { LINE, limits, ms, object, text, whole } from "./schema-words.ts";

const PORT = whole(1, 4_294_967_294, { description: "a vsock port" });
const TARGET = text("host:port");
const LISTEN: ConfigSchema = { type: "string", pattern: `^(tcp://|unix:///)${LINE}$` };
const CONNECTIONS = whole(1, 1_000_000, { default: 1_024, description: "how many at once" });

const SNI: ConfigSchema = {
  type: "string",
  enum: ["off", "enforce"],
  description: "whether TLS must ask for the very host that the connection is for",
};

const ENCLAVE = object(
  ["platform"],
  {
    platform: { type: "string", enum: ["nitro", "emulated", "mock"], description: "where the enclave runs" },
    image: text("the EIF to run and to keep running; a relative path is taken from this file's folder"),
    attach: {
      type: "string",
      description: "an enclave that something else runs, instead of image: vsock://CID or unix:///FOLDER",
      pattern: `^(vsock://[1-9][0-9]{0,9}|unix:///${LINE})$`,
    },
    measurements: text(
      "a JSON file of expected PCRs, as cloister eif measure --json prints; checked before each start",
    ),
    mockRoot: text(
      "mock and emulated: the root that signs its documents, made by --build; default: one for each run, which no image can name",
    ),
    cpus: whole(1, 1_024, { default: 2 }),
    memoryMiB: whole(64, 0x7fff_ffff, { description: "in MiB, at least four times the image, which is the default" }),
    cid: whole(4, 4_294_967_294, { default: 16, description: "its context id, the same after each start" }),
    port: { ...PORT, default: 8_080, description: "where its application listens" },
    maxFailures: whole(1, 1_000_000, { description: "how many in a row are the last; default: it is tried for ever" }),
    onExit: {
      type: "string",
      enum: ["terminate", "keep"],
      default: "terminate",
      description: "what becomes of it when the parent is told to stop; one that is kept is found again",
    },
  },
  "the enclave that is served, and how it is run",
);

const EGRESS = object(
  ["allowlist"],
  {
    allowlist: {
      type: "array",
      description: "all that the enclave may reach, one entry at least",
      minItems: 1,
      maxItems: 10_000,
      items: {
        description: "host:port, or target and allowPrivate",
        anyOf: [
          TARGET,
          object(
            ["target", "allowPrivate"],
            {
              target: TARGET,
              allowPrivate: {
                type: "boolean",
                description: "whether the name may resolve to a private network, as a VPC endpoint's does",
              },
              sniPolicy: SNI,
              wildcard: {
                type: "string",
                enum: ["one-label"],
                description: "that a star as the first label of target stands for one label",
              },
            },
            "an entry with what it is allowed besides",
          ),
        ],
      },
    },
    hosts: {
      type: "object",
      description: "fixed places of allowed targets, host:port to address:port, for mock mode",
      additionalProperties: text("address:port"),
    },
    connect: {
      description: "the port of the CONNECT proxy, or off",
      default: 8_001,
      anyOf: [PORT, { type: "string", enum: ["off"] }],
    },
    ports: {
      type: "array",
      description: "a port of its own for a target, as vsock-proxy has it",
      maxItems: 256,
      items: object(["port", "target"], { port: PORT, target: TARGET }, "a port and where it leads"),
    },
    sniPolicy: { ...SNI, default: "off" },
    resolver: {
      description: "dns (the servers of /etc/resolv.conf), system (also files and search domains), or servers",
      default: "dns",
      anyOf: [
        { type: "string", enum: ["dns", "system"] },
        object(
          ["servers"],
          {
            servers: {
              type: "array",
              minItems: 1,
              maxItems: 8,
              items: text("an IP address, ADDRESS:PORT or [ADDRESS]:PORT"),
              description: "DNS servers",
            },
          },
          "DNS of these servers",
        ),
      ],
    },
    limits: limits(
      {
        headTimeoutMs: ms(5_000, "to the end of the request's head"),
        connectTimeoutMs: ms(5_000, "to resolve and connect"),
        idleTimeoutMs: ms(600_000, "how long nothing may cross"),
        maxConnections: CONNECTIONS,
        maxConnectionsPerCid: whole(1, 1_000_000, { description: "how many of one context id; default: all" }),
        maxWaiting: whole(0, 100_000, { default: 128, description: "how many may wait for a place" }),
        waitTimeoutMs: ms(1_000, "for how long"),
      },
      "limits of the way out",
    ),
  },
  "the enclave's way out; without this section it has none",
);

const INGRESS = object(
  ["listen"],
  {
    listen: { ...LISTEN, description: "where clients connect: tcp://ADDRESS:PORT or unix:///PATH" },
    proxyProtocol: {
      type: "string",
      enum: ["off", "v2"],
      default: "off",
      description: "whether the enclave is told the client's address first",
    },
    targets: {
      type: "array",
      description: "more enclaves behind the same door",
      maxItems: 64,
      items: {
        type: "string",
        description: "vsock://CID:PORT or unix:///PATH",
        pattern: `^(vsock://|unix:///)${LINE}$`,
      },
    },
    balance: {
      type: "string",
      enum: ["least-connections", "round-robin"],
      default: "least-connections",
      description: "how the next enclave is chosen",
    },
    health: object(
      [],
      {
        intervalMs: ms(2_000, "between two checks"),
        timeoutMs: ms(1_000, "for one check"),
        unhealthyAfter: whole(1, 100, { default: 2 }),
        healthyAfter: whole(1, 100, { default: 1 }),
      },
      "whether an enclave takes connections",
    ),
    limits: limits(
      {
        connectTimeoutMs: ms(5_000, "to reach an enclave, all attempts together"),
        attemptTimeoutMs: ms(2_000, "for one attempt"),
        idleTimeoutMs: ms(600_000, "how long nothing may cross"),
        maxConnections: CONNECTIONS,
      },
      "limits of the way in",
    ),
  },
  "the clients' way in; without this section there is none",
);

const CREDENTIALS = object(
  ["source"],
  {
    source: { type: "string", enum: ["instanceRole", "file"], description: "where they come from" },
    role: text("instanceRole: its name; default the one that the instance has"),
    file: text("file: JSON in the form of the container credentials endpoint, mode 0600; read anew each time"),
    http: object(
      ["port"],
      { port: PORT, path: { type: "string", pattern: "^/[A-Za-z0-9_./~-]{0,255}$", default: "/credentials" } },
      "also over HTTP, as AWS_CONTAINER_CREDENTIALS_FULL_URI has it",
    ),
  },
  "short-lived credentials for the enclave; without this section it gets none",
);

const LOGS = object(
  ["to"],
  {
    to: { type: "string", enum: ["stdout", "file", "cloudwatch"], description: "where the enclave's log goes" },
    file: text("file: its path"),
    maxBytes: whole(4_096, 1_073_741_824, { default: 16_777_216, description: "file: when the next one is begun" }),
    keep: whole(1, 100, { default: 5, description: "file: how many are kept" }),
    group: text("cloudwatch: the log group"),
    stream: text("cloudwatch: the log stream"),
    region: text("cloudwatch: the region"),
  },
  "the enclave's log; without this section nobody listens for it",
);

/** The whole of `parent.yaml`. */
export const PARENT_SCHEMA: ConfigSchema = {
  $schema: "https://json-schema.org/draft/2020-12/schema",
  title: "parent.yaml",
  ...object(
    ["enclave"],
    {
      enclave: ENCLAVE,
      egress: EGRESS,
      ingress: INGRESS,
      credentials: CREDENTIALS,
      logs: LOGS,
      configuration: object(
        ["file"],
        { file: text("a JSON file, 64 KiB at most") },
        "what the enclave is handed when it asks, measured into its PCR16; without this section it is told that there is nothing",
      ),
      metrics: object(
        ["listen"],
        { listen: { ...LISTEN, description: "loopback tcp://127.0.0.1:PORT or unix:///PATH" } },
        "/metrics, /healthz and /readyz; without this section there are none",
      ),
      limits: limits(
        { drainMs: ms(30_000, "how long connections may take to end when the parent is told to stop") },
        "limits of the whole",
      ),
    },
    "what cloister parent up runs: one enclave and the services around it",
  ),
};
