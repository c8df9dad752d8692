/** Faults of time and connection: an answer that comes late, in part, or not at all. */
import { connect } from "node:tls";
import { CreateKeyCommand, GenerateRandomCommand, KMSClient, ListKeysCommand } from "@aws-sdk/client-kms";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { MockAws } from "../../mock/aws/emulator.ts";
import { FaultQueue } from "../../mock/aws/kms/faults.ts";
import { concat, utf8 } from "../../shared/bytes.ts";
import { clientOf, identities, REGION, startTestbed } from "./testbed.ts";

let aws: MockAws;
let admin: KMSClient;
beforeAll(async () => {
  aws = await startTestbed({ now: () => new Date() });
  admin = clientOf(aws, "admin");
});
afterAll(async () => {
  admin.destroy();
  await aws.close();
});

interface SignedRequest {
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

/** GenerateRandom as the SDK signs it, not sent. */
async function signedRequest(): Promise<Uint8Array> {
  let signed: SignedRequest | undefined;
  const requestHandler = {
    handle: (request: SignedRequest) => {
      signed = request;
      return Promise.reject(new TypeError("not sent"));
    },
  };
  const credentials = identities.admin;
  const client = new KMSClient({
    region: REGION,
    endpoint: aws.url,
    credentials,
    requestHandler: requestHandler as never,
  });
  await client.send(new GenerateRandomCommand({ NumberOfBytes: 32 })).catch(() => undefined);
  const { headers, body } = signed ?? expect.unreachable();
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
  return utf8(`POST / HTTP/1.1\r\n${lines.join("")}\r\n${body}`);
}

/** Every byte that comes until the other side closes. */
async function rawAnswer(): Promise<string> {
  const request = await signedRequest();
  const socket = connect({ host: "127.0.0.1", port: aws.port, ca: aws.caCertificatePem });
  socket.write(request);
  const chunks: Uint8Array[] = [];
  for await (const chunk of socket) chunks.push(chunk as Uint8Array);
  return new TextDecoder().decode(concat(...chunks));
}

describe("connection-cut", () => {
  test("after so many bytes of the answer, and not one more", async () => {
    const lengths: number[] = [];
    for (const afterBytes of [0, 1, 17, 100, 250, 100_000]) {
      aws.injectFault({ operation: "GenerateRandom", answer: "connection-cut", times: 1, afterBytes });
      const answer = await rawAnswer();
      expect("HTTP/1.1 200 OK\r\ncontent-type: ").toContain(answer.slice(0, 31));
      lengths.push(answer.length);
    }
    const whole = lengths.pop() ?? 0;
    expect(lengths).toEqual([0, 1, 17, 100, 250]);
    expect(whole).toBeGreaterThan(250);
    expect(whole).toBeLessThan(400);
  });

  test("the call is done all the same, and the SDK asks again", async () => {
    const before = aws.trail().length;
    aws.injectFault({ operation: "CreateKey", answer: "connection-cut", times: 1, afterBytes: 250 });
    await admin.send(new CreateKeyCommand({}));
    expect((await admin.send(new ListKeysCommand({}))).Keys?.length).toBe(2);
    expect(aws.trail().length - before).toBe(3);
  });

  test("twice is an error of the connection", async () => {
    aws.injectFault({ operation: "*", answer: "connection-cut", times: 2 });
    const call = admin.send(new ListKeysCommand({}));
    await expect(call).rejects.toMatchObject({ code: "ECONNRESET" });
    expect((await admin.send(new ListKeysCommand({}))).Keys?.length).toBeGreaterThan(0);
  });
});

describe("whom a fault meets", () => {
  test("one before the operation meets the next caller, also one whom the policies deny", async () => {
    const bare = clientOf(aws, "bare");
    aws.injectFault({ operation: "ListKeys", answer: "throttle", times: 2 }); // the SDK tries twice
    await expect(bare.send(new ListKeysCommand({}))).rejects.toMatchObject({ name: "ThrottlingException" });
    await expect(bare.send(new ListKeysCommand({}))).rejects.toMatchObject({ name: "AccessDeniedException" });
    bare.destroy();
  });
});

describe("latency", () => {
  test("comes before the answer, once", async () => {
    const timed = async (): Promise<number> => {
      const start = performance.now();
      await admin.send(new ListKeysCommand({}));
      return performance.now() - start;
    };
    aws.injectFault({ operation: "ListKeys", answer: "latency", times: 1, latencyMs: 400 });
    expect(await timed()).toBeGreaterThanOrEqual(399);
    expect(Math.min(await timed(), await timed(), await timed())).toBeLessThan(400);
  });

  test("goes with a refusal, one after the other", async () => {
    aws.injectFault({ operation: "ListKeys", answer: "latency", times: 2, latencyMs: 5 });
    aws.injectFault({ operation: "ListKeys", answer: "throttle", times: 2 });
    await expect(admin.send(new ListKeysCommand({}))).rejects.toMatchObject({ name: "ThrottlingException" });
    await admin.send(new ListKeysCommand({}));
  });

  test("a client that does not wait is not waited for", async () => {
    aws.injectFault({ operation: "ListKeys", answer: "latency", times: 1, latencyMs: 600_000 });
    const abortSignal = AbortSignal.timeout(500);
    await expect(admin.send(new ListKeysCommand({}), { abortSignal })).rejects.toMatchObject({ name: "AbortError" });
    await admin.send(new ListKeysCommand({}));
  });

  test("what waits is served when the faults are dropped", async () => {
    const queue = new FaultQueue();
    for (const round of [1, 2]) {
      queue.inject({ operation: "*", answer: "latency", times: 1, latencyMs: 600_000 });
      const call = queue.play({ operation: "ListKeys", connection: {} }).then(() => round);
      queue.clear();
      expect(await call).toBe(round);
    }
  });

  test("what waits ends when the emulator closes", async () => {
    const other = await startTestbed({ now: () => new Date() });
    const client = clientOf(other, "admin");
    other.injectFault({ operation: "ListKeys", answer: "latency", times: 1, latencyMs: 600_000 });
    const abortSignal = AbortSignal.timeout(200);
    await expect(client.send(new ListKeysCommand({}), { abortSignal })).rejects.toMatchObject({ name: "AbortError" });
    client.destroy();
    await other.close();
    const queue = new FaultQueue();
    queue.inject({ operation: "*", answer: "latency", times: 1, latencyMs: 600_000 });
    const call = queue.play({ operation: "ListKeys", connection: {} });
    queue[Symbol.dispose]();
    await expect(call).rejects.toMatchObject({ error: "ServiceUnavailable", status: 503 });
  });
});
