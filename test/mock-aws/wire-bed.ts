/**
 * The front door by raw requests: one account with one user, who signs by hand, which is a second hand than the SDK's.
 */
import { createHash, createHmac } from "node:crypto";
import type { ClientRequestArgs } from "node:http";
import { request } from "node:https";
import { ACCOUNT, allow, type Bed, type BedOptions, REGION, startBed, userKeys } from "./door-bed.ts";

export const keys = userKeys();
export const accounts = [
  {
    accountId: ACCOUNT,
    principals: [{ type: "user" as const, name: "alice", identityPolicies: [allow("*")], credentials: [keys] }],
  },
];
export const AMZ_DATE = "20260301T120000Z";

export type Headers = Readonly<Record<string, string>>;
export type Service = "kms" | "sts";

export interface Reply {
  readonly status: number | undefined;
  readonly headers: Readonly<Record<string, unknown>>;
  readonly text: string;
}

export interface WireBed extends Bed {
  post(headers: Headers, body: string | Uint8Array, args?: ClientRequestArgs): Promise<Reply>;
  /** The signed headers of a KMS call. */
  sign(body: string | Uint8Array, target?: string, extra?: Headers): Headers & { readonly authorization: string };
  /** The signed headers of a form: the parameters of an STS call. */
  form(body: string): Headers & { readonly authorization: string };
}

export async function startWireBed(options: BedOptions = {}): Promise<WireBed> {
  const bed = await startBed(accounts, options);
  const host = `127.0.0.1:${bed.port}`;
  return Object.assign(bed, {
    post: (headers: Headers, body: string | Uint8Array, args: ClientRequestArgs = {}) =>
      send(bed, { headers, ...args }, body),
    sign: (body: string | Uint8Array, target = "TrentService.GenerateRandom", extra: Headers = {}) => {
      const type = { "content-type": "application/x-amz-json-1.1" };
      const headers = { host, ...type, "x-amz-date": AMZ_DATE, "x-amz-target": target, ...extra };
      return { ...headers, authorization: authorizationOf(headers, { body, service: "kms" }) };
    },
    form: (body: string) => {
      const type = { "content-type": "application/x-www-form-urlencoded; charset=utf-8" };
      const headers = { host, ...type, "x-amz-date": AMZ_DATE };
      return { ...headers, authorization: authorizationOf(headers, { body, service: "sts" }) };
    },
  });
}

function send(bed: Bed, args: ClientRequestArgs, body: string | Uint8Array): Promise<Reply> {
  return new Promise((resolve, reject) => {
    const options = { method: "POST", path: "/", ca: bed.identity.caCertificatePem, agent: false, ...args };
    const sent = request(bed.url, options, (response) => {
      let text = "";
      response.setEncoding("utf8").on("data", (chunk: string) => {
        text += chunk;
      });
      response.on("end", () => resolve({ status: response.statusCode, headers: response.headers, text }));
    });
    sent.on("error", reject);
    sent.end(body);
  });
}

export interface SignedWith {
  readonly body: string | Uint8Array;
  readonly service: Service;
  /** Another order of the names than the sorted one. */
  readonly order?: (names: string[]) => string[];
}

export function authorizationOf(headers: Headers, { body, service, order = (names) => names }: SignedWith): string {
  const names = order(Object.keys(headers).sort());
  const lines = names.map((name) => `${name}:${headers[name]}\n`).join("");
  const signature = signatureOf(`POST\n/\n\n${lines}\n${names.join(";")}\n${sha256(body)}`, service);
  const credential = `Credential=${keys.accessKeyId}/${scopeOf(service)}`;
  return `AWS4-HMAC-SHA256 ${credential}, SignedHeaders=${names.join(";")}, Signature=${signature}`;
}

/** Of a canonical request. */
export function signatureOf(canonical: string, service: Service): string {
  const scope = scopeOf(service);
  let key: Buffer | string = `AWS4${keys.secretAccessKey}`;
  for (const part of scope.split("/")) key = createHmac("sha256", key).update(part).digest();
  const text = `AWS4-HMAC-SHA256\n${AMZ_DATE}\n${scope}\n${sha256(canonical)}`;
  return createHmac("sha256", key).update(text).digest("hex");
}

export function scopeOf(service: Service): string {
  return `${AMZ_DATE.slice(0, 8)}/${REGION}/${service}/aws4_request`;
}

export function sha256(data: string | Uint8Array): string {
  return createHash("sha256").update(data).digest("hex");
}

export const errorOf = (reply: Reply): unknown => (JSON.parse(reply.text) as { __type: string }).__type;
export const codeOf = (reply: Reply): unknown => /<Code>(.*?)<\/Code>/.exec(reply.text)?.[1];
