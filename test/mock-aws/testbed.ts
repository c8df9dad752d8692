/**
 * A mock AWS with two accounts, and unmodified SDK clients for its callers.
 *
 * Documents here are JSON that the fake verifier reads: the emulator's judgement of *verified* claims is tested apart
 * from their verification. `genuine.test.ts` runs the project's verifier on documents that AWS signed.
 */
import { constants, createDecipheriv, generateKeyPairSync, type KeyObject, privateDecrypt } from "node:crypto";
import { Agent } from "node:https";
import { KMSClient, type RecipientInfo } from "@aws-sdk/client-kms";
import { NodeHttpHandler } from "@smithy/node-http-handler";
import { newCredentials } from "../../mock/aws/credentials.ts";
import { type MockAws, startEmulator } from "../../mock/aws/emulator.ts";
import type { PolicyDocument } from "../../mock/aws/iam/policy.ts";
import type { MockAwsOptions } from "../../mock/aws/options.ts";
import type { AuthenticateDocument } from "../../mock/aws/trust.ts";
import { fromHex, utf8 } from "../../shared/bytes.ts";
import { AttestationError } from "../../shared/errors/index.ts";

export const OWNER = "111122223333";
export const OTHER = "444455556666";
export const REGION = "eu-central-1";
export const NOW = new Date("2026-03-01T12:00:00.000Z");
export const PCR0 = "ab".repeat(48);
export const ZERO = "00".repeat(48);

export const identities = {
  admin: newCredentials(),
  enclave: newCredentials(),
  bare: newCredentials(),
  partner: newCredentials(),
};
export type Who = keyof typeof identities;

export function allow(action: string | string[], resource = "*"): PolicyDocument {
  return { Version: "2012-10-17", Statement: [{ Effect: "Allow", Action: action, Resource: resource }] };
}

/** Roles: `admin` may do all in IAM, `enclave` and `bare` nothing; `partner` of the other account may do all. */
export function options(overrides: Partial<MockAwsOptions> = {}): MockAwsOptions {
  const role = (name: Who, identityPolicies: PolicyDocument[]) => ({
    type: "role" as const,
    name,
    identityPolicies,
    credentials: [{ ...identities[name], sessionName: "i-0abc" }],
  });
  return {
    accounts: [
      { accountId: OWNER, principals: [role("admin", [allow("kms:*")]), role("enclave", []), role("bare", [])] },
      { accountId: OTHER, principals: [role("partner", [allow("kms:*")])] },
    ],
    regions: [REGION, "us-east-1"],
    attestationRoots: [],
    now: () => NOW,
    ...overrides,
  };
}

export function startTestbed(overrides: Partial<MockAwsOptions> = {}): Promise<MockAws> {
  const onBug = (error: unknown): never => {
    throw error;
  };
  return startEmulator(options(overrides), { authenticate: readFakeDocument, nodeEnv: "test", onBug });
}

export function clientOf(aws: MockAws, who: Who, region = REGION): KMSClient {
  return new KMSClient({
    endpoint: aws.url,
    region,
    credentials: identities[who],
    maxAttempts: 2,
    requestHandler: new NodeHttpHandler({ httpsAgent: new Agent({ ca: aws.caCertificatePem }) }),
  });
}

export interface FakeDocument {
  readonly kind?: "nsm" | "nitrotpm";
  /** Register → hex. */
  readonly pcrs?: Readonly<Record<number, string>>;
  readonly ageMs?: number;
  readonly publicKey?: Uint8Array | undefined;
}

export interface RsaPair {
  readonly privateKey: KeyObject;
  readonly spki: Uint8Array;
}

export function rsaPair(modulusLength = 2048): RsaPair {
  const { privateKey, publicKey } = generateKeyPairSync("rsa", { modulusLength });
  return { privateKey, spki: publicKey.export({ format: "der", type: "spki" }) };
}

export function fakeDocument({ kind = "nsm", pcrs = { 0: PCR0 }, ageMs = 1000, publicKey }: FakeDocument): Uint8Array {
  const key = publicKey && Buffer.from(publicKey).toString("hex");
  return utf8(JSON.stringify({ kind, pcrs, timestamp: NOW.getTime() - ageMs, publicKey: key }));
}

export const readFakeDocument: AuthenticateDocument = async (document) => {
  const text = new TextDecoder().decode(document);
  if (!text.startsWith("{")) throw new AttestationError("ERR_ATTESTATION_SIGNATURE", {});
  const { kind, pcrs, timestamp, publicKey } = JSON.parse(text) as {
    kind: "nsm" | "nitrotpm";
    pcrs: Record<string, string>;
    timestamp: number;
    publicKey?: string;
  };
  return {
    kind,
    moduleId: "i-0abc-enc0123",
    timestamp: new Date(timestamp),
    pcrs: new Map(Object.entries(pcrs).map(([index, hex]) => [Number(index), fromHex(hex)])),
    ...(publicKey === undefined ? {} : { publicKey: fromHex(publicKey) }),
  };
};

export const RECIPIENT_ALGORITHM = { KeyEncryptionAlgorithm: "RSAES_OAEP_SHA_256" } as const;

/** Of an enclave that holds the pair. */
export function recipientOf({ spki }: RsaPair, document: FakeDocument = {}): RecipientInfo {
  return { ...RECIPIENT_ALGORITHM, AttestationDocument: fakeDocument({ publicKey: spki, ...document }) };
}

/**
 * Opens a `CiphertextForRecipient` by its fixed offsets: a reader that shares nothing with the writer. The length of the
 * ciphertext has one byte, or three.
 */
export function openByOffsets(message: Uint8Array | undefined, { privateKey }: RsaPair): Buffer {
  const bytes = Buffer.from(message ?? []);
  const wrapped = { key: privateKey, padding: constants.RSA_PKCS1_OAEP_PADDING, oaepHash: "sha256" };
  const contentKey = privateDecrypt(wrapped, bytes.subarray(131, 387));
  const decipher = createDecipheriv("aes-256-cbc", contentKey, bytes.subarray(415, 431));
  const start = bytes[434] === 0x81 ? 436 : 435;
  return Buffer.concat([decipher.update(bytes.subarray(start, -10)), decipher.final()]);
}

/** The name of what an SDK call was refused with, or `accepted`. */
export async function answerTo(call: Promise<unknown>): Promise<string> {
  return call.then(
    () => "accepted",
    (error: Error) => error.name,
  );
}

export function arnOf(role: Who): string {
  return `arn:aws:iam::${role === "partner" ? OTHER : OWNER}:role/${role}`;
}

/** Statements of a key policy: the account root may administer, the rest is the test's. */
export function keyPolicy(...statements: readonly object[]): string {
  const root = {
    Sid: "root",
    Effect: "Allow",
    Principal: { AWS: `arn:aws:iam::${OWNER}:root` },
    Action: "kms:*",
    Resource: "*",
  };
  return JSON.stringify({ Version: "2012-10-17", Statement: [root, ...statements] });
}

/** The attested statement that a key policy for an enclave has. */
export function attestedStatement(who: Who, conditions: object): object {
  return {
    Sid: "attested",
    Effect: "Allow",
    Principal: { AWS: arnOf(who) },
    Action: ["kms:Decrypt", "kms:GenerateDataKey"],
    Resource: "*",
    Condition: conditions,
  };
}
