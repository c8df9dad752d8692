/**
 * The unmodified AWS SDK of an enclave, the mock AWS that knows when credentials end, and all that is between: the
 * metadata service (a double), the parent's provider and service, the enclave's provider. Time is the test's.
 */
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { GenerateRandomCommand, KMSClient } from "@aws-sdk/client-kms";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { parentCredentials } from "../../../enclave/egress/credentials.ts";
import { newCredentials } from "../../../mock/aws/credentials.ts";
import type { MockAws } from "../../../mock/aws/emulator.ts";
import { startCredentials } from "../../../parent/credentials/credentials.ts";
import { fromInstanceRole } from "../../../parent/credentials/instance-role.ts";
import { refreshing } from "../../../parent/credentials/refreshing.ts";
import type { ListeningService } from "../../../parent/observability/observe.ts";
import { addressOf } from "../../../shared/transport/address.ts";
import { CREDENTIALS_PORT } from "../../../shared/transport/ports.ts";
import { allow, OWNER, REGION, startTestbed } from "../../mock-aws/testbed.ts";
import { codeOf } from "../../transport/streams.ts";
import { cleanups, freshPeer, transport } from "../fixture.ts";

const START = Date.parse("2026-05-01T12:00:00Z");
const MINUTE = 60_000;
/** A new generation each half hour, each good for an hour. */
const GENERATIONS = Array.from({ length: 14 }, (_, i) => {
  return { ...newCredentials(), sessionName: "i-0abc", expiresAt: new Date(START + (i * 30 + 60) * MINUTE) };
});

const parent = freshPeer();
const clocks = { now: () => new Date(), monotonicMs: () => Date.now() };
let aws: MockAws;
let metadata: Server;
let metadataAway = false;
let service: ListeningService | undefined;

const pass = (ms: number): void => void vi.setSystemTime(Date.now() + ms);
const minute = (): number => (Date.now() - START) / MINUTE;

function generation(): (typeof GENERATIONS)[number] {
  const current = GENERATIONS[Math.floor(minute() / 30)];
  if (!current) throw new Error("the test outlasts its credentials");
  return current;
}

async function startParent(): Promise<void> {
  const { port } = metadata.address() as AddressInfo;
  const provide = refreshing(fromInstanceRole({ endpoint: `http://127.0.0.1:${port}` }), clocks);
  service = await startCredentials({ transport, address: addressOf(parent, CREDENTIALS_PORT), provide, log: () => {} });
}

async function stopParent(): Promise<void> {
  await service?.close();
  service = undefined;
}

/** As an enclave that has just started makes it. */
function client(rest = async (ms: number): Promise<void> => pass(ms)): KMSClient {
  const credentials = parentCredentials({ transport, parent, ...clocks, rest });
  const made = new KMSClient({ region: REGION, endpoint: aws.url, credentials, maxAttempts: 1 });
  cleanups.push(() => made.destroy());
  return made;
}

const call = (kms: KMSClient): Promise<unknown> => kms.send(new GenerateRandomCommand({ NumberOfBytes: 16 }));

beforeEach(async () => {
  vi.useFakeTimers({ toFake: ["Date"], now: START });
  metadataAway = false;
  const principals = [
    { type: "role" as const, name: "app", identityPolicies: [allow("kms:GenerateRandom")], credentials: GENERATIONS },
  ];
  aws = await startTestbed({ accounts: [{ accountId: OWNER, principals }], now: () => new Date(), tls: false });
  metadata = createServer(({ method, url }, response) => {
    const { accessKeyId, secretAccessKey, sessionToken, expiresAt } = generation();
    const identity = { AccessKeyId: accessKeyId, SecretAccessKey: secretAccessKey, Token: sessionToken };
    const answer = { Code: "Success", ...identity, Expiration: expiresAt.toISOString().replace(".000Z", "Z") };
    if (metadataAway) response.writeHead(503).end();
    else if (method === "PUT") response.end("token");
    else response.end(url?.endsWith("/") ? "app" : JSON.stringify(answer));
  });
  await new Promise<void>((resolve) => metadata.listen(0, "127.0.0.1", resolve));
  await startParent();
});
afterEach(async () => {
  await stopParent();
  metadata.closeAllConnections();
  metadata.close();
  await aws.close();
});

/** Whose calls AWS took. */
function keysSeen(): Set<unknown> {
  const taken = aws.trail({ eventName: "GenerateRandom", errorCode: null });
  return new Set(taken.map(({ event }) => (event.userIdentity as { accessKeyId?: unknown }).accessKeyId));
}

describe("the AWS SDK in an enclave", () => {
  test("six hours: the role's credentials end six times, their source and the parent go and come back; no call fails", async () => {
    let kms = client();
    let calls = 0;
    for (; minute() < 360; pass(MINUTE)) {
      const now = minute();
      // Away for nine of the ten minutes before each end.
      metadataAway = now % 60 >= 50 && now % 60 < 59;
      if (now % 97 === 40) await stopParent();
      if (now % 97 === 44) await startParent();
      if (now % 131 === 30) kms = client(); // the enclave restarts
      await call(kms);
      calls++;
    }
    expect(calls).toBe(360);
    expect(keysSeen().size).toBeGreaterThanOrEqual(6);
  }, 60_000);

  test("the source is away beyond the end: callers wait, and the first that can be had serves them all", async () => {
    const rests: number[] = [];
    const kms = client(async (ms) => {
      rests.push(ms);
      pass(ms);
      if (rests.length === 4) metadataAway = false;
      await new Promise(setImmediate);
    });
    await call(kms);
    metadataAway = true;
    pass(60 * MINUTE + 1_000);
    await Promise.all(Array.from({ length: 5 }, () => call(kms)));
    expect(rests.length).toBeGreaterThanOrEqual(4);
    expect(keysSeen().size).toBe(2);
  });

  test("the parent is away beyond the end, and an enclave starts before its parent does", async () => {
    const kms = client();
    await call(kms);
    await stopParent();
    pass(60 * MINUTE + 1_000);
    let rests = 0;
    const fresh = client(async (ms) => {
      pass(ms);
      if (++rests === 3) await startParent();
    });
    await call(fresh);
    await call(kms);
    expect(keysSeen().size).toBe(2);
  });

  test("the mock AWS does refuse what has ended, and a parent that stays away is told as what it is", async () => {
    const first = GENERATIONS[0];
    if (!first) throw new Error("no generation");
    const { accessKeyId, secretAccessKey, sessionToken } = first;
    const stale = new KMSClient({
      region: REGION,
      endpoint: aws.url,
      credentials: { accessKeyId, secretAccessKey, sessionToken },
    });
    cleanups.push(() => stale.destroy());
    await call(stale);
    pass(60 * MINUTE);
    await expect(call(stale)).rejects.toMatchObject({ name: "ExpiredTokenException" });
    await stopParent();
    expect(await codeOf(call(client()))).toBe("ERR_TRANSPORT_UNREACHABLE");
  });
});
