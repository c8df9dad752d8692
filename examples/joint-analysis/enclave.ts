/**
 * The enclave's application: opens two owners' sealed data, joins it, and answers a fixed set of questions.
 *
 *   PUT  /datasets/<name>   a sealed message, once      → 204, or why not
 *   POST /status            {"nonce": base64}           → what is loaded, signed and attested
 *   POST /queries/<name>    {"nonce": base64}           → aggregates, signed and attested
 *
 * Which KMS key opens which data set is part of the image and so of its measurement: the parent can not point it at
 * another key. A data set is loaded once for the life of the enclave, and every answer names the SHA-384 of the sealed
 * messages that it was computed from: a parent that kept an older version can not swap it in, nor subtract two answers.
 *
 * @module
 */
import { createEgressAgent, createLog, parentCredentials } from "../../enclave/egress/index.ts";
import { type Handler, serveHttp } from "../../enclave/http.ts";
import { createAttestedKms } from "../../enclave/kms/client.ts";
import { createRecipientKeys } from "../../enclave/kms/recipient-keys.ts";
import type { Platform } from "../../enclave/platform.ts";
import { createResultSigner, type ResultSigner } from "../../enclave/result.ts";
import { ConfigError } from "../../shared/errors/index.ts";
import { addressOf } from "../../shared/transport/address.ts";
import { APP_PORT } from "../../shared/transport/ports.ts";
import { createTransport } from "../../transport/index.ts";
import { QUERY_NAMES, runQuery } from "./queries.ts";
import { TableStore, type TableStoreOptions } from "./store.ts";

export { openNsmDevice } from "../../enclave/nsm/device.ts";
export { openNsmSocket } from "../../enclave/nsm/socket.ts";

/** Measured with the image. */
export type JointAnalysisConfig = Pick<TableStoreOptions, "datasets">;

export async function main(
  { nsm, parent, self, tlsRoots }: Platform,
  { datasets }: JointAnalysisConfig,
): Promise<void> {
  const transport = createTransport();
  const log = createLog({ transport, parent });
  const agent = createEgressAgent({ transport, parent, tlsRoots });
  const credentials = parentCredentials({ transport, parent });
  const keys = createRecipientKeys();
  const kmsFor = (region: string) => createAttestedKms({ region, agent, credentials, nsm, keys });
  const store = new TableStore({ datasets, kmsFor });
  const signer = await createResultSigner(nsm);
  const onInternalError = (error: unknown): void =>
    log.write("error", "internal error", { name: error instanceof Error ? error.name : "unknown" });
  const handler = createHandler(store, signer);
  const allowedCids = parent.kind === "vsock" && { allowedCids: [parent.cid] };
  await serveHttp({ transport, address: addressOf(self, APP_PORT), ...allowedCids, handler, onInternalError });
  log.write("info", "ready");
}

function createHandler(store: TableStore, signer: ResultSigner): Handler {
  const answer = async (request: Request, compute: () => object): Promise<Response> => {
    const nonce = readNonce(await request.text());
    const question = `${request.method} ${new URL(request.url).pathname}`;
    return Response.json(await signer.sign({ question, result: JSON.stringify(compute()) }, nonce));
  };
  return async (request) => {
    const [, noun, name = "", ...more] = new URL(request.url).pathname.split("/");
    switch (more.length === 0 && `${request.method} /${noun}`) {
      case "PUT /datasets":
        await store.load(name, new Uint8Array(await request.arrayBuffer()));
        return new Response(null, { status: 204 });
      case "POST /status":
        return answer(request, () => ({ inputs: store.inputs, queries: QUERY_NAMES }));
      case "POST /queries":
        return answer(request, () => ({ inputs: store.inputs, ...runQuery(name, store.tables) }));
      default:
        return new Response(null, { status: 404 });
    }
  };
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
