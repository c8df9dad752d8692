import { once } from "node:events";
import { type Socket, connect as tcpConnect } from "node:net";
import { inspect } from "node:util";
import { KMSClient } from "@aws-sdk/client-kms";
import { describe, expect, test, vi } from "vitest";
import type { ContainerCredentials } from "../../../parent/credentials/container-credentials.ts";
import { type CredentialsHttpOptions, startCredentialsHttp } from "../../../parent/credentials/http-form.ts";
import type { ListeningService, ParentEvent } from "../../../parent/observability/observe.ts";
import { collect } from "../../transport/streams.ts";
import { cleanups, transport, turns, until } from "../fixture.ts";

const GOOD: ContainerCredentials = {
  AccessKeyId: "ASIACANARYACCESSKEYI",
  SecretAccessKey: "canary-secret-access-key-0123456789abcd",
  Token: "canary-session-token",
  Expiration: "2999-05-01T13:00:00Z",
};

interface Bed {
  readonly service: ListeningService;
  readonly port: number;
  readonly events: ParentEvent[];
  ask(text: string): Promise<string>;
}

async function vend(options: Partial<CredentialsHttpOptions> = {}): Promise<Bed> {
  const events: ParentEvent[] = [];
  const service = await startCredentialsHttp({
    ...{ transport, address: { kind: "tcp", host: "127.0.0.1", port: 0 } },
    ...{ provide: () => ({ ...GOOD, Internal: "canary-internal" }), log: (event) => void events.push(event) },
    ...options,
  });
  cleanups.push(() => service.close());
  const port = (service.address as { port: number }).port;
  return {
    ...{ service, port, events },
    async ask(text) {
      const socket = await transport.connect(service.address);
      socket.write(text);
      const answer = await collect(socket);
      socket.destroy();
      return answer.toString();
    },
  };
}

const request = (start: string, fields = ""): string => `${start} HTTP/1.1\r\nHost: 127.0.0.1\r\n${fields}\r\n`;
const statusOf = (answer: string): string => /^HTTP\/1\.1 (\d{3}) /.exec(answer)?.[1] ?? "closed";

describe("credentials over HTTP, in the form of a container's", () => {
  test("R30: one path by GET: the four fields, not to be cached, and the connection is closed", async () => {
    const tapped: string[] = [];
    const { ask, events } = await vend({ tap: (_, direction) => void tapped.push(direction) });
    const [head = "", body = ""] = (await ask(request("GET /credentials"))).split("\r\n\r\n");
    expect(head.split("\r\n")).toEqual([
      "HTTP/1.1 200 OK",
      "content-type: application/json",
      `content-length: ${body.length}`,
      "cache-control: no-store",
      "connection: close",
    ]);
    expect(JSON.parse(body)).toEqual(GOOD);
    await until(() => events.length === 3);
    expect(events.map(({ event }) => event)).toEqual(["accepted", "connected", "closed"]);
    expect(tapped).toEqual(["from-enclave", "to-enclave"]);
  });

  test.each<[string, string, string]>([
    ["another path", request("GET /"), "404"],
    ["a longer path", request("GET /credentials/"), "404"],
    ["a path in other letters", request("GET /Credentials"), "404"],
    ["a query", request("GET /credentials?role=admin"), "404"],
    ["dots", request("GET /x/../credentials"), "404"],
    ["percent", request("GET /%63redentials"), "404"],
    ["absolute form", request("GET http://127.0.0.1/credentials"), "404"],
    ["metadata's path", request("GET /latest/meta-data/iam/security-credentials/"), "404"],
    ["metadata's token", request("PUT /latest/api/token"), "404"],
    ["PUT", request("PUT /credentials"), "405"],
    ["HEAD", request("HEAD /credentials"), "405"],
    ["POST", request("POST /credentials", "Content-Length: 0\r\n"), "405"],
    ["OPTIONS", request("OPTIONS /credentials"), "405"],
    ["CONNECT", request("CONNECT kms.eu-central-1.amazonaws.com:443"), "404"],
    ["X-Forwarded-For", request("GET /credentials", "X-Forwarded-For: 127.0.0.1\r\n"), "403"],
    ["x-forwarded-for, empty", request("GET /credentials", "x-forwarded-for:\r\n"), "403"],
    ["Forwarded", request("GET /credentials", "Forwarded: for=127.0.0.1\r\n"), "403"],
    ["Via", request("GET /credentials", "Via: 1.1 proxy\r\n"), "403"],
    ["a body", request("GET /credentials", "Content-Length: 5\r\n"), "400"],
    ["a body in chunks", request("GET /credentials", "Transfer-Encoding: chunked\r\n"), "400"],
    ["two lengths", request("GET /credentials", "Content-Length: 0\r\nContent-Length: 5\r\n"), "400"],
    ["two hosts", request("GET /credentials", "Host: other\r\n"), "400"],
    ["no host", "GET /credentials HTTP/1.1\r\n\r\n", "400"],
    ["HTTP/1.0", "GET /credentials HTTP/1.0\r\nHost: x\r\n\r\n", "400"],
    ["HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "400"],
    ["a folded line", request("GET /credentials", "X: a\r\n b\r\n"), "400"],
    ["a space before the colon", request("GET /credentials", "Host : other\r\n"), "400"],
    ["9 KiB of head", request("GET /credentials", `X: ${"y".repeat(9_216)}\r\n`), "400"],
    ["TLS", "\x16\x03\x01\x00\xa5\x01\r\n\r\n", "400"],
  ])("R30: %s is refused", async (_, text, status) => {
    const provide = vi.fn(() => GOOD);
    const { ask, events, service } = await vend({ provide });
    const answer = await ask(text);
    expect(statusOf(answer)).toBe(status);
    expect(answer).not.toMatch(/location|canary/i);
    expect(provide).not.toHaveBeenCalled();
    await until(() => service.stats().open === 0);
    expect(events[1]).toMatchObject({ event: "refused", code: `HTTP_${status}` });
    expect(service.stats()).toMatchObject({ accepted: 1, refused: 1 });
  });

  test("R17: a second request behind the first is not answered", async () => {
    const provide = vi.fn(() => GOOD);
    const { ask } = await vend({ provide });
    const answer = await ask(request("GET /credentials", "Connection: keep-alive\r\n").repeat(2));
    expect(answer.match(/HTTP\/1\.1/g)).toEqual(["HTTP/1.1"]);
    expect(provide).toHaveBeenCalledTimes(1);
  });

  test("the operator's path and token: without the token, with another or with two, 401", async () => {
    const { ask } = await vend({ path: "/v1/role", authorization: "canary-authorization" });
    const field = (value: string): string => `Authorization: ${value}\r\n`;
    const answers: string[] = [];
    for (const fields of [
      "",
      field("canary-authorizatioN"),
      field("canary-authorization").repeat(2),
      field("canary-authorization"),
    ]) {
      answers.push(statusOf(await ask(request("GET /v1/role", fields))));
    }
    expect(answers).toEqual(["401", "401", "401", "200"]);
    expect(statusOf(await ask(request("GET /credentials", field("canary-authorization"))))).toBe("404");
    for (const path of ["", "credentials", "/a b", "/a?b", "/a\r\nb"]) {
      await expect(vend({ path })).rejects.toMatchObject({
        code: "ERR_CONFIG_FIELD_INVALID",
        details: { field: "path" },
      });
    }
  });

  test("G10: when there are none, 503 and a code; the event has it, and nobody has the reason's text", async () => {
    const { ask, events, service } = await vend({
      provide: () => {
        throw new Error("canary: the role is gone");
      },
    });
    const answer = await ask(request("GET /credentials"));
    expect(statusOf(answer)).toBe("503");
    expect(JSON.parse(answer.split("\r\n\r\n")[1] ?? "")).toEqual({
      code: "ERR_INTERNAL",
      message: "service unavailable",
    });
    await until(() => service.stats().open === 0);
    expect(service.stats()).toMatchObject({ failed: 1, refused: 0 });
    expect(inspect(events, { depth: null })).not.toContain("canary");
  });

  test("a provider that does not answer: 503 at the deadline", async () => {
    let asked = false;
    const { ask } = await vend({ provide: () => new Promise(() => (asked = true)) });
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    const answer = ask(request("GET /credentials"));
    await until(() => asked);
    vi.advanceTimersByTime(10_000);
    expect(statusOf(await answer)).toBe("503");
  });

  test.each(["is reset", "is drained"])(
    "a provider that does not answer holds no place when its connection %s",
    async (why) => {
      const { service, events } = await vend({ provide: () => new Promise(() => undefined) });
      const socket = await transport.connect(service.address);
      socket.write(request("GET /credentials"));
      await until(() => service.stats().bytesFromEnclave > 0);
      // A peer that says its last may still want the answer; one that is reset does not.
      if (why === "is reset") (socket as Socket).resetAndDestroy();
      else expect(await service.drain(20)).toEqual({ forced: 1 });
      await until(() => service.stats().open === 0);
      expect(events.find(({ event }) => event === "failed")?.code).toBe("ERR_TRANSPORT_CLOSED");
      socket.destroy();
    },
  );

  test("V02: a head that comes slowly is cut at five seconds", async () => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    const { service, events } = await vend();
    const socket = await transport.connect(service.address);
    socket.write("GET /credentials HTTP/1.1\r\n");
    await until(() => events.length > 0);
    vi.advanceTimersByTime(4_999);
    await turns(20);
    expect(service.stats().open).toBe(1);
    vi.advanceTimersByTime(1);
    expect((await collect(socket.resume())).length).toBe(0);
    socket.destroy();
    await until(() => service.stats().failed === 1);
  });

  test("it lives through clients that leave at any moment", async () => {
    const { ask, service, port } = await vend();
    for (let i = 0; i < 20; i++) {
      const socket = tcpConnect(port, "127.0.0.1");
      await once(socket, "connect");
      if (i % 3 === 0) socket.write("GET /cred");
      if (i % 3 === 1) socket.write(request("GET /credentials"));
      socket.resetAndDestroy();
    }
    await until(() => service.stats().accepted === 20 && service.stats().open === 0);
    expect(statusOf(await ask(request("GET /credentials")))).toBe("200");
  });

  test("the AWS SDK's own chain reads it where the environment names it, and sends the token", async () => {
    const { port, service } = await vend({ path: "/role", authorization: "for-the-enclave" });
    const environment = {
      ...{ AWS_CONTAINER_CREDENTIALS_FULL_URI: `http://127.0.0.1:${port}/role`, AWS_EC2_METADATA_DISABLED: "true" },
      ...{ AWS_CONTAINER_AUTHORIZATION_TOKEN: "for-the-enclave", AWS_CONFIG_FILE: "/dev/null" },
      ...{ AWS_SHARED_CREDENTIALS_FILE: "/dev/null", AWS_ACCESS_KEY_ID: "", AWS_SECRET_ACCESS_KEY: "" },
    };
    for (const [name, value] of Object.entries(environment)) vi.stubEnv(name, value);
    const given = await new KMSClient({ region: "eu-central-1" }).config.credentials();
    expect(given).toMatchObject({
      ...{ accessKeyId: GOOD.AccessKeyId, secretAccessKey: GOOD.SecretAccessKey, sessionToken: GOOD.Token },
      expiration: new Date(GOOD.Expiration),
    });
    vi.unstubAllEnvs();
    expect(service.stats()).toMatchObject({ accepted: 1, refused: 0, failed: 0 });
  });
});
