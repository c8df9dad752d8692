/**
 * Where a request of `attestedFetch` ends, and its answer: what one says must never be taken for the next on the connection
 * that others use too.
 */
import { Agent } from "node:https";
import { afterEach, describe, expect, test } from "vitest";
import { type AttestedAgent, createAttestedAgent } from "../../client/attested-agent.ts";
import { type AttestedFetchInit, attestedFetch } from "../../client/attested-fetch.ts";
import { policy, type ServedEnclave, serveEnclave } from "../enclave/tls/bed.ts";

const SMUGGLED = "POST /transfer HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nhi";

const closing: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0)) await close();
});

interface Bed {
  readonly enclave: ServedEnclave;
  /** One connection, on which all requests follow each other. */
  readonly agent: AttestedAgent;
  /** Requests that the application saw. */
  readonly heard: string[];
}

async function bed(answer: () => Response = () => new Response()): Promise<Bed> {
  const heard: string[] = [];
  const app = async (request: Request): Promise<Response> => {
    const line = `${request.method} ${new URL(request.url).pathname} ${await request.text()}`;
    heard.push(line);
    return new URL(request.url).pathname === "/strange" ? answer() : new Response(line);
  };
  const enclave = await serveEnclave({ app });
  const agent = createAttestedAgent(policy, { maxSockets: 1 });
  closing.push(() => agent.destroy(), enclave.close);
  return { enclave, agent, heard };
}

const stream = (): never => new Blob([SMUGGLED]).stream() as never;

describe("a body", () => {
  const methods = ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "delete"];
  test.each(methods)("is one request's and no second request, under %s", async (method) => {
    const { enclave, agent, heard } = await bed();
    for (const body of [SMUGGLED, Buffer.from(SMUGGLED), stream(), new Blob([SMUGGLED])]) {
      heard.length = 0;
      const answers = await Promise.all(
        [{ method, body }, {}].map(async (init, index) =>
          (await attestedFetch(`${enclave.url}/${index}`, { agent, ...init })).text(),
        ),
      );
      expect(answers).toEqual([`${method.toUpperCase()} /0 ${SMUGGLED}`, "GET /1 "]);
      expect(heard).toEqual(answers);
    }
    expect(enclave.said).toHaveLength(1);
  });

  test.each<[string, string]>([
    ["content-length", "1"],
    ["transfer-encoding", "identity"],
    ["connection", "upgrade"],
    ["upgrade", "websocket"],
    ["expect", "100-continue"],
    ["trailer", "x"],
    ["te", "trailers"],
    ["keep-alive", "timeout=0"],
  ])("is framed without the caller's %s", async (name, value) => {
    const { enclave, agent } = await bed();
    for (const body of [`x${SMUGGLED}`, stream()]) {
      const init: AttestedFetchInit = { agent, method: "POST", headers: { [name]: value, "x-kept": "1" }, body };
      expect(await (await attestedFetch(enclave.url, init)).text()).toContain(SMUGGLED);
    }
    const [, sent = ""] = enclave.said.join().split(/(?=POST \/ )/);
    expect(sent.toLowerCase()).toContain("x-kept: 1\r\n");
    expect(sent.toLowerCase()).not.toContain(`${name}: ${value}\r\n`);
  });

  test.each(["GET", "HEAD", "get"])("is refused with %s", async (method) => {
    const { enclave, agent } = await bed();
    for (const body of ["", "x", stream()]) {
      await expect(attestedFetch(enclave.url, { agent, method, body })).rejects.toThrow(TypeError);
    }
    expect(enclave.said).toEqual([]);
  });

  test.each(["CONNECT", "TRACE", "GET / HTTP/1.1\r\nx:"])("has no method %j", async (method) => {
    const { enclave, agent } = await bed();
    await expect(attestedFetch(enclave.url, { agent, method })).rejects.toThrow(TypeError);
  });
});

describe("an answer that is none", () => {
  const response = (status: number, headers = {}): Response => {
    const strange = new Response(null, { status: 204, headers });
    return Object.defineProperty(strange, "status", { value: status });
  };
  test.each<[string, Response]>([
    ["a change of protocol", response(101, { connection: "upgrade", upgrade: "websocket" })],
    ["a change of protocol to none", response(101)],
    ["a status of 999", response(999)],
  ])("fails, and its connection is not used again: %s", async (_, strange) => {
    const { enclave, agent } = await bed(() => strange);
    await expect(attestedFetch(`${enclave.url}/strange`, { agent })).rejects.toMatchObject({
      code: "ERR_SESSION_MALFORMED",
    });
    expect(await (await attestedFetch(`${enclave.url}/next`, { agent })).text()).toBe("GET /next ");
    expect(enclave.said).toHaveLength(2);
  });
});

describe("an agent that verifies nothing", () => {
  const SECRET = "canary-of-the-request";
  test.each<[string, unknown]>([
    ["Node's own", new Agent({ rejectUnauthorized: false })],
    ["none", false],
    ["null", null],
    ["one that says it does", Object.assign(new Agent({ rejectUnauthorized: false }), { attestationOf: () => ({}) })],
  ])("is refused before a byte is sent: %s", async (_, agent) => {
    const { enclave } = await bed();
    const init = { agent, method: "POST", body: SECRET } as unknown as AttestedFetchInit;
    await expect(attestedFetch(enclave.url, init)).rejects.toThrow(TypeError);
    expect(enclave.said).toEqual([]);
  });

  test("is not hidden by a policy beside it", async () => {
    const { enclave, agent } = await bed();
    const both = { agent, policy } as unknown as AttestedFetchInit;
    await expect(attestedFetch(enclave.url, both)).rejects.toThrow(TypeError);
    expect(enclave.said).toEqual([]);
  });
});
