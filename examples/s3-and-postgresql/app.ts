/**
 * Keeps orders in PostgreSQL and exports of them in S3, both reached from inside the enclave.
 *
 *   PUT  /database {"host", "port", "user", "password", "database"}   where orders are kept, from now on
 *   POST /orders {"customer", "cents"}                                → {"id"}
 *   PUT  /exports/NAME       all orders as CSV, sealed, to the bucket → {"rows"}
 *   GET  /exports/NAME       the same, opened
 *
 * TLS to both ends here. The database reads what is stored in it; the bucket gets sealed messages, which only this image
 * opens. The database's password comes from a client that verified this enclave, never from the parent.
 *
 * @module
 */
import { GetObjectCommand, PutObjectCommand, S3Client } from "@aws-sdk/client-s3";
import type { Client } from "pg";
import { defineEnclave, type EnclaveApp } from "../../enclave/app/define.ts";
import type { EnclaveEnv } from "../../enclave/app/env.ts";
import { type DatabaseAccess, openDatabase } from "./database.ts";

/** What the parent hands in; PCR16 says which, and the key's policy demands it. */
interface Settings {
  readonly keyArn: string;
  readonly region: string;
  readonly bucket: string;
}

type Env = EnclaveEnv<unknown, Settings>;

const TABLE =
  "CREATE TABLE IF NOT EXISTS orders (id serial PRIMARY KEY, customer text NOT NULL, cents bigint NOT NULL)";

let database: Client | undefined;
let bucket: S3Client | undefined;

async function useDatabase(request: Request, env: Env): Promise<Response> {
  const opened = await openDatabase(env, (await request.json()) as DatabaseAccess);
  await opened.query(TABLE);
  await database?.end();
  database = opened;
  return new Response(null, { status: 204 });
}

async function order(request: Request): Promise<Response> {
  const { customer, cents } = (await request.json()) as { readonly customer: string; readonly cents: number };
  const text = "INSERT INTO orders (customer, cents) VALUES ($1, $2) RETURNING id";
  const { rows } = await required(database).query<{ id: number }>(text, [customer, cents]);
  return Response.json({ id: rows[0]?.id });
}

async function exportOrders(name: string, env: Env): Promise<Response> {
  const { keyArn, bucket: Bucket } = env.parentConfig;
  const text = "SELECT id, customer, cents FROM orders ORDER BY id";
  const { rows } = await required(database).query<{ id: number; customer: string; cents: string }>(text);
  const lines = rows.map(({ id, customer, cents }) => `${id},"${customer.replaceAll('"', '""')}",${cents}\n`);
  const Body = await env.seal(Buffer.from(lines.join("")), { keyArn, context: contextOf(name) });
  await s3(env).send(new PutObjectCommand({ Bucket, Key: `exports/${name}`, Body }));
  return Response.json({ rows: rows.length });
}

async function readExport(name: string, env: Env): Promise<Response> {
  const { keyArn, bucket: Bucket } = env.parentConfig;
  const { Body } = await s3(env).send(new GetObjectCommand({ Bucket, Key: `exports/${name}` }));
  const message = (await Body?.transformToByteArray()) ?? new Uint8Array();
  const opened = await env.open(message, { keyArn, context: contextOf(name), dataset: name });
  return new Response(opened, { headers: { "content-type": "text/csv" } });
}

/** The AWS SDK as always: requests leave through the parent, under its role's credentials. */
function s3({ requestHandler, credentials, parentConfig: { region } }: Env): S3Client {
  bucket ??= new S3Client({ region, requestHandler, credentials, forcePathStyle: true });
  return bucket;
}

/** An export can not be passed off as another. */
function contextOf(name: string): Readonly<Record<string, string>> {
  return { service: "orders", export: name };
}

function required(client: Client | undefined): Client {
  if (!client) throw new TypeError("no database yet");
  return client;
}

export const enclave: EnclaveApp = defineEnclave<unknown, Settings>({
  tls: "attested",
  parentConfig: { read: (json) => json as unknown as Settings },
  async fetch(request, env) {
    const [, noun, name = ""] = new URL(request.url).pathname.split("/");
    const route = `${request.method} /${noun}`;
    if (route === "PUT /database") return useDatabase(request, env);
    if (route === "POST /orders") return order(request);
    if (route === "PUT /exports") return exportOrders(name, env);
    if (route === "GET /exports") return readExport(name, env);
    return new Response(null, { status: 404 });
  },
  stop: () => database?.end(),
});
