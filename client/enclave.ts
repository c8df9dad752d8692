/**
 * Talks to an enclave's application through its parent: HTTP, challenge in, signed answer out.
 *
 * The way there proves nothing and need not: sealed data goes in as ciphertext, and each answer is verified by
 * `verifyResult`. Errors come back as `RemoteError`, with the code that the enclave gave.
 *
 * @module
 */
import { randomBytes } from "node:crypto";
import { type RequestOptions, request } from "node:http";
import { ERROR_CODES, RemoteError, TransportError } from "../shared/errors/index.ts";
import type { SignedResultJson } from "../shared/result/signed-result.ts";
import { type Address, formatAddress } from "../shared/transport/address.ts";
import { type EnclavePolicy, type VerifiedResult, verifyResult } from "./result.ts";

export interface EnclaveClientOptions {
  /** Where the parent's ingress listens, or the enclave itself. */
  readonly address: Address;
  /** Milliseconds to wait for an answer; default 30 000. */
  readonly timeoutMs?: number;
}

export interface EnclaveClient {
  /** Sends a sealed data set. */
  load(dataset: string, message: Uint8Array): Promise<void>;
  /** Asks under a fresh challenge, and gives the answer unverified together with that challenge. */
  ask(path: string): Promise<{ readonly answer: SignedResultJson; readonly nonce: Uint8Array }>;
  /** Asks under a fresh challenge and verifies the answer. */
  askVerified(path: string, policy: EnclavePolicy): Promise<VerifiedResult>;
}

const NONCE_BYTES = 32;
const ANSWER_MAX = 1024 * 1024;

export function createEnclaveClient({ address, timeoutMs = 30_000 }: EnclaveClientOptions): EnclaveClient {
  const send = (method: string, path: string, body: Uint8Array): Promise<Reply> =>
    exchange({ address, timeoutMs, method, path, body });

  const ask = async (path: string): Promise<{ answer: SignedResultJson; nonce: Uint8Array }> => {
    const nonce = new Uint8Array(randomBytes(NONCE_BYTES));
    const body = Buffer.from(JSON.stringify({ nonce: Buffer.from(nonce).toString("base64") }));
    return { answer: readAnswer(await send("POST", path, body), address), nonce };
  };

  return {
    ask,
    async load(dataset, message) {
      const reply = await send("PUT", `/datasets/${encodeURIComponent(dataset)}`, message);
      if (reply.status !== 204) throw refusal(reply);
    },
    async askVerified(path, policy) {
      const { answer, nonce } = await ask(path);
      return verifyResult(answer, { policy, nonce });
    },
  };
}

interface Reply {
  readonly status: number;
  readonly body: Buffer;
}

function readAnswer(reply: Reply, address: Address): SignedResultJson {
  if (reply.status !== 200) throw refusal(reply);
  const { result, signature, document } = parseObject(reply.body);
  if (typeof result !== "string" || typeof signature !== "string" || typeof document !== "string") {
    throw new TransportError("ERR_TRANSPORT_UNREACHABLE", { address: formatAddress(address), reason: "not an answer" });
  }
  return { result, signature, document };
}

/** What came back instead of an answer; an unknown code keeps its text but counts as an unreachable peer. */
function refusal({ status, body }: Reply): RemoteError {
  const { code, message, details } = parseObject(body);
  const text = typeof code === "string" && /^ERR_[A-Z_]{1,80}$/.test(code) ? code : "ERR_REMOTE";
  const kind = Object.hasOwn(ERROR_CODES, text) ? ERROR_CODES[text] : undefined;
  const said = typeof message === "string" ? message.replace(/[^\x20-\x7e]/g, "?").slice(0, 1000) : `HTTP ${status}`;
  const facts = typeof details === "object" && details !== null ? (details as Record<string, unknown>) : {};
  return new RemoteError(text, kind ?? "unreachable", said, facts);
}

function parseObject(body: Buffer): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(body.toString("utf8"));
    return typeof value === "object" && value !== null ? (value as Record<string, unknown>) : {};
  } catch {
    return {}; // read as an answer without fields, which every caller refuses
  }
}

interface Exchange extends Required<EnclaveClientOptions> {
  readonly method: string;
  readonly path: string;
  readonly body: Uint8Array;
}

function exchange({ address, timeoutMs, method, path, body }: Exchange): Promise<Reply> {
  const where = formatAddress(address);
  const options: RequestOptions = {
    method,
    path,
    agent: false,
    headers: { "content-length": body.length },
    ...target(address),
  };
  return new Promise((resolve, reject) => {
    const fail = (reason: string, cause?: unknown): void =>
      reject(new TransportError("ERR_TRANSPORT_UNREACHABLE", { address: where, reason }, { cause }));
    const outgoing = request(options, (incoming) => {
      const chunks: Buffer[] = [];
      let size = 0;
      incoming.on("data", (chunk: Buffer) => {
        size += chunk.length;
        if (size > ANSWER_MAX) outgoing.destroy(new Error("the answer is too large"));
        else chunks.push(chunk);
      });
      incoming.on("end", () => resolve({ status: incoming.statusCode ?? 0, body: Buffer.concat(chunks) }));
      incoming.on("error", (error) => fail(error.message, error));
    });
    const timeout = new TransportError("ERR_TRANSPORT_TIMEOUT", { address: where, timeoutMs });
    outgoing.setTimeout(timeoutMs, () => outgoing.destroy(timeout));
    outgoing.on("error", (error: NodeJS.ErrnoException) =>
      error === timeout ? reject(timeout) : fail(error.code ?? error.message, error),
    );
    outgoing.end(body);
  });
}

function target(address: Address): RequestOptions {
  switch (address.kind) {
    case "unix":
      return { socketPath: address.path };
    case "tcp":
      return { host: address.host, port: address.port };
    case "vsock":
      throw new TypeError("a client reaches an enclave through its parent, over TCP or a Unix socket");
    default:
      throw new TypeError(`not an address: ${address satisfies never}`);
  }
}
