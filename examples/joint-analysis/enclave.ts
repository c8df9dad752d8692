/**
 * The enclave's application: opens two owners' sealed data, joins it, and answers a fixed set of questions.
 *
 *   PUT  /datasets/<name>   a sealed message            → 204, or why not
 *   POST /status            {"nonce": base64}           → what is loaded, signed and attested
 *   POST /queries/<name>    {"nonce": base64}           → aggregates, signed and attested
 *
 * Which KMS key opens which data set is part of the image and so of its measurement: the parent can not point it at
 * another key.
 *
 * @module
 */
import { createEgressAgent, createLog, parentCredentials } from "../../enclave/egress/index.ts";
import { serveHttp } from "../../enclave/http.ts";
import { createAttestedKms, kmsFailure } from "../../enclave/kms/client.ts";
import { createRecipientKeys } from "../../enclave/kms/recipient-keys.ts";
import type { Platform } from "../../enclave/platform.ts";
import { createResultSigner } from "../../enclave/result.ts";
import { type EncryptionContext, open } from "../../shared/envelope/sealed.ts";
import { ConfigError, DataError } from "../../shared/errors/index.ts";
import { addressOf } from "../../shared/transport/address.ts";
import { APP_PORT } from "../../shared/transport/ports.ts";
import { createTransport } from "../../transport/index.ts";
import { QUERY_NAMES, runQuery, type Tables } from "./queries.ts";
import { readFlights, readStrikes } from "./tables.ts";

export { openNsmSocket } from "../../enclave/nsm/socket.ts";

/** Measured with the image. */
export interface JointAnalysisConfig {
  readonly datasets: Readonly<Record<keyof Tables, DatasetConfig>>;
}

export interface DatasetConfig {
  /** Full ARN of the owner's KMS key. */
  readonly keyArn: string;
  /** The encryption context that the message must carry. */
  readonly context: EncryptionContext;
}

const READERS = { flights: readFlights, strikes: readStrikes } as const;

export async function main(platform: Platform, config: JointAnalysisConfig): Promise<void> {
  const { nsm, parent, self, tlsRoots } = platform;
  const transport = createTransport();
  const log = createLog({ transport, parent });
  const agent = createEgressAgent({ transport, parent, tlsRoots });
  const credentials = parentCredentials({ transport, parent });
  const keys = createRecipientKeys();
  const signer = await createResultSigner(nsm);
  const tables: { -readonly [Name in keyof Tables]?: Tables[Name] } = {};

  const load = async (name: string, message: Uint8Array): Promise<Response> => {
    if (name !== "flights" && name !== "strikes") throw unknownDataset(name);
    const { keyArn, context } = config.datasets[name];
    const kms = createAttestedKms({ region: keyArn.split(":")[3] ?? "", agent, credentials, nsm, keys });
    const plaintext = await open(message, { kms, keyArn, context, dataset: name }).catch((error: unknown) => {
      throw kmsFailure("Decrypt", error);
    });
    Object.assign(tables, { [name]: READERS[name](plaintext) });
    plaintext.fill(0);
    log.write("info", "dataset opened", { dataset: name, rows: tables[name]?.length ?? 0 });
    return new Response(null, { status: 204 });
  };

  const status = (): object => ({
    loaded: Object.entries(tables).map(([dataset, rows]) => ({ dataset, rows: rows.length })),
    queries: QUERY_NAMES,
  });

  const handler = async (request: Request): Promise<Response> => {
    const [, noun, name = ""] = new URL(request.url).pathname.split("/");
    const route = `${request.method} /${noun}`;
    if (route === "PUT /datasets") return load(name, new Uint8Array(await request.arrayBuffer()));
    if (route !== "POST /status" && route !== "POST /queries") return new Response(null, { status: 404 });
    const nonce = readNonce(await request.text());
    const result = route === "POST /status" ? status() : runQuery(name, loaded(tables));
    return Response.json(await signer.sign(JSON.stringify(result), nonce));
  };

  const address = addressOf(self, APP_PORT);
  const onInternalError = (error: unknown): void =>
    log.write("error", "internal error", { name: error instanceof Error ? error.name : "unknown" });
  await serveHttp({ transport, address, handler, onInternalError });
  log.write("info", "ready");
}

function unknownDataset(name: string): ConfigError {
  const known = Object.keys(READERS);
  return new ConfigError("ERR_CONFIG_FIELD_UNKNOWN", { field: name.slice(0, 64), known });
}

function loaded({ flights, strikes }: Partial<Tables>): Tables {
  if (!flights) throw new DataError("ERR_DATA_MISSING", { dataset: "flights" });
  if (!strikes) throw new DataError("ERR_DATA_MISSING", { dataset: "strikes" });
  return { flights, strikes };
}

/** The client's challenge, 16 to 64 bytes. */
function readNonce(body: string): Uint8Array {
  const expected = "base64 of 16 to 64 bytes";
  let nonce: unknown;
  try {
    ({ nonce } = JSON.parse(body) as { nonce: unknown });
  } catch (cause) {
    throw new ConfigError("ERR_CONFIG_FIELD_MISSING", { field: "nonce", expected }, { cause });
  }
  if (typeof nonce !== "string" || !/^[A-Za-z0-9+/]{22,86}={0,2}$/.test(nonce)) {
    throw new ConfigError("ERR_CONFIG_FIELD_INVALID", { field: "nonce", expected, actual: typeof nonce });
  }
  const bytes = new Uint8Array(Buffer.from(nonce, "base64"));
  if (bytes.length < 16 || bytes.length > 64) {
    const actual = `${bytes.length} bytes`;
    throw new ConfigError("ERR_CONFIG_FIELD_INVALID", { field: "nonce", expected, actual });
  }
  return bytes;
}
