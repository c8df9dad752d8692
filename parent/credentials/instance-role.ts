/**
 * The role of this instance, from the instance metadata service, version 2 and no other.
 *
 *   1. PUT /latest/api/token                                          a token that lives a minute
 *   2. GET /latest/meta-data/iam/security-credentials/                the role's name, unless it is given
 *   3. GET /latest/meta-data/iam/security-credentials/<role>          its credentials
 *
 * These paths and no others; a new connection for each, no proxy, no redirect followed, 16 KiB and a deadline for each
 * answer. Version 1 is not tried when version 2 refuses. The parent asks from the instance itself, so the smallest hop
 * limit, 1, is enough and the one to set; in a container with a network of its own it takes 2. The enclave can not ask:
 * it has no network, and the egress proxy never dials link-local addresses.
 *
 * Source: EC2 user guide, "Use IMDSv2", "Retrieve security credentials from instance metadata".
 *
 * @module
 */
import { Agent, type IncomingMessage, request } from "node:http";
import { ConfigError, isToolkitError, TransportError } from "../../shared/errors/index.ts";
import { codeOf } from "../observability/observe.ts";
import { type ProvideCredentials, readContainerCredentials } from "./container-credentials.ts";

export interface InstanceRoleOptions {
  /** Default `http://169.254.169.254`; `http://[fd00:ec2::254]` where IPv6 is on. Loopback, for tests, and no other. */
  readonly endpoint?: string;
  /** The role whose credentials are wanted. Default: the one the instance has. */
  readonly role?: string;
  /** For each of the three requests, in milliseconds. Default 2 000: the service is on this host's link. */
  readonly timeoutMs?: number;
}

const TOKEN_PATH = "/latest/api/token";
const ROLES_PATH = "/latest/meta-data/iam/security-credentials/";
const TOKEN_SECONDS = "60";
const ANSWER_BYTES_MAX = 16_384;
/** IAM API reference, `RoleName`. */
const ROLE = /^[\w+=,.@-]{1,64}$/;
const TOKEN = /^[\x21-\x7e]{1,1024}$/;
const HOSTS: ReadonlySet<string> = new Set(["169.254.169.254", "[fd00:ec2::254]", "127.0.0.1", "[::1]"]);

/**
 * Makes a provider that asks each time. What it throws is a `TransportError`: `ERR_TRANSPORT_CREDENTIALS_UNAVAILABLE`
 * or `ERR_TRANSPORT_CREDENTIALS_INVALID`.
 *
 * @throws {ConfigError} an endpoint elsewhere, or what is no role's name
 *
 * @example
 * ```ts
 * const credentials = refreshing(fromInstanceRole());
 * ```
 */
export function fromInstanceRole(options: InstanceRoleOptions = {}): ProvideCredentials {
  const { endpoint = "http://169.254.169.254", role, timeoutMs = 2_000 } = options;
  const url = readEndpoint(endpoint);
  if (role !== undefined && !ROLE.test(role)) throw invalid("role", "1 to 64 of A-Z a-z 0-9 _ + = , . @ -", "another");
  return async () => {
    const ask = (path: string, method: "GET" | "PUT", headers: Readonly<Record<string, string>>): Promise<string> =>
      askMetadata({ url: new URL(path, url), method, headers, timeoutMs });
    const token = await ask(TOKEN_PATH, "PUT", { "x-aws-ec2-metadata-token-ttl-seconds": TOKEN_SECONDS });
    if (!TOKEN.test(token)) throw unavailable("TOKEN_FORM");
    const authorized = { "x-aws-ec2-metadata-token": token };
    const name = role ?? readRole(await ask(ROLES_PATH, "GET", authorized));
    return readAnswer(await ask(ROLES_PATH + name, "GET", authorized));
  };
}

function readEndpoint(text: string): URL {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  const plain = url?.protocol === "http:" && url.pathname === "/" && `${url.username}${url.search}${url.hash}` === "";
  if (!url || !plain || !HOSTS.has(url.hostname)) {
    throw invalid("endpoint", "http:// and the metadata service's address, or loopback", "another");
  }
  return url;
}

function invalid(field: string, expected: string, actual: string): ConfigError {
  return new ConfigError("ERR_CONFIG_FIELD_INVALID", { field, expected, actual });
}

function unavailable(reason: string): TransportError {
  return new TransportError("ERR_TRANSPORT_CREDENTIALS_UNAVAILABLE", { source: "instance metadata", reason });
}

/** An instance has one role; its name goes into a path. */
function readRole(answer: string): string {
  const name = answer.replace(/\n$/, "");
  if (!ROLE.test(name)) throw unavailable("ROLE_FORM");
  return name;
}

function readAnswer(answer: string): ReturnType<typeof readContainerCredentials> {
  let json: unknown;
  try {
    json = JSON.parse(answer);
  } catch {
    throw unavailable("NOT_JSON"); // the parser's own message quotes what it read
  }
  const code = typeof json === "object" && json !== null && "Code" in json ? json.Code : undefined;
  if (code !== "Success") throw unavailable("NOT_SUCCESS");
  return readContainerCredentials(json);
}

interface Question {
  readonly url: URL;
  readonly method: "GET" | "PUT";
  readonly headers: Readonly<Record<string, string>>;
  readonly timeoutMs: number;
}

function askMetadata({ url, method, headers, timeoutMs }: Question): Promise<string> {
  return new Promise((resolve, reject) => {
    // An agent of its own: the global one may be led through a proxy by the environment.
    const agent = new Agent({ keepAlive: false });
    const outgoing = request(url, { method, headers, agent, maxHeaderSize: 8_192 });
    const settle = (outcome: () => void): void => {
      clearTimeout(timer);
      outgoing.destroy();
      outcome();
    };
    // Without its cause: an HTTP client's error can hold the request, and that the token.
    const fail = (error: unknown): void =>
      settle(() => reject(isToolkitError(error) ? error : unavailable(codeOf(error))));
    const timer = setTimeout(() => fail(unavailable("ETIMEDOUT")), timeoutMs);
    outgoing.on("error", fail).on("response", (incoming) => {
      readBody(incoming).then((body) => settle(() => resolve(body)), fail);
    });
    outgoing.end();
  });
}

async function readBody(incoming: IncomingMessage): Promise<string> {
  const { statusCode = 0 } = incoming;
  if (statusCode !== 200) throw unavailable(`HTTP_${statusCode}`);
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of incoming) {
    size += (chunk as Buffer).length;
    if (size > ANSWER_BYTES_MAX) throw unavailable("TOO_LARGE");
    chunks.push(chunk as Buffer);
  }
  return Buffer.concat(chunks).toString("utf8");
}
