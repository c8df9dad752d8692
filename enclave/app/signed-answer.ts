/**
 * Answers a client's question with a signed and attested result: the enclave's side of `createEnclaveClient`.
 *
 *   request   {"nonce": base64 of 16 to 64 bytes}     the challenge, nothing else is read of the body
 *   answer    {"result", "signature", "document"}     over nonce, method and path, and result
 *
 * @module
 */
import { ConfigError, isTransportError } from "../../shared/errors/index.ts";
import type { SignedResultJson } from "../../shared/result/signed-result.ts";
import { isJsonObject, type Json, parseJson } from "../../shared/transport/json.ts";
import type { ResultSigner } from "../result.ts";

const EXPECTED = "base64 of 16 to 64 bytes";
const BODY_MAX = 4_096;

/**
 * @param compute gives the result, which goes out as JSON; called once the challenge has been read
 * @throws {ConfigError} the body holds no challenge
 */
export async function signAnswer(
  request: Request,
  { signer, compute }: { readonly signer: ResultSigner; readonly compute: () => unknown },
): Promise<SignedResultJson> {
  const nonce = await readNonce(request);
  const question = `${request.method} ${new URL(request.url).pathname}`;
  return signer.sign({ question, result: JSON.stringify(await compute()) ?? "null" }, nonce);
}

async function readNonce(request: Request): Promise<Uint8Array> {
  const body = await readObject(request);
  const nonce = body["nonce"];
  if (typeof nonce !== "string" || !/^[A-Za-z0-9+/]{22,86}={0,2}$/.test(nonce)) throw invalid(typeof nonce);
  const bytes = new Uint8Array(Buffer.from(nonce, "base64"));
  if (bytes.length < 16 || bytes.length > 64) throw invalid(`${bytes.length} bytes`);
  return bytes;
}

async function readObject(request: Request): Promise<{ readonly [key: string]: Json }> {
  const bytes = new Uint8Array(await request.arrayBuffer());
  if (bytes.length > BODY_MAX) throw invalid(`in a body of ${bytes.length} bytes`);
  try {
    const value = parseJson(bytes);
    if (isJsonObject(value)) return value;
  } catch (cause) {
    if (!isTransportError(cause)) throw cause;
    throw new ConfigError("ERR_CONFIG_FIELD_MISSING", { field: "nonce", expected: EXPECTED }, { cause });
  }
  throw new ConfigError("ERR_CONFIG_FIELD_MISSING", { field: "nonce", expected: EXPECTED });
}

function invalid(actual: string): ConfigError {
  return new ConfigError("ERR_CONFIG_FIELD_INVALID", { field: "nonce", expected: EXPECTED, actual });
}
