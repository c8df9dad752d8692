/**
 * Talks to an enclave's application through its parent: HTTP, challenge in, signed answer out.
 *
 * The way there proves nothing and need not: sealed data goes in as ciphertext, and each answer is verified by
 * `verifyResult`. Errors come back as `RemoteError`, with the code that the enclave gave.
 *
 * @module
 */
import { randomBytes } from "node:crypto";
import { type IncomingMessage, type RequestOptions, request } from "node:http";
import { ERROR_CODES, RemoteError, TransportError } from "../shared/errors/index.ts";
import type { SignedResultJson } from "../shared/result/signed-result.ts";
import { type Address, formatAddress } from "../shared/transport/address.ts";
import { type EnclavePolicy, type VerifiedResult, verifyResult } from "./result.ts";

export interface EnclaveClientOptions {
  /** Where the parent's ingress listens, or the enclave itself. */
  readonly address: Address;
  /** Milliseconds from the request to the last byte of the answer; default 60 000. */
  readonly timeoutMs?: number;
  /** Gives up waiting. */
  readonly signal?: AbortSignal;
}

/** An answer that nobody has verified, with what it must be verified against. */
export interface Asked {
  readonly answer: SignedResultJson;
  readonly question: string;
  readonly nonce: Uint8Array;
}

export interface EnclaveClient {
  /** Sends a sealed data set. */
  load(dataset: string, message: Uint8Array): Promise<void>;
  /** Asks under a fresh challenge, and gives the answer unverified together with that challenge. */
  ask(path: string): Promise<Asked>;
  /** Asks under a fresh challenge and verifies the answer. */
  askVerified(path: string, policy: EnclavePolicy): Promise<VerifiedResult>;
}

const NONCE_BYTES = 32;
const ANSWER_MAX = 1024 * 1024;

export function createEnclaveClient({ address, timeoutMs = 60_000, signal }: EnclaveClientOptions): EnclaveClient {
  const send = (method: string, path: string, body: Uint8Array): Promise<Reply> =>
    exchange({ address, timeoutMs, signal, method, path, body });

  const ask = async (path: string): Promise<Asked> => {
    const nonce = new Uint8Array(randomBytes(NONCE_BYTES));
    const body = Buffer.from(JSON.stringify({ nonce: Buffer.from(nonce).toString("base64") }));
    return { answer: readAnswer(await send("POST", path, body), address), question: `POST ${path}`, nonce };
  };

  return {
    ask,
    async load(dataset, message) {
      const reply = await send("PUT", `/datasets/${encodeURIComponent(dataset)}`, message);
      if (reply.status !== 204) throw refusal(reply);
    },
    async askVerified(path, policy) {
      const { answer, question, nonce } = await ask(path);
      return verifyResult(answer, { policy, question, nonce });
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

interface Exchange {
  readonly address: Address;
  readonly timeoutMs: number;
  readonly signal: AbortSignal | undefined;
  readonly method: string;
  readonly path: string;
  readonly body: Uint8Array;
}

/** One request on a connection of its own. Whatever the other side does, it ends by the deadline. */
function exchange({ address, timeoutMs, signal, method, path, body }: Exchange): Promise<Reply> {
  const where = formatAddress(address);
  const late = new TransportError("ERR_TRANSPORT_TIMEOUT", { address: where, timeoutMs });
  const headers = { "content-length": body.length };
  return new Promise((resolve, reject) => {
    const outgoing = request({ method, path, agent: false, headers, ...(signal && { signal }), ...target(address) });
    const deadline = setTimeout(() => outgoing.destroy(late), timeoutMs);
    const fail = (cause: unknown): void => {
      const { code, message = "closed" } = (cause ?? {}) as NodeJS.ErrnoException;
      const reason = code ?? message;
      if (cause === late || signal?.aborted) reject(cause);
      else reject(new TransportError("ERR_TRANSPORT_UNREACHABLE", { address: where, reason }, { cause }));
    };
    outgoing.on("response", (incoming) => {
      readReply(incoming).then(resolve, (error: unknown) => outgoing.destroy(error as Error));
    });
    outgoing.on("upgrade", (_, socket) => {
      fail(new Error("the answer is an upgrade"));
      socket.destroy();
    });
    outgoing.on("error", fail);
    outgoing.on("close", () => {
      clearTimeout(deadline);
      fail(undefined);
    });
    outgoing.end(body);
  });
}

async function readReply(incoming: IncomingMessage): Promise<Reply> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of incoming) {
    size += (chunk as Buffer).length;
    if (size > ANSWER_MAX) throw new Error("the answer is too large");
    chunks.push(chunk as Buffer);
  }
  return { status: incoming.statusCode ?? 0, body: Buffer.concat(chunks) };
}

function target(address: Address): RequestOptions {
  switch (address.kind) {
    case "unix":
      return { socketPath: address.path };
    case "tcp":
      return { host: address.host, port: address.port };
    case "vsock":
    case "hybrid":
      throw new TypeError("a client reaches an enclave through its parent, over TCP or a Unix socket");
    default:
      throw new TypeError(`not an address: ${address satisfies never}`);
  }
}
