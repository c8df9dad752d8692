/**
 * Replaces chosen columns of a table while it streams through: no whole table is ever in memory.
 *
 *   PUT  /key                             a data key that KMS sealed, once
 *   POST /tables?token=A&token=B&seal=C   text/csv or application/x-ndjson → the same, with those columns replaced
 *   POST /values {"column", "sealed"}     → {"value"}, for an opener that the configuration names
 *
 * KMS releases the data key to this image with this configuration only; nobody has ever seen it outside.
 *
 * @module
 */
import { createHash, timingSafeEqual } from "node:crypto";
import { defineEnclave, type EnclaveApp } from "../../enclave/app/define.ts";
import type { EnclaveEnv } from "../../enclave/app/env.ts";
import { kmsFailure } from "../../enclave/kms/client.ts";
import { type Format, fieldsOf, readRecords, recordOf } from "./records.ts";
import { type Treatment, Vault } from "./vault.ts";

/** What the parent hands in; PCR16 says which, and the key's policy demands it. */
interface Settings {
  readonly keyArn: string;
  readonly region: string;
  /** Who may open sealed values: SHA-256 of each one's secret, hex. */
  readonly openers: readonly string[];
}

type Env = EnclaveEnv<unknown, Settings>;
type Columns = ReadonlyMap<string, Treatment>;

const FORMATS: Readonly<Record<string, Format>> = { "text/csv": "csv", "application/x-ndjson": "ndjson" };
/** How much of the answer goes out at once, in characters. */
const PIECE = 16_384;
let vault: Vault | undefined;

async function loadKey(request: Request, { kms, parentConfig: { keyArn, region } }: Env): Promise<Response> {
  if (vault) return refusal(409, "KEY_IS_LOADED");
  const CiphertextBlob = new Uint8Array(await request.arrayBuffer());
  const asked = { KeyId: keyArn, CiphertextBlob, EncryptionContext: { service: "tokeniser" } };
  const { Plaintext = new Uint8Array() } = await kms(region)
    .decrypt(asked)
    .catch((error: unknown) => {
      throw kmsFailure("Decrypt", error);
    });
  vault ??= new Vault(Plaintext);
  Plaintext.fill(0);
  return new Response(null, { status: 204 });
}

async function replaceColumns(request: Request, keys: Vault): Promise<Response> {
  const { searchParams } = new URL(request.url);
  const columns: Columns = new Map([
    ...searchParams.getAll("token").map((name) => [name, "token"] as const),
    ...searchParams.getAll("seal").map((name) => [name, "seal"] as const),
  ]);
  const type = request.headers.get("content-type") ?? "";
  const format = FORMATS[type];
  if (!format || !request.body || columns.size === 0) return refusal(400, "NOT_A_TABLE");
  const records = readRecords(request.body, format);
  if (format === "ndjson") return streamed(ndjson(records, columns, keys), type);
  // Before the answer begins: a column that is not there must not pass for one that was replaced.
  const { value: head = "" } = await records.next();
  const header = fieldsOf(head);
  if ([...columns.keys()].some((name) => !header.includes(name))) return refusal(400, "COLUMN_IS_NOT_THERE");
  return streamed(csv(records, { header, columns, keys }), type);
}

async function* csv(
  records: AsyncIterable<string>,
  { header, columns, keys }: { readonly header: readonly string[]; readonly columns: Columns; readonly keys: Vault },
): AsyncGenerator<string> {
  yield recordOf(header);
  for await (const record of records) {
    const fields = fieldsOf(record);
    if (fields.length !== header.length) throw new SyntaxError("a record is not as wide as the header");
    yield recordOf(fields.map((value, index) => replaced(header[index] ?? "", value, columns, keys)));
  }
}

async function* ndjson(records: AsyncIterable<string>, columns: Columns, keys: Vault): AsyncGenerator<string> {
  for await (const record of records) {
    const row = JSON.parse(record) as Readonly<Record<string, unknown>>;
    if ([...columns.keys()].some((name) => typeof row[name] !== "string")) {
      throw new SyntaxError("a record lacks a column, or has no text in it");
    }
    const fields = Object.entries(row).map(([name, value]) => [
      name,
      typeof value === "string" ? replaced(name, value, columns, keys) : value,
    ]);
    yield JSON.stringify(Object.fromEntries(fields));
  }
}

function replaced(column: string, value: string, columns: Columns, keys: Vault): string {
  const treatment = columns.get(column);
  return treatment ? keys.replace(treatment, column, value) : value;
}

function streamed(lines: AsyncIterable<string>, type: string): Response {
  const pieces = async function* (): AsyncGenerator<Uint8Array> {
    let piece = "";
    for await (const line of lines) {
      piece += `${line}\n`;
      if (piece.length < PIECE) continue;
      yield Buffer.from(piece);
      piece = "";
    }
    yield Buffer.from(piece);
  };
  return new Response(ReadableStream.from(pieces()), { headers: { "content-type": type } });
}

async function openValue(request: Request, keys: Vault, { parentConfig: { openers } }: Env): Promise<Response> {
  const secret = request.headers.get("authorization")?.replace(/^Bearer /, "") ?? "";
  const shown = createHash("sha256").update(secret).digest();
  if (!openers.some((digest) => timingSafeEqual(Buffer.from(digest, "hex"), shown))) return refusal(403, "NO_OPENER");
  const { column, sealed } = (await request.json()) as { readonly column: string; readonly sealed: string };
  const value = keys.open(String(column), String(sealed));
  return value === undefined ? refusal(422, "NOT_OPENED") : Response.json({ value });
}

function refusal(status: number, code: string): Response {
  return Response.json({ code, message: code.toLowerCase().replaceAll("_", " ") }, { status });
}

export const enclave: EnclaveApp = defineEnclave<unknown, Settings>({
  tls: "attested",
  parentConfig: { read: (json) => json as unknown as Settings },
  fetch(request, env) {
    const route = `${request.method} ${new URL(request.url).pathname}`;
    if (route === "PUT /key") return loadKey(request, env);
    if (!vault) return refusal(409, "KEY_IS_NOT_LOADED");
    if (route === "POST /tables") return replaceColumns(request, vault);
    if (route === "POST /values") return openValue(request, vault, env);
    return new Response(null, { status: 404 });
  },
});
