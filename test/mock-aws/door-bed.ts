/**
 * The front door, the host, the directory and STS without KMS: one small JSON service stands in for it, which asks the
 * caller's own policies and says who called. Its clients are the unmodified SDKs.
 */
import { Agent as PlainAgent } from "node:http";
import { Agent } from "node:https";
import { KMSClient } from "@aws-sdk/client-kms";
import { STSClient } from "@aws-sdk/client-sts";
import { NodeHttpHandler } from "@smithy/node-http-handler";
import type { MockAccount } from "../../mock/aws/accounts.ts";
import { makeServerIdentity, type ServerIdentity } from "../../mock/aws/certificates.ts";
import { newCredentials } from "../../mock/aws/credentials.ts";
import { createDirectory, type Directory } from "../../mock/aws/directory.ts";
import { AwsFault } from "../../mock/aws/fault.ts";
import { type Host, type HostOptions, startHost } from "../../mock/aws/host.ts";
import { authorize } from "../../mock/aws/iam/authorize.ts";
import type { PolicyDocument } from "../../mock/aws/iam/policy.ts";
import { endpointHosts } from "../../mock/aws/partition.ts";
import type { Service, ServiceCall } from "../../mock/aws/service.ts";
import { SigningKeys } from "../../mock/aws/sigv4/signing-keys.ts";
import { createSts } from "../../mock/aws/sts/service.ts";
import type { TrailRecord } from "../../mock/aws/trail.ts";

export const ACCOUNT = "111122223333";
export const PARTNER = "444455556666";
export const CHINA = "777788889999";
export const REGION = "eu-central-1";
export const REGIONS: ReadonlySet<string> = new Set([REGION, "us-east-1", "cn-north-1"]);
export const NOW = new Date("2026-03-01T12:00:00.000Z");

export interface Keys {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly sessionToken?: string;
}

export function userKeys(): Keys {
  const { accessKeyId, secretAccessKey } = newCredentials();
  return { accessKeyId: accessKeyId.replace("ASIA", "AKIA"), secretAccessKey };
}

export function allow(action: string | string[], extra: object = {}): PolicyDocument {
  return { Version: "2012-10-17", Statement: [{ Effect: "Allow", Action: action, Resource: "*", ...extra }] };
}

/** Who may assume a role, and how. */
export function trust(
  principal: object,
  action: string | string[] = "sts:AssumeRole",
  extra: object = {},
): PolicyDocument {
  return {
    Version: "2012-10-17",
    Statement: [{ Effect: "Allow", Principal: principal as never, Action: action, ...extra }],
  };
}

/** Answers `GenerateRandom` where the caller's own policies allow it; whatever it was asked is in `calls`. */
export function standIn(calls: ServiceCall[]): Service {
  return {
    signingName: "kms",
    protocol: { kind: "awsJson1_1", targetPrefix: "TrentService" },
    isPresignable: false,
    operations: new Set(["GenerateRandom"]),
    handle: async (call) => {
      calls.push(call);
      const request = {
        caller: call.caller,
        action: "kms:GenerateRandom",
        resource: "*",
        context: call.caller.context,
      };
      const { outcome, because } = authorize(request, call.caller);
      if (outcome !== "allowed") throw new AwsFault("AccessDeniedException", because);
      return { Plaintext: Buffer.from(call.caller.arn).toString("base64") };
    },
  };
}

export interface Bed extends AsyncDisposable {
  readonly url: string;
  readonly port: number;
  readonly identity: ServerIdentity;
  readonly directory: Directory;
  readonly calls: ServiceCall[];
  readonly trail: TrailRecord[];
  /** Milliseconds against `NOW`. */
  offsetMs: number;
  sts(credentials: Keys, region?: string): STSClient;
  kms(credentials: Keys, region?: string): KMSClient;
}

export interface BedOptions extends Partial<Omit<HostOptions, "door" | "identity">> {
  readonly tls?: boolean;
  readonly maxSessions?: number;
  readonly maxSkewMs?: number;
}

let shared: Promise<ServerIdentity> | undefined;

export async function startBed(accounts: readonly MockAccount[], options: BedOptions = {}): Promise<Bed> {
  const { tls = true, maxSessions, maxSkewMs = 300_000, ...host } = options;
  const directory = createDirectory(accounts, maxSessions === undefined ? {} : { maxSessions });
  const calls: ServiceCall[] = [];
  const trail: TrailRecord[] = [];
  const sts = createSts({ directory, record: (records) => trail.push(...records) });
  const hosts = ["kms", "sts"].flatMap((service) => endpointHosts(service, REGIONS));
  shared ??= makeServerIdentity(hosts);
  const identity = await shared;
  const bed = { offsetMs: 0 };
  const { port, close }: Host = await startHost({
    door: { services: [standIn(calls), sts], directory, regions: REGIONS, maxSkewMs, signingKeys: new SigningKeys() },
    identity: tls ? identity : undefined,
    now: () => new Date(NOW.getTime() + bed.offsetMs),
    ...{ listenOn: "127.0.0.1", port: 0, requestTimeoutMs: 2_000, maxConnections: 200 },
    onBug: (error) => {
      throw error;
    },
    ...host,
  });
  const url = `${tls ? "https" : "http"}://127.0.0.1:${port}`;
  const agents = tls
    ? { httpsAgent: new Agent({ ca: identity.caCertificatePem, keepAlive: true }) }
    : { httpAgent: new PlainAgent() };
  const client = (credentials: Keys, region: string) => ({
    ...{ endpoint: url, region, credentials, maxAttempts: 2 },
    requestHandler: new NodeHttpHandler(agents),
  });
  return Object.assign(bed, {
    ...{ url, port, identity, directory, calls, trail },
    sts: (credentials: Keys, region = REGION) => new STSClient(client(credentials, region)),
    kms: (credentials: Keys, region = REGION) => new KMSClient(client(credentials, region)),
    [Symbol.asyncDispose]: close,
  });
}

/** The name of what an SDK call was refused with, or `ok`. */
export async function outcome(call: Promise<unknown>): Promise<string> {
  return call.then(
    () => "ok",
    (error: unknown) => (error instanceof Error ? error.name : "?"),
  );
}
