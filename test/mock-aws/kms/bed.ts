/**
 * KMS in two ways: behind the emulator's HTTPS for the unmodified SDK, and as the bare service, where callers can come
 * that no client can be, such as services, and where a call costs nothing.
 */
import { Agent } from "node:https";
import { type CreateKeyCommandInput, KMS, type KMSServiceException } from "@aws-sdk/client-kms";
import { NodeHttpHandler } from "@smithy/node-http-handler";
import { afterAll, beforeAll } from "vitest";
import { createDirectory } from "../../../mock/aws/directory.ts";
import type { MockAws } from "../../../mock/aws/emulator.ts";
import type { JsonObject } from "../../../mock/aws/json.ts";
import { FaultQueue } from "../../../mock/aws/kms/faults.ts";
import { createKms } from "../../../mock/aws/kms/service.ts";
import { closeKmsState, type KmsState, type MockKmsOptions, openKmsState } from "../../../mock/aws/kms/state.ts";
import type { MockAwsOptions } from "../../../mock/aws/options.ts";
import type { AuthenticatedCaller } from "../../../mock/aws/service.ts";
import { Database } from "../../../mock/aws/state/database.ts";
import type { TrailRecord } from "../../../mock/aws/trail.ts";
import { identities, NOW, options, REGION, readFakeDocument, startTestbed, type Who } from "../testbed.ts";

export const DAY_MS = 86_400_000;

export interface KmsBed extends AsyncDisposable {
  readonly aws: MockAws;
  /** An SDK client. */
  as(who: Who, region?: string): KMS;
}

/** The clock stands still, and a client's need not agree with it. */
export async function startKmsBed(overrides: Partial<MockAwsOptions> = {}): Promise<KmsBed> {
  const aws = await startTestbed({ maxClockSkewMs: Number.MAX_SAFE_INTEGER, ...overrides });
  const httpsAgent = new Agent({ ca: aws.caCertificatePem, keepAlive: true });
  const clients = new Map<string, KMS>();
  const clientOf = (who: Who, region: string): KMS => {
    const requestHandler = new NodeHttpHandler({ httpsAgent });
    const credentials = identities[who];
    return new KMS({ endpoint: aws.url, region, credentials, maxAttempts: 1, requestHandler });
  };
  return {
    aws,
    as: (who, region = REGION) => {
      const known = clients.get(`${who} ${region}`) ?? clientOf(who, region);
      clients.set(`${who} ${region}`, known);
      return known;
    },
    [Symbol.asyncDispose]: async () => {
      for (const client of clients.values()) client.destroy();
      httpsAgent.destroy();
      await aws.close();
    },
  };
}

export interface FileBed {
  as(who: Who, region?: string): KMS;
  admin(region?: string): KMS;
  bare(): KMS;
  /** The ARN of a key that `admin` makes. */
  newKey(input?: CreateKeyCommandInput): Promise<string>;
}

/** One bed for the tests of a file: started before the first of them, closed behind the last. */
export function bedOfFile(overrides: Partial<MockAwsOptions> = {}): FileBed {
  let bed: KmsBed | undefined;
  beforeAll(async () => {
    bed = await startKmsBed(overrides);
  });
  afterAll(() => bed?.[Symbol.asyncDispose]());
  const as: KmsBed["as"] = (...given) => present(bed).as(...given);
  return {
    as,
    admin: (region) => as("admin", region),
    bare: () => as("bare"),
    newKey: async (input = {}) => present((await as("admin").createKey(input)).KeyMetadata?.Arn),
  };
}

/** What a call was refused with. */
export async function refusal(call: Promise<unknown>): Promise<{ readonly name: string; readonly message: string }> {
  const error = await call.then(
    () => undefined,
    (thrown: KMSServiceException) => thrown,
  );
  if (!error) throw new Error("it was accepted");
  const { name, message, $metadata } = error;
  if ($metadata?.httpStatusCode !== 400) throw error;
  return { name, message };
}

/** The name of what a call was refused with, or `ok`. */
export async function outcome(call: Promise<unknown>): Promise<string> {
  return call.then(
    () => "ok",
    (error: Error & { error?: string }) => error.error ?? error.name,
  );
}

export function present<Value>(value: Value | undefined): Value {
  if (value === undefined) throw new Error("a member is missing");
  return value;
}

export interface BareKms extends AsyncDisposable {
  readonly state: KmsState;
  readonly trail: TrailRecord[];
  /** Milliseconds after `NOW`. */
  at: number;
  caller(who: Who): AuthenticatedCaller;
  call(caller: AuthenticatedCaller, operation: string, input: JsonObject, region?: string): Promise<JsonObject>;
}

export function openBareKms(kmsOptions: MockKmsOptions = {}, overrides: Partial<MockAwsOptions> = {}): BareKms {
  const { accounts, regions } = options(overrides);
  const directory = createDirectory(accounts);
  const authenticate = (document: Uint8Array, now: Date) => readFakeDocument(document, [], now);
  const state = openKmsState({
    ...{ database: Database.inMemory(), directory, faults: new FaultQueue() },
    ...{ regions: new Set(regions), options: kmsOptions },
    recipientRules: { verifyDocument: authenticate, maxDocumentAgeMs: 300_000 },
  });
  const trail: TrailRecord[] = [];
  const service = createKms({ state, record: (records) => trail.push(...records) });
  let requests = 0;
  const bed: BareKms = {
    state,
    trail,
    at: 0,
    caller: (who) => present(directory.find(identities[who].accessKeyId)).caller,
    call: (caller, operation, input, region = REGION) =>
      service.handle({
        ...{ caller, operation, input, region },
        now: new Date(NOW.getTime() + bed.at),
        requestId: `request-${++requests}`,
        connection: { sourceIp: "192.0.2.1", userAgent: "test", host: "kms", tlsVersion: "TLSv1.3", cipherSuite: "" },
      } as Parameters<typeof service.handle>[0]),
    [Symbol.asyncDispose]: () => closeKmsState(state),
  };
  return bed;
}
