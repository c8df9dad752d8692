/**
 * A KMS on loopback that says what a test wants it to say, byte by byte if need be.
 *
 * Its attestation documents are notes of what the enclave asked its NSM for: here the client is tested, not KMS.
 *
 * @module
 */
import { once } from "node:events";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { createServer as createTlsServer } from "node:https";
import type { AddressInfo, Socket } from "node:net";
import { setImmediate as soon } from "node:timers/promises";
import type { TlsOptions } from "node:tls";
import { KMS } from "@aws-sdk/client-kms";
import { type AttestedOptions, attested } from "../../../enclave/kms/attested.ts";
import { kmsFailure } from "../../../enclave/kms/failures.ts";
import { createRecipientKeys } from "../../../enclave/kms/recipient-keys.ts";
import { SYSTEM_TIMING, type Timing } from "../../../enclave/kms/timing.ts";
import { sealForRecipient } from "../../../mock/aws/kms/recipient-message.ts";
import { isToolkitError } from "../../../shared/errors/index.ts";
import type { AttestationRequest } from "../../../shared/nsm/device.ts";

export const REGION = "eu-central-1";
export const KEY = `arn:aws:kms:${REGION}:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab`;
export const OTHER_KEY = `arn:aws:kms:${REGION}:111122223333:key/0000abcd-12ab-34cd-56ef-1234567890ab`;
export const SECRET = "secret";

export interface Asked {
  readonly operation: string;
  readonly input: Readonly<Record<string, unknown>>;
  /** What the document says: the how-manieth, and for which key. */
  readonly document: { readonly serial: number; readonly publicKey: string; readonly userData: string } | undefined;
}

/** What is answered, or what is done to the connection instead. */
export type Reply = Said | ((socket: Socket) => void);

export interface Said {
  readonly status: number;
  readonly body: string;
  readonly headers?: Readonly<Record<string, string>>;
}

export interface Double extends AsyncDisposable {
  readonly port: number;
  /** So far. */
  readonly asked: readonly Asked[];
  /** How often somebody connected. */
  connections(): number;
}

export async function startDouble(reply: (asked: Asked, index: number) => Reply, tls?: TlsOptions): Promise<Double> {
  const asked: Asked[] = [];
  const answer = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const question = read(String(request.headers["x-amz-target"]), Buffer.concat(chunks).toString());
    asked.push(question);
    const said = reply(question, asked.length - 1);
    if (typeof said === "function") said(request.socket);
    else response.writeHead(said.status, { ...JSON_TYPE, ...said.headers }).end(said.body);
  };
  const onRequest = (request: IncomingMessage, response: ServerResponse): void =>
    void answer(request, response).catch(() => request.socket.destroy());
  const server = tls ? createTlsServer(tls, onRequest) : createServer(onRequest);
  let connections = 0;
  server.on("connection", () => connections++);
  server.on("tlsClientError", () => undefined).listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    port: (server.address() as AddressInfo).port,
    asked,
    connections: () => connections,
    [Symbol.asyncDispose]: async () => {
      const closed = once(server, "close");
      server.close();
      server.closeAllConnections();
      await closed;
    },
  };
}

const JSON_TYPE = { "content-type": "application/x-amz-json-1.1" };

function read(target: string, body: string): Asked {
  const input = body.startsWith("{") ? (JSON.parse(body) as Record<string, unknown>) : {};
  const recipient = input["Recipient"] as { AttestationDocument: string } | undefined;
  const document =
    recipient && (JSON.parse(Buffer.from(recipient.AttestationDocument, "base64").toString()) as Asked["document"]);
  return { operation: target.replace(/^TrentService\./, ""), input, document };
}

/** An answer to Decrypt as KMS gives it, but for some fields. */
export function honest({ input, document }: Asked, changes: object = {}, status = 200): Said {
  const publicKey = Buffer.from(document?.publicKey ?? "", "base64");
  const message = sealForRecipient(Buffer.from(SECRET), { encryptTo: publicKey, nameAs: publicKey });
  const answer = {
    KeyId: input["KeyId"],
    EncryptionAlgorithm: "SYMMETRIC_DEFAULT",
    CiphertextForRecipient: Buffer.from(message).toString("base64"),
    ...changes,
  };
  return { status, body: JSON.stringify(answer) };
}

export function refusal(status: number, __type: unknown): Said {
  return { status, body: JSON.stringify({ __type, message: "no" }) };
}

/** An NSM whose documents say what was asked for, and count. */
export function countingNsm(): { attest(request: AttestationRequest): Promise<Uint8Array>; readonly made: number } {
  let made = 0;
  return {
    attest: async ({ publicKey = new Uint8Array(0), userData = new Uint8Array(0) }) => {
      const note = { serial: made++, publicKey: Buffer.from(publicKey).toString("base64") };
      return Buffer.from(JSON.stringify({ ...note, userData: Buffer.from(userData).toString() }));
    },
    get made() {
      return made;
    },
  };
}

/** Rests take no time, and are noted; what is longer than a second is a deadline and takes its time. */
export function restless(): Timing & { readonly rests: number[] } {
  const rests: number[] = [];
  return {
    ...SYSTEM_TIMING,
    rests,
    wait: async (ms, signal) => {
      if (ms > 1_000) return SYSTEM_TIMING.wait(ms, signal);
      rests.push(ms);
      await soon();
    },
  };
}

export const sharedKeys = createRecipientKeys({ maxUses: 100_000, maxAgeMs: 3_600_000 });

/** The unmodified SDK with the plugin, asking the double in clear. */
export function attestedClient({ port }: { readonly port: number }, options: Partial<AttestedOptions> = {}): KMS {
  const credentials = { accessKeyId: "A", secretAccessKey: "s" };
  const kms = new KMS({ region: REGION, endpoint: `http://127.0.0.1:${port}`, credentials });
  kms.middlewareStack.use(attested({ nsm: countingNsm(), keys: sharedKeys, timing: restless(), ...options }));
  return kms;
}

const blob = Uint8Array.of(1, 2, 3);

export async function decrypt(kms: KMS, abortSignal?: AbortSignal): Promise<string> {
  const { Plaintext } = await kms.decrypt(
    { KeyId: KEY, CiphertextBlob: blob },
    { ...(abortSignal && { abortSignal }) },
  );
  return Buffer.from(Plaintext ?? []).toString();
}

/** The plaintext, or the code of the refusal. */
export async function verdict(call: Promise<string>): Promise<string> {
  try {
    return await call;
  } catch (error) {
    return isToolkitError(error) ? error.code : kmsFailure("Decrypt", error).code;
  }
}
