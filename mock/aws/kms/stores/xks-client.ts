/**
 * Asks an external key store proxy over HTTPS, and says what went wrong when it does not answer as it should.
 *
 * Every request is a POST signed with Signature Version 4 for service `kms-xks-proxy`, has 250 ms from the first SYN to
 * the last byte, and takes an answer of at most 64 KiB. Connections are kept for the next request; one that the proxy
 * closed in between costs a second try, within the same time. Nothing is followed, nothing else is tried again.
 *
 * Source: External Key Store Proxy API Specification, "API content type", "Error codes", Appendix A.
 *
 * @module
 */
import type { ClientRequest, IncomingMessage } from "node:http";
import { Agent, request as httpsRequest } from "node:https";
import type { Socket } from "node:net";
import { isJsonObject, type Json, type JsonObject, parseJson } from "../../json.ts";
import {
  type CanonicalForm,
  canonicalRequest,
  gatherHeaders,
  SIGV4_ALGORITHM,
  scopeText,
  sign,
  signingKey,
  stringToSign,
} from "../../sigv4/canonical.ts";
import { PROXY_FAILURES, ProxyFailure, type ProxyFailureKind } from "./xks-faults.ts";

export interface XksCredential {
  readonly accessKeyId: string;
  readonly rawSecretAccessKey: string;
}

export interface ProxyClientOptions {
  /** `https://` and a host name, as in XksProxyUriEndpoint. */
  readonly uriEndpoint: string;
  /** Ends with `/kms/xks/v1`. */
  readonly uriPath: string;
  readonly credential: XksCredential;
  /** Region in the credential scope. */
  readonly region: string;
  /** PEM of the certificate authorities to trust, or those that come with Node. */
  readonly certificateAuthorities: readonly [string, ...string[]] | "node";
  /** Where the proxy listens. Default the endpoint's host, port 443. Its certificate is for the endpoint's host. */
  readonly address?: { readonly host: string; readonly port: number };
  /** Default 250, which is KMS's. */
  readonly timeoutMs?: number;
  /** The time that requests are signed with: the proxy's, so normally the machine's. Default that. */
  readonly now?: () => Date;
}

/** How far a request came: it decides what a failure is called. */
type Phase = "no TCP connection" | "no TLS connection" | "socket timeout";

interface Answer {
  readonly status: number;
  readonly contentType: string;
  readonly body: Uint8Array;
}

interface Attempt {
  readonly target: string;
  readonly body: Uint8Array;
  readonly deadline: number;
}

const SERVICE = "kms-xks-proxy";
const CANONICAL_FORM: CanonicalForm = {
  signedHeaders: ["host", "x-amz-date"],
  path: "normalized",
  uncovered: new Set(),
};
const ANSWER_MAX_BYTES = 65_536;
const HPE = /^HPE_/;
/** What a proxy may name; the other rows are KMS's own findings. */
const ERROR_NAMES = new Set(Object.keys(PROXY_FAILURES).filter((kind) => kind.endsWith("Exception")));

export class ProxyClient implements Disposable {
  readonly #options: ProxyClientOptions;
  /** Empty if the endpoint names no host that there can be. */
  readonly #host: string;
  readonly #agent: Agent;

  constructor(options: ProxyClientOptions) {
    this.#options = options;
    this.#host = URL.canParse(options.uriEndpoint) ? new URL(options.uriEndpoint).hostname : "";
    const { certificateAuthorities: trusted } = options;
    this.#agent = new Agent({
      keepAlive: true,
      minVersion: "TLSv1.2",
      rejectUnauthorized: true,
      servername: this.#host,
      ...(trusted === "node" ? {} : { ca: [...trusted] }),
    });
  }

  /**
   * @param api what follows the URI path, e.g. `/health`
   * @throws {ProxyFailure}
   */
  async call(api: string, payload: JsonObject): Promise<JsonObject> {
    const { uriPath, uriEndpoint, timeoutMs = 250 } = this.#options;
    if (this.#host === "") throw new ProxyFailure("no TCP connection", `${uriEndpoint} names no host`);
    const body = new TextEncoder().encode(JSON.stringify(payload));
    const attempt = { target: `${uriPath}${api}`, body, deadline: performance.now() + timeoutMs };
    return readAnswer(await this.#send(attempt, true));
  }

  /** Ends every connection; requests under way fail. */
  [Symbol.dispose](): void {
    this.#agent.destroy();
  }

  #send(attempt: Attempt, mayRetry: boolean): Promise<Answer> {
    return new Promise((resolve, reject) => {
      const { address: { host, port } = { host: this.#host, port: 443 } } = this.#options;
      const { target: path, body } = attempt;
      const headers = this.#signedHeaders(path, body);
      const request = httpsRequest({ agent: this.#agent, host, port, path, method: "POST", headers });
      const watch = new Watch(request, attempt.deadline);
      let hasFailed = false;
      const fail = (error: Error): void => {
        if (hasFailed) return;
        hasFailed = true;
        watch.stop();
        request.destroy();
        if (mayRetry && request.reusedSocket && watch.wasCut(error)) resolve(this.#send(attempt, false));
        else reject(watch.failure(error));
      };
      request.once("response", (response) => {
        receive(response).then((answer) => {
          watch.stop();
          resolve(answer);
        }, fail);
      });
      request.on("error", fail);
      request.end(body);
    });
  }

  #signedHeaders(target: string, body: Uint8Array): Record<string, string | number> {
    const { credential, region, now = () => new Date() } = this.#options;
    const amzDate = now()
      .toISOString()
      .replaceAll(/[-:]|\.\d+/g, "");
    const scope = { day: amzDate.slice(0, 8), region, service: SERVICE };
    const headers = gatherHeaders([
      ["host", this.#host],
      ["x-amz-date", amzDate],
    ]);
    const canonical = canonicalRequest({ method: "POST", target, headers, body }, CANONICAL_FORM);
    const key = signingKey(credential.rawSecretAccessKey, scope);
    const signature = sign(key, stringToSign(amzDate, scope, canonical));
    const signed = CANONICAL_FORM.signedHeaders.join(";");
    return {
      host: this.#host,
      "x-amz-date": amzDate,
      "content-type": "application/json",
      "content-length": body.length,
      authorization: `${SIGV4_ALGORITHM} Credential=${credential.accessKeyId}/${scopeText(scope)}, SignedHeaders=${signed}, Signature=${signature}`,
    };
  }
}

/** Follows one request: its deadline, and how far it came. */
class Watch {
  readonly #timer: NodeJS.Timeout;
  #phase: Phase = "no TCP connection";
  #answered = false;
  #late = false;

  constructor(request: ClientRequest, deadline: number) {
    const late = (): void => {
      this.#late = true;
      request.destroy(new Error("deadline"));
    };
    this.#timer = setTimeout(late, Math.max(0, deadline - performance.now()));
    request.once("socket", (socket: Socket) => {
      if (request.reusedSocket) this.#phase = "socket timeout";
      else {
        socket.once("connect", () => this.#reach("no TLS connection"));
        socket.once("secureConnect", () => this.#reach("socket timeout"));
      }
    });
    request.once("response", () => {
      this.#answered = true;
    });
  }

  stop(): void {
    clearTimeout(this.#timer);
  }

  /** Whether the proxy had closed the connection before it could read the request. */
  wasCut(error: NodeJS.ErrnoException): boolean {
    return !this.#late && !this.#answered && (error.code === "ECONNRESET" || error.code === "EPIPE");
  }

  failure(error: NodeJS.ErrnoException): ProxyFailure {
    if (error instanceof ProxyFailure) return error;
    const detail = error.code ?? error.message;
    if (this.#late || this.#phase !== "socket timeout") return new ProxyFailure(this.#phase, detail, { cause: error });
    // Cut after the handshake: with a part of an answer it is a bad one, with none there is nobody to talk to.
    const kind = this.#answered || HPE.test(detail) ? "malformed response" : "no TCP connection";
    return new ProxyFailure(kind, detail, { cause: error });
  }

  #reach(phase: Phase): void {
    this.#phase = phase;
  }
}

async function receive(response: IncomingMessage): Promise<Answer> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of response as AsyncIterable<Uint8Array>) {
    size += chunk.length;
    if (size > ANSWER_MAX_BYTES) throw new ProxyFailure("malformed response", `more than ${ANSWER_MAX_BYTES} bytes`);
    chunks.push(chunk);
  }
  const { statusCode: status = 0, headers } = response;
  return { status, contentType: headers["content-type"] ?? "", body: Buffer.concat(chunks) };
}

function readAnswer({ status, contentType, body }: Answer): JsonObject {
  const payload = readPayload(status, contentType, body);
  if (status === 200) return payload;
  const { errorName: name, errorMessage = "" } = payload;
  if (status < 400 || typeof name !== "string" || !ERROR_NAMES.has(name))
    throw new ProxyFailure("malformed response", `status ${status} without an error name of the specification`);
  throw new ProxyFailure(name as ProxyFailureKind, printable(errorMessage));
}

function readPayload(status: number, contentType: string, body: Uint8Array): JsonObject {
  try {
    const payload = parseJson(body);
    if (/^application\/json *(;|$)/i.test(contentType) && isJsonObject(payload)) return payload;
  } catch (cause) {
    throw new ProxyFailure("malformed response", `status ${status}, not JSON`, { cause });
  }
  throw new ProxyFailure("malformed response", `status ${status}, not an object in application/json`);
}

/** The proxy's message as far as the specification lets it go: below 512 printable characters. */
function printable(message: Json): string {
  return typeof message === "string" && /^[\x20-\x7e]{1,511}$/.test(message) ? message : "no message";
}
