/**
 * A double of an external key store proxy: HTTPS on loopback, signatures verified, real AES-GCM, and a script by which
 * it fails in each way that a proxy can.
 *
 * Written from the proxy specification and apart from the client under test: neither the signature nor the additional
 * data is computed by code that the client uses.
 */
import { createCipheriv, createDecipheriv, createHash, createHmac, randomBytes } from "node:crypto";
import { once } from "node:events";
import type { IncomingMessage, ServerResponse } from "node:http";
import { createServer } from "node:https";
import type { AddressInfo } from "node:net";
import type { Duplex } from "node:stream";
import type { SecureVersion } from "node:tls";
import { makeServerIdentity } from "../../../mock/aws/certificates.ts";
import type { ProxyClientOptions } from "../../../mock/aws/kms/stores/xks-client.ts";

export const HOST = "xks.example.com";
export const PATH = "/tenant-1/kms/xks/v1";
export const REGION = "eu-central-1";
export const CREDENTIAL = {
  accessKeyId: "HGIE2BUAFNDMBCMSQVWLGCEXAMPLE",
  rawSecretAccessKey: "VU6W2byoiBrhDqNGbx703oL0syCAmhlQgwNUT123456",
};
const METADATA = Buffer.from("key_version=1");

export interface ExternalKey {
  readonly material: Buffer;
  spec: string;
  usage: string[];
  status: string;
}

export type Json = Record<string, unknown>;

/** What the double does instead of answering as it should. */
export type Misbehaviour =
  | { readonly kind: "error"; readonly status: number; readonly name: string; readonly message?: string }
  | { readonly kind: "raw"; readonly status: number; readonly body: string | Buffer; readonly contentType?: string }
  /** Changes a good answer. */
  | { readonly kind: "spoil"; readonly change: (answer: Json) => unknown; readonly contentType?: string }
  /** Reads the request and says nothing. */
  | { readonly kind: "silent" }
  /** Closes the connection, before or in the middle of the answer. */
  | { readonly kind: "cut"; readonly after: "request" | "half an answer" }
  /** Begins an answer and does not end it. */
  | { readonly kind: "stall" };

export interface SeenRequest {
  readonly url: string;
  readonly headers: IncomingMessage["headers"];
  readonly body: Json;
}

export interface XksDouble extends AsyncDisposable {
  readonly port: number;
  readonly caCertificatePem: string;
  readonly keys: Map<string, ExternalKey>;
  readonly requests: SeenRequest[];
  /** How many connections were accepted. */
  readonly connections: number;
  misbehave: Misbehaviour | undefined;
  /** What the proxy's owner has configured. */
  secret: string;
  path: string;
  /** Closes the connections that wait for another request. */
  closeIdle(): void;
  /** Ends the listener and every connection. */
  stop(): Promise<void>;
  /** From now on another certificate, of an authority that nobody trusts; every connection is closed. */
  changeAuthority(): Promise<void>;
  /** Options of a client that should succeed. */
  options(overrides?: Partial<ProxyClientOptions>): ProxyClientOptions;
}

export interface DoubleOptions {
  /** Names in the certificate. */
  readonly hostNames?: readonly string[];
  readonly maxVersion?: SecureVersion;
}

export async function startXksDouble({ hostNames = [HOST], maxVersion }: DoubleOptions = {}): Promise<XksDouble> {
  const identity = await makeServerIdentity(hostNames);
  const tls = { key: identity.keyPem, cert: identity.certificatePem };
  const versions = maxVersion ? { maxVersion, minVersion: maxVersion, ciphers: "DEFAULT@SECLEVEL=0" } : {};
  const server = createServer({ ...tls, ...versions });
  const sockets = new Set<Duplex>();
  let connections = 0;
  server.on("connection", (socket) => {
    connections++;
    sockets.add(socket);
    socket.on("error", () => undefined).once("close", () => sockets.delete(socket));
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  const stop = async (): Promise<void> => {
    if (!server.listening) return;
    for (const socket of sockets) socket.destroy();
    server.close();
    await once(server, "close");
  };
  const double: XksDouble = {
    port,
    caCertificatePem: identity.caCertificatePem,
    keys: new Map(),
    requests: [],
    get connections() {
      return connections;
    },
    misbehave: undefined,
    secret: CREDENTIAL.rawSecretAccessKey,
    path: PATH,
    closeIdle: () => server.closeIdleConnections(),
    stop,
    changeAuthority: async () => {
      const other = await makeServerIdentity(hostNames);
      server.setSecureContext({ key: other.keyPem, cert: other.certificatePem });
      for (const socket of sockets) socket.destroy();
    },
    options: (overrides = {}) => ({
      uriEndpoint: `https://${HOST}`,
      uriPath: PATH,
      credential: CREDENTIAL,
      region: REGION,
      certificateAuthorities: [identity.caCertificatePem],
      address: { host: "127.0.0.1", port },
      timeoutMs: 5000,
      ...overrides,
    }),
    [Symbol.asyncDispose]: stop,
  };
  server.on("request", (request, response) => void serve(double, request, response));
  return double;
}

async function serve(double: XksDouble, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  const body = Buffer.concat(chunks);
  const { misbehave: wanted } = double;
  if (wanted?.kind === "silent") return;
  if (wanted?.kind === "cut" && wanted.after === "request") return void request.socket.destroy();
  if (wanted?.kind === "raw") return send(response, wanted.status, wanted.body, wanted.contentType);
  if (wanted?.kind === "error") return refuse(response, wanted.status, wanted.name, wanted.message);
  if (!isSigned(request, body, double.secret)) return refuse(response, 401, "AuthenticationFailedException");
  const seen: SeenRequest = { url: request.url ?? "", headers: request.headers, body: JSON.parse(body.toString()) };
  double.requests.push(seen);
  const [status, answer] = answerOf(double, seen);
  if (wanted?.kind === "cut" || wanted?.kind === "stall") {
    response.writeHead(200, { "content-type": "application/json", "content-length": 1000 });
    response.write(JSON.stringify(answer).slice(0, 10), () => {
      if (wanted.kind === "cut") request.socket.destroy();
    });
    return;
  }
  const said = wanted && status === 200 ? wanted.change(answer) : answer;
  send(response, status, JSON.stringify(said), wanted?.contentType);
}

function refuse(response: ServerResponse, status: number, errorName: string, errorMessage?: string): void {
  send(response, status, JSON.stringify({ errorName, ...(errorMessage === undefined ? {} : { errorMessage }) }));
}

function send(response: ServerResponse, status: number, body: string | Buffer, type = "application/json"): void {
  response.writeHead(status, { "content-type": type }).end(body);
}

const refused = (status: number, errorName: string): [number, Json] => [status, { errorName }];

function answerOf(double: XksDouble, { url, body }: SeenRequest): [number, Json] {
  if (!url.startsWith(`${double.path}/`)) return refused(404, "InvalidUriPathException");
  const api = url.slice(double.path.length);
  if (api === "/health") return [200, HEALTH];
  const [, keyId = "", operation = ""] = /^\/keys\/([\w.-]+)\/(\w+)$/.exec(api) ?? [];
  const key = double.keys.get(keyId);
  if (!key) return refused(404, "KeyNotFoundException");
  if (operation === "metadata") return [200, { keySpec: key.spec, keyUsage: key.usage, keyStatus: key.status }];
  if (key.status !== "ENABLED") return refused(400, "InvalidStateException");
  if (!key.usage.includes(operation.toUpperCase())) return refused(400, "InvalidKeyUsageException");
  if (body["encryptionAlgorithm"] !== "AES_GCM") return refused(400, "ValidationException");
  return operation === "encrypt" ? encrypt(key, body) : decrypt(key, body);
}

export const HEALTH: Json = {
  xksProxyFleetSize: 2,
  xksProxyVendor: "Acme Corp",
  xksProxyModel: "Acme XKS Proxy 1.0",
  ekmVendor: "Thales Group",
  ekmFleetDetails: [
    { id: "hsm-id-1", model: "Luna 5.0", healthStatus: "DEGRADED" },
    { id: "hsm-id-2", model: "Luna 5.1", healthStatus: "ACTIVE" },
  ],
};

export function newKey(): ExternalKey {
  return { material: randomBytes(32), spec: "AES_256", usage: ["ENCRYPT", "DECRYPT", "WRAP"], status: "ENABLED" };
}

const bytesOf = (body: Json, name: string): Buffer => Buffer.from((body[name] as string | undefined) ?? "", "base64");

/** Both lengths are in it, so that no part can be taken for the other. */
function gcmData(aad: Buffer, metadata: Buffer): Buffer {
  const length = Buffer.alloc(2);
  length.writeUInt16BE(aad.length);
  return Buffer.concat([length, aad, Buffer.of(metadata.length), metadata]);
}

function encrypt({ material }: ExternalKey, body: Json): [number, Json] {
  const aad = bytesOf(body, "additionalAuthenticatedData");
  const iv = randomBytes(12);
  const cipher = createCipheriv("aes-256-gcm", material, iv).setAAD(gcmData(aad, METADATA));
  const ciphertext = Buffer.concat([cipher.update(bytesOf(body, "plaintext")), cipher.final()]);
  const tag = cipher.getAuthTag();
  const integrity = createHash("sha256");
  for (const part of [aad, METADATA, iv, ciphertext, tag]) integrity.update(part);
  const wantsIntegrity = body["ciphertextDataIntegrityValueAlgorithm"] === "SHA_256";
  return [
    200,
    {
      ciphertext: ciphertext.toString("base64"),
      ciphertextMetadata: METADATA.toString("base64"),
      initializationVector: iv.toString("base64"),
      authenticationTag: tag.toString("base64"),
      ...(wantsIntegrity ? { ciphertextDataIntegrityValue: integrity.digest("base64") } : {}),
    },
  ];
}

function decrypt({ material }: ExternalKey, body: Json): [number, Json] {
  const data = gcmData(bytesOf(body, "additionalAuthenticatedData"), bytesOf(body, "ciphertextMetadata"));
  try {
    const decipher = createDecipheriv("aes-256-gcm", material, bytesOf(body, "initializationVector"));
    decipher.setAAD(data).setAuthTag(bytesOf(body, "authenticationTag"));
    const plaintext = Buffer.concat([decipher.update(bytesOf(body, "ciphertext")), decipher.final()]);
    return [200, { plaintext: plaintext.toString("base64") }];
  } catch {
    return refused(400, "InvalidCiphertextException");
  }
}

/** Signature Version 4 as Appendix A tells it, for the one credential, ±5 minutes. */
function isSigned(request: IncomingMessage, body: Buffer, secret: string): boolean {
  const amzDate = String(request.headers["x-amz-date"]);
  const day = amzDate.slice(0, 8);
  const scope = `${day}/${REGION}/kms-xks-proxy/aws4_request`;
  const head = `POST\n${request.url}\n\nhost:${HOST}\nx-amz-date:${amzDate}\n\nhost;x-amz-date\n`;
  const digest = (data: string | Buffer): string => createHash("sha256").update(data).digest("hex");
  const text = `AWS4-HMAC-SHA256\n${amzDate}\n${scope}\n${digest(head + digest(body))}`;
  const steps = [day, REGION, "kms-xks-proxy", "aws4_request"];
  const mac = (key: string | Buffer, data: string): Buffer => createHmac("sha256", key).update(data).digest();
  const key = steps.reduce<string | Buffer>(mac, `AWS4${secret}`);
  const signature = mac(key, text).toString("hex");
  const wanted = `AWS4-HMAC-SHA256 Credential=${CREDENTIAL.accessKeyId}/${scope}, SignedHeaders=host;x-amz-date, Signature=${signature}`;
  const sentAt = Date.parse(amzDate.replace(/(....)(..)(..)T(..)(..)(..)Z/, "$1-$2-$3T$4:$5:$6Z"));
  return request.headers.authorization === wanted && Math.abs(Date.now() - sentAt) < 300_000;
}
