/** The instance metadata service here is a double on loopback, after its documentation; not yet run on EC2. */
import { once } from "node:events";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { pipeline, Readable } from "node:stream";
import { inspect } from "node:util";
import { describe, expect, test, vi } from "vitest";
import { fromInstanceRole, type InstanceRoleOptions } from "../../../parent/credentials/instance-role.ts";
import { codeOf } from "../../transport/streams.ts";
import { cleanups, until } from "../fixture.ts";

const ROLES = "/latest/meta-data/iam/security-credentials/";
const ANSWER = {
  ...{ Code: "Success", LastUpdated: "2026-05-01T12:00:00Z", Type: "AWS-HMAC" },
  AccessKeyId: "ASIACANARYACCESSKEYI",
  SecretAccessKey: "canary-secret-access-key-0123456789abcd",
  Token: "canary-session-token",
  Expiration: "2026-05-01T18:00:00Z",
};

type Respond = (request: IncomingMessage, response: ServerResponse) => void;
interface Seen {
  readonly line: string;
  readonly headers: Readonly<Record<string, unknown>>;
}

/** By `METHOD path`; what is not overridden is as documented. */
async function metadata(
  overrides: Readonly<Record<string, Respond>> = {},
): Promise<{ endpoint: string; seen: Seen[] }> {
  const seen: Seen[] = [];
  const authorized =
    (body: string): Respond =>
    (request, response) => {
      const ok = request.headers["x-aws-ec2-metadata-token"] === "canary-imds-token==";
      response.writeHead(ok ? 200 : 401).end(ok ? body : "");
    };
  const routes: Record<string, Respond> = {
    "PUT /latest/api/token": (request, response) => {
      const ttl = Number(request.headers["x-aws-ec2-metadata-token-ttl-seconds"]);
      const ok = ttl >= 1 && ttl <= 21_600 && request.headers["x-forwarded-for"] === undefined;
      response.writeHead(ok ? 200 : 400).end(ok ? "canary-imds-token==" : "");
    },
    [`GET ${ROLES}`]: authorized("app-role"),
    [`GET ${ROLES}app-role`]: authorized(JSON.stringify(ANSWER)),
    ...overrides,
  };
  const server = createServer((request, response) => {
    const line = `${request.method} ${request.url}`;
    seen.push({ line, headers: request.headers });
    const respond = routes[line];
    if (respond) respond(request, response);
    else response.writeHead(404).end();
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  cleanups.push(() => {
    server.closeAllConnections();
    server.close();
  });
  return { endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, seen };
}

const says =
  (body: string | Buffer, status = 200, headers: Record<string, string> = {}): Respond =>
  (_, response) =>
    void response.writeHead(status, headers).end(body);

describe("the role of the instance", () => {
  test("R30: version 2 alone: a token by PUT, then two fixed paths by GET, each on a connection of its own", async () => {
    const { endpoint, seen } = await metadata();
    const { AccessKeyId, SecretAccessKey, Token, Expiration } = await fromInstanceRole({ endpoint })();
    expect(ANSWER).toMatchObject({ AccessKeyId, SecretAccessKey, Token, Expiration });
    expect(seen.map(({ line }) => line)).toEqual(["PUT /latest/api/token", `GET ${ROLES}`, `GET ${ROLES}app-role`]);
    expect(seen.map(({ headers }) => headers["connection"])).toEqual(["close", "close", "close"]);
    expect(seen.some(({ headers }) => "x-forwarded-for" in headers || "via" in headers)).toBe(false);
  });

  test("a role that is given is asked for by name", async () => {
    const { endpoint, seen } = await metadata();
    await fromInstanceRole({ endpoint, role: "app-role" })();
    expect(seen.map(({ line }) => line)).toEqual(["PUT /latest/api/token", `GET ${ROLES}app-role`]);
    expect(await codeOf(fromInstanceRole({ endpoint, role: "another" })() as Promise<unknown>)).toBe(
      "ERR_TRANSPORT_CREDENTIALS_UNAVAILABLE",
    );
  });

  test.each<[string, Record<string, Respond>, string, number]>([
    ["no version 2", { "PUT /latest/api/token": says("", 404) }, "HTTP_404", 1],
    ["metadata that is switched off", { "PUT /latest/api/token": says("", 403) }, "HTTP_403", 1],
    [
      "a redirect for the token",
      { "PUT /latest/api/token": says("", 307, { location: "/latest/meta-data/" }) },
      "HTTP_307",
      1,
    ],
    ["a redirect for the role", { [`GET ${ROLES}`]: says("", 302, { location: `${ROLES}app-role` }) }, "HTTP_302", 2],
    ["a redirect with a body", { [`GET ${ROLES}app-role`]: says(JSON.stringify(ANSWER), 301) }, "HTTP_301", 3],
    ["a token that ended", { [`GET ${ROLES}app-role`]: says("", 401) }, "HTTP_401", 3],
    ["an error of the service", { [`GET ${ROLES}app-role`]: says("", 500) }, "HTTP_500", 3],
    ["no role", { [`GET ${ROLES}`]: says("", 404) }, "HTTP_404", 2],
    ["a token with a line end", { "PUT /latest/api/token": says("a\r\nX-Header: b") }, "TOKEN_FORM", 1],
    ["an empty token", { "PUT /latest/api/token": says("") }, "TOKEN_FORM", 1],
    ["a role with a slash", { [`GET ${ROLES}`]: says("../../../user-data") }, "ROLE_FORM", 2],
    ["two roles", { [`GET ${ROLES}`]: says("app-role\nother") }, "ROLE_FORM", 2],
    ["a role of 65 characters", { [`GET ${ROLES}`]: says("r".repeat(65)) }, "ROLE_FORM", 2],
    [
      "an answer that failed",
      { [`GET ${ROLES}app-role`]: says('{"Code":"AssumeRoleUnauthorizedAccess"}') },
      "NOT_SUCCESS",
      3,
    ],
    ["another format", { [`GET ${ROLES}app-role`]: says("<canary/>") }, "NOT_JSON", 3],
    ["JSON that is no object", { [`GET ${ROLES}app-role`]: says("null") }, "NOT_SUCCESS", 3],
    ["16 385 bytes", { [`GET ${ROLES}app-role`]: says(JSON.stringify(ANSWER).padEnd(16_385)) }, "TOO_LARGE", 3],
    ["an answer without end", { [`GET ${ROLES}app-role`]: (_, response) => flood(response) }, "TOO_LARGE", 3],
    ["a connection cut", { [`GET ${ROLES}app-role`]: (request) => void request.socket.destroy() }, "ECONNRESET", 3],
    [
      "an answer cut",
      {
        [`GET ${ROLES}app-role`]: (request, response) =>
          void response.writeHead(200).write("{", () => request.socket.destroy()),
      },
      "ECONNRESET",
      3,
    ],
  ])("R30: %s is refused, not followed and not made up for", async (_, overrides, reason, requests) => {
    const { endpoint, seen } = await metadata(overrides);
    const error = await Promise.resolve(fromInstanceRole({ endpoint })()).catch((e: unknown) => e);
    const details = { source: "instance metadata", reason };
    expect(error).toMatchObject({ code: "ERR_TRANSPORT_CREDENTIALS_UNAVAILABLE", details });
    expect(seen.length).toBe(requests);
    expect(inspect(error, { showHidden: true, depth: null })).not.toMatch(/canary/i);
  });

  test("16 384 bytes are read", async () => {
    const { endpoint } = await metadata({ [`GET ${ROLES}app-role`]: says(JSON.stringify(ANSWER).padEnd(16_384)) });
    expect((await fromInstanceRole({ endpoint })()).Token).toBe(ANSWER.Token);
  });

  test("G03: fields of another form are refused by name, and the error holds no value", async () => {
    const body = JSON.stringify({ ...ANSWER, SecretAccessKey: "canary secret with spaces" });
    const { endpoint } = await metadata({ [`GET ${ROLES}app-role`]: says(body) });
    const error = await Promise.resolve(fromInstanceRole({ endpoint })()).catch((e: unknown) => e);
    expect(error).toMatchObject({ code: "ERR_TRANSPORT_CREDENTIALS_INVALID", details: { field: "SecretAccessKey" } });
    expect(inspect(error, { showHidden: true, depth: null })).not.toMatch(/canary/i);
  });

  test.each(["PUT /latest/api/token", `GET ${ROLES}`, `GET ${ROLES}app-role`])(
    "silence at %s ends at the deadline",
    async (line) => {
      let reached = false;
      const { endpoint } = await metadata({ [line]: () => (reached = true) });
      vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
      const outcome = Promise.resolve(fromInstanceRole({ endpoint })()).catch((e: unknown) => e);
      await until(() => reached);
      vi.advanceTimersByTime(2_000);
      expect(await outcome).toMatchObject({ details: { reason: "ETIMEDOUT" } });
    },
  );

  test("nobody listens", async () => {
    const outcome = Promise.resolve(fromInstanceRole({ endpoint: "http://127.0.0.1:1" })());
    await expect(outcome).rejects.toMatchObject({ details: { reason: "ECONNREFUSED" } });
  });

  test("the proxy that the environment names is not used", async () => {
    const { endpoint } = await metadata();
    for (const name of ["http_proxy", "HTTP_PROXY", "ALL_PROXY"]) vi.stubEnv(name, "http://127.0.0.1:1");
    vi.stubEnv("NODE_USE_ENV_PROXY", "1");
    expect((await fromInstanceRole({ endpoint })()).Token).toBe(ANSWER.Token);
    vi.unstubAllEnvs();
  });

  test.each<[string, InstanceRoleOptions]>([
    ["another host", { endpoint: "http://metadata.test" }],
    ["another link-local address", { endpoint: "http://169.254.170.2" }],
    ["a host with the address in front", { endpoint: "http://169.254.169.254.evil.test" }],
    ["a user", { endpoint: "http://169.254.169.254@evil.test" }],
    ["HTTPS", { endpoint: "https://169.254.169.254" }],
    ["a path", { endpoint: "http://169.254.169.254/latest" }],
    ["a query", { endpoint: "http://127.0.0.1/?x" }],
    ["no URL", { endpoint: "169.254.169.254" }],
    ["a role that is a path", { role: "../user-data" }],
    ["a role with a line end", { role: "app\r\nrole" }],
    ["no role's name", { role: "" }],
  ])("%s is a mistake of the configuration", (_, options) => {
    expect(() => fromInstanceRole(options)).toThrow(expect.objectContaining({ code: "ERR_CONFIG_FIELD_INVALID" }));
  });

  test.each(["http://169.254.169.254", "http://[fd00:ec2::254]", "http://169.254.169.254/"])(
    "%s is where it is",
    (endpoint) => {
      expect(fromInstanceRole({ endpoint })).toBeTypeOf("function");
    },
  );
});

function flood(response: ServerResponse): void {
  function* forever(): Generator<string> {
    for (;;) yield "x".repeat(4_096);
  }
  pipeline(Readable.from(forever()), response, () => {});
}
