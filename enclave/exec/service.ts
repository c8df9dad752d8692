/**
 * What a program in any language asks of its enclave over HTTP on the loopback.
 *
 *   POST /v1/attest                  {"purpose", "digest", "nonce"?, "publicKey"?}   → {"document"}
 *   POST /v1/kms/decrypt             {"keyArn", "ciphertext", "context"}             → {"plaintext"}
 *   POST /v1/kms/generate-data-key   {"keyArn", "context"}                           → {"plaintext", "ciphertext"}
 *   GET  /v1/credentials             in the container form, which every AWS SDK reads
 *
 * Byte strings are base64, JSON is strict, each call carries the token. A refusal is `{"code", "message", "details"}`,
 * none of which holds data.
 *
 * @module
 */
import type { KMS } from "@aws-sdk/client-kms";
import { ConfigError, EnclaveError } from "../../shared/errors/index.ts";
import type { EnclaveEnv } from "../app/env.ts";
import type { Handler } from "../app/http.ts";
import { kmsFailure } from "../kms/failures.ts";
import { Fields } from "./fields.ts";
import type { Token } from "./token.ts";

export interface ServiceParts {
  readonly env: Pick<EnclaveEnv, "attest" | "kms" | "credentials">;
  readonly token: Token;
}

type Env = ServiceParts["env"];
type Call = (env: Env, request: Request) => Promise<object>;

const CALLS: Readonly<Record<string, Call>> = {
  "POST /v1/attest": attest,
  "POST /v1/kms/decrypt": decrypt,
  "POST /v1/kms/generate-data-key": generateDataKey,
  "GET /v1/credentials": credentials,
};

/** Region apart; the rest of the ARN is KMS's to read. */
const KEY_ARN = /^arn:aws[a-z-]{0,20}:kms:[a-z]{2}(-[a-z]+)+-[0-9]:[0-9]{12}:key\/[A-Za-z0-9-]{1,256}$/;
const PURPOSE = /^[a-z][a-z0-9-]{0,31}$/;
const DIGEST = { least: 48, most: 48 };
/** Source: AWS Nitro Enclaves NSM API, `Attestation`. */
const NONCE = { least: 1, most: 512 };
const PUBLIC_KEY = { least: 1, most: 1024 };
/** Source: AWS KMS API Reference, `Decrypt`. */
const CIPHERTEXT = { least: 1, most: 6144 };

/** @throws what `serveHttp` answers by name */
export function createExecService({ env, token }: ServiceParts): Handler {
  return async (request) => {
    if (!token.isIn(request.headers.get("authorization"))) throw new EnclaveError("ERR_ENCLAVE_TOKEN", {});
    const route = `${request.method} ${new URL(request.url).pathname}`;
    const call = CALLS[route];
    if (!call) return Response.json({ code: "HTTP_404", message: "not found", details: {} }, { status: 404 });
    return Response.json(await call(env, request), { headers: { "cache-control": "no-store" } });
  };
}

async function attest(env: Env, request: Request): Promise<object> {
  const fields = await Fields.read(request, ["purpose", "digest", "nonce", "publicKey"]);
  const expected = "a word of the program's own: lower-case letters, digits, hyphens, and none of the toolkit's";
  const purpose = fields.text("purpose", PURPOSE, expected);
  const digest = fields.bytes("digest", DIGEST);
  const nonce = fields.bytesIfThere("nonce", NONCE);
  const publicKey = fields.bytesIfThere("publicKey", PUBLIC_KEY);
  try {
    const document = await env.attest({ purpose, digest, ...(nonce && { nonce }), ...(publicKey && { publicKey }) });
    return { document: toBase64(document) };
  } catch (cause) {
    if (!(cause instanceof TypeError)) throw cause;
    throw new ConfigError("ERR_CONFIG_FIELD_INVALID", { field: "purpose", expected, actual: "another" }, { cause });
  }
}

async function decrypt(env: Env, request: Request): Promise<object> {
  const fields = await Fields.read(request, ["keyArn", "ciphertext", "context"]);
  const { KeyId, kms } = keyOf(env, fields);
  const CiphertextBlob = fields.bytes("ciphertext", CIPHERTEXT);
  const input = { KeyId, CiphertextBlob, EncryptionContext: { ...fields.texts("context") } };
  const { Plaintext } = await named("Decrypt", kms.decrypt(input, { abortSignal: request.signal }));
  return { plaintext: spent(Plaintext) };
}

async function generateDataKey(env: Env, request: Request): Promise<object> {
  const fields = await Fields.read(request, ["keyArn", "context"]);
  const { KeyId, kms } = keyOf(env, fields);
  const input = { KeyId, KeySpec: "AES_256", EncryptionContext: { ...fields.texts("context") } } as const;
  const call = kms.generateDataKey(input, { abortSignal: request.signal });
  const { Plaintext, CiphertextBlob } = await named("GenerateDataKey", call);
  return { plaintext: spent(Plaintext), ciphertext: toBase64(CiphertextBlob ?? new Uint8Array()) };
}

async function credentials(env: Env): Promise<object> {
  const { accessKeyId, secretAccessKey, sessionToken, expiration } = await env.credentials();
  const Expiration = expiration.toISOString();
  return { AccessKeyId: accessKeyId, SecretAccessKey: secretAccessKey, Token: sessionToken, Expiration };
}

function keyOf(env: Env, fields: Fields): { readonly KeyId: string; readonly kms: KMS } {
  const KeyId = fields.text("keyArn", KEY_ARN, "the full ARN of a KMS key");
  return { KeyId, kms: env.kms(KeyId.split(":")[3] ?? "") };
}

async function named<Answer>(operation: string, call: Promise<Answer>): Promise<Answer> {
  try {
    return await call;
  } catch (error) {
    throw kmsFailure(operation, error);
  }
}

/** The secret as text for the answer; its bytes are overwritten, the text is not in anybody's hand. */
function spent(secret: Uint8Array | undefined): string {
  if (!secret) throw new TypeError("the attested client gives a plaintext");
  const text = toBase64(secret);
  secret.fill(0);
  return text;
}

function toBase64(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString("base64");
}
