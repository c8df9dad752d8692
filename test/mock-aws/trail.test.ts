/** The audit trail: CloudTrail's shape for every kind of caller, both accounts, no secrets, looked through and followed. */
import {
  CreateAliasCommand,
  CreateKeyCommand,
  DecryptCommand,
  DescribeKeyCommand,
  EncryptCommand,
  GenerateDataKeyCommand,
  type KMSClient,
  SignCommand,
} from "@aws-sdk/client-kms";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { uniqueId } from "../../mock/aws/credentials.ts";
import type { MockAws } from "../../mock/aws/emulator.ts";
import type { Caller } from "../../mock/aws/iam/principal.ts";
import { userIdentityOf } from "../../mock/aws/trail-identity.ts";
import { TrailLog } from "../../mock/aws/trail-log.ts";
import {
  arnOf,
  clientOf,
  keyPolicy,
  OTHER,
  OWNER,
  PCR0,
  REGION,
  recipientOf,
  rsaPair,
  startTestbed,
} from "./testbed.ts";

const pair = rsaPair();
const SECRET = Buffer.from("a plaintext that nobody logs");

let aws: MockAws;
let admin: KMSClient;
let partner: KMSClient;
let bare: KMSClient;
let keyArn: string;
beforeAll(async () => {
  aws = await startTestbed();
  [admin, partner, bare] = [clientOf(aws, "admin"), clientOf(aws, "partner"), clientOf(aws, "bare")];
  const shared = {
    Sid: "shared",
    Effect: "Allow",
    Principal: { AWS: arnOf("partner") },
    Action: "kms:*",
    Resource: "*",
  };
  const made = await admin.send(new CreateKeyCommand({ Policy: keyPolicy(shared) }));
  keyArn = made.KeyMetadata?.Arn ?? "";
});
afterAll(async () => {
  for (const client of [admin, partner, bare]) client.destroy();
  await aws.close();
});

const ROLE_ID = uniqueId("AROA", arnOf("admin"));

describe("events", () => {
  test("an attested Decrypt has CloudTrail's members, and no others", async () => {
    const { CiphertextBlob } = await admin.send(new EncryptCommand({ KeyId: keyArn, Plaintext: SECRET }));
    const Recipient = recipientOf(pair);
    const EncryptionContext = undefined;
    await admin.send(new DecryptCommand({ CiphertextBlob, Recipient, KeyId: keyArn, EncryptionContext }));
    const { event } = aws.trail().at(-1) ?? expect.unreachable();
    expect(event).toEqual({
      eventVersion: "1.11",
      userIdentity: {
        type: "AssumedRole",
        principalId: `${ROLE_ID}:i-0abc`,
        arn: `arn:aws:sts::${OWNER}:assumed-role/admin/i-0abc`,
        accountId: OWNER,
        accessKeyId: expect.stringMatching(/^ASIA/),
        sessionContext: {
          sessionIssuer: {
            ...{ type: "Role", principalId: ROLE_ID, arn: arnOf("admin"), accountId: OWNER, userName: "admin" },
          },
          attributes: { mfaAuthenticated: "false" },
        },
      },
      eventTime: "2026-03-01T12:00:00Z",
      eventSource: "kms.amazonaws.com",
      eventName: "Decrypt",
      awsRegion: REGION,
      sourceIPAddress: "127.0.0.1",
      userAgent: expect.stringContaining("aws-sdk-js"),
      requestParameters: { keyId: keyArn, encryptionAlgorithm: "SYMMETRIC_DEFAULT" },
      responseElements: null,
      additionalEventData: {
        recipient: {
          attestationDocumentModuleId: "i-0abc-enc0123",
          attestationDocumentEnclaveImageDigest: Buffer.from(PCR0, "hex").toString("base64"),
        },
      },
      requestID: expect.stringMatching(/^[0-9a-f-]{36}$/),
      eventID: expect.stringMatching(/^[0-9a-f-]{36}$/),
      readOnly: true,
      resources: [{ accountId: OWNER, type: "AWS::KMS::Key", ARN: keyArn }],
      eventType: "AwsApiCall",
      managementEvent: true,
      recipientAccountId: OWNER,
      eventCategory: "Management",
      tlsDetails: {
        ...{ tlsVersion: "TLSv1.3", cipherSuite: expect.stringContaining("TLS_") },
        clientProvidedHostHeader: expect.stringMatching(/^127\.0\.0\.1:\d+$/),
      },
    });
  });

  test("a denied call is the caller's account's only, with AWS's message and no parameters", async () => {
    const before = aws.trail().length;
    await expect(bare.send(new EncryptCommand({ KeyId: keyArn, Plaintext: SECRET }))).rejects.toThrow();
    const events = aws
      .trail()
      .slice(before)
      .map(({ event }) => event);
    expect(events.length).toBe(1);
    expect(events[0]).toMatchObject({
      errorCode: "AccessDenied",
      errorMessage: expect.stringContaining("is not authorized to perform: kms:Encrypt on resource"),
      ...{ requestParameters: null, responseElements: null, recipientAccountId: OWNER },
    });
  });

  test("use across accounts: two events, one sharedEventID; the owner learns account and id, no name", async () => {
    await partner.send(new DescribeKeyCommand({ KeyId: keyArn }));
    const [own, owners] = aws
      .trail()
      .slice(-2)
      .map(({ event }) => event);
    expect([own?.recipientAccountId, owners?.recipientAccountId]).toEqual([OTHER, OWNER]);
    expect(own?.sharedEventID).toMatch(/^[0-9a-f-]{36}$/);
    expect(owners?.sharedEventID).toBe(own?.sharedEventID);
    expect(own?.userIdentity).toMatchObject({ type: "AssumedRole", accountId: OTHER });
    expect(owners?.userIdentity).toEqual({
      ...{ type: "AWSAccount", accountId: OTHER, principalId: `${uniqueId("AROA", arnOf("partner"))}:i-0abc` },
    });
  });

  test("plaintext, messages, ciphertexts and documents are in no event", async () => {
    const Recipient = recipientOf(pair);
    const signing = await admin.send(new CreateKeyCommand({ KeySpec: "ECC_NIST_P256", KeyUsage: "SIGN_VERIFY" }));
    const SigningAlgorithm = "ECDSA_SHA_256";
    const signed = { KeyId: signing.KeyMetadata?.KeyId, Message: SECRET, SigningAlgorithm } as const;
    await admin.send(new SignCommand(signed));
    const key = await admin.send(new GenerateDataKeyCommand({ KeyId: keyArn, KeySpec: "AES_256", Recipient }));
    const written = JSON.stringify(aws.trail().map(({ event }) => event));
    const forbidden = [SECRET, Recipient.AttestationDocument, key.CiphertextBlob, key.CiphertextForRecipient];
    for (const bytes of forbidden)
      for (const encoding of ["utf8", "base64", "hex"] as const)
        expect(written).not.toContain(Buffer.from(bytes ?? expect.unreachable()).toString(encoding));
    for (const name of ["plaintext", "message", 'recipient":{"keyEncryption', "signature"])
      expect(written.toLowerCase()).not.toContain(`"${name}"`);
  });
});

describe("userIdentity", () => {
  const base = { partition: "aws", accountId: OWNER, accessKeyId: "AKIA0000000000000001", context: new Map() } as const;
  const user = {
    ...base,
    type: "user",
    name: "alice",
    userId: "AIDAALICE",
    principalArn: "",
    arn: "arn:alice",
  } as const;
  const issuerArn = `arn:aws:iam::${OWNER}:user/team/alice`;
  const federated: Caller = {
    ...{ ...base, type: "federated-user", name: "bob", userId: `${OWNER}:bob`, issuerArn },
    ...{ principalArn: "arn:bob", arn: "arn:bob" },
  };
  const issued = new Map([
    ["aws:tokenissuetime", ["2026-03-01T11:00:00.000Z"]],
    ["aws:multifactorauthpresent", ["true"]],
    ["aws:sourceidentity", ["carol"]],
    ["token.example.com:sub", ["subject-1"]],
  ]);
  const provider = `arn:aws:iam::${OWNER}:oidc-provider/token.example.com`;
  const session: Caller = {
    ...{ ...base, type: "role", name: "r", userId: "AROAR:s", principalArn: "arn:role/r", arn: "arn:session" },
    ...{ context: issued, federatedProvider: provider },
  };
  const unsigned = { ...federated, accessKeyId: "", federatedProvider: provider, userId: `${provider}:aud:sub` };

  test.each<[string, Caller, object]>([
    [
      "root",
      { ...base, type: "root", name: "root", userId: OWNER, principalArn: "", arn: "arn:root" },
      { type: "Root", principalId: OWNER, arn: "arn:root", accountId: OWNER, accessKeyId: base.accessKeyId },
    ],
    [
      "a user",
      user,
      {
        type: "IAMUser",
        principalId: "AIDAALICE",
        arn: "arn:alice",
        accountId: OWNER,
        accessKeyId: base.accessKeyId,
        userName: "alice",
      },
    ],
    [
      "a user's session",
      { ...user, context: issued },
      {
        type: "IAMUser",
        sessionContext: {
          attributes: { creationDate: "2026-03-01T11:00:00Z", mfaAuthenticated: "true" },
          sourceIdentity: "carol",
        },
      },
    ],
    [
      "a session from web identity",
      session,
      {
        type: "AssumedRole",
        sessionContext: {
          sessionIssuer: { type: "Role", principalId: "AROAR", userName: "r" },
          webIdFederationData: { federatedProvider: provider, attributes: { "token.example.com:sub": "subject-1" } },
        },
      },
    ],
    [
      "a federated user",
      federated,
      {
        type: "FederatedUser",
        principalId: `${OWNER}:bob`,
        sessionContext: {
          sessionIssuer: {
            type: "IAMUser",
            principalId: uniqueId("AIDA", issuerArn),
            arn: issuerArn,
            userName: "alice",
          },
        },
      },
    ],
    [
      "a web identity before its session",
      unsigned,
      { type: "WebIdentityUser", principalId: `${provider}:aud:sub`, userName: "bob", identityProvider: provider },
    ],
    [
      "a SAML identity before its session",
      { ...unsigned, federatedProvider: `arn:aws:iam::${OWNER}:saml-provider/idp` },
      { type: "SAMLUser", identityProvider: `arn:aws:iam::${OWNER}:saml-provider/idp` },
    ],
    [
      "a service",
      { ...base, type: "service", name: "logs.eu-central-1.amazonaws.com", userId: "", principalArn: "", arn: "" },
      { type: "AWSService", invokedBy: "logs.amazonaws.com" },
    ],
    [
      "a service on a user's behalf",
      { ...user, viaService: "s3.eu-central-1.amazonaws.com" },
      { type: "IAMUser", userName: "alice", invokedBy: "s3.amazonaws.com" },
    ],
  ])("%s", (_who, caller, expected) => {
    const identity = userIdentityOf(caller, OWNER);
    expect(identity).toMatchObject(expected);
    if ("accessKeyId" in expected) expect(identity).toEqual(expected);
    expect(JSON.stringify(identity)).not.toContain("undefined");
  });
});

describe("what a client makes long is kept short", () => {
  test("60 CreateAlias with a name of 900 000 characters leave less than 1 MB", async () => {
    await using small = await startTestbed();
    const client = clientOf(small, "admin");
    const AliasName = `alias/${"n".repeat(900_000)}`;
    const refused = () =>
      client.send(new CreateAliasCommand({ AliasName, TargetKeyId: keyArn })).catch(() => "refused");
    for (let i = 0; i < 60; i++) expect(await refused()).toBe("refused");
    expect(small.trail({ errorCode: "ValidationException" }).length).toBeGreaterThanOrEqual(60); // the SDK repeats some
    expect(JSON.stringify(small.trail()).length).toBeLessThan(1_000_000);
    expect(small.trail()[0]?.event.errorMessage).toHaveLength(1_024);
    client.destroy();
  });

  test("names and values of a context in parameters and in the explanation; parameters above 100 KiB are not there", async () => {
    await using small = await startTestbed();
    const condition = { StringEquals: { "kms:EncryptionContext:team": "blue" } };
    const statement = { Effect: "Allow", Principal: { AWS: arnOf("bare") }, Action: "kms:*", Resource: "*" };
    const client = clientOf(small, "admin");
    const { KeyMetadata: key } = await client.send(
      new CreateKeyCommand({ Policy: keyPolicy({ ...statement, Condition: condition }) }),
    );
    const as = clientOf(small, "bare");
    const encrypt = (who: KMSClient, EncryptionContext: Record<string, string>) =>
      who.send(new EncryptCommand({ KeyId: key?.KeyId, Plaintext: SECRET, EncryptionContext })).catch(() => "refused");
    expect(await encrypt(as, { team: "r".repeat(3_000) })).toBe("refused");
    const { nearest, summary } = small.trail().at(-1)?.explanation.decision ?? expect.unreachable();
    expect([nearest?.failed[0]?.actual[0]?.length, summary.length]).toEqual([256, 1_024]);
    await encrypt(client, { ["n".repeat(2_000)]: "v".repeat(2_000) });
    const [[name = "", value = ""] = []] = Object.entries(contextOf(small));
    expect([name.length, value.length]).toEqual([1_024, 1_024]);
    await encrypt(client, Object.fromEntries(Array.from({ length: 2_000 }, (_, i) => [`name-${i}`, "v".repeat(60)])));
    expect(small.trail().at(-1)?.event.requestParameters).toBeNull();
    for (const each of [client, as]) each.destroy();
  });

  const contextOf = (from: MockAws): Record<string, string> =>
    (from.trail().at(-1)?.event.requestParameters?.["encryptionContext"] ?? {}) as Record<string, string>;

  test("a log keeps the latest records within its size", () => {
    const log = new TrailLog(100_000);
    const big = (eventName: string) =>
      ({ event: { eventName, userIdentity: {}, errorMessage: "x".repeat(1_000) } }) as never;
    for (let i = 0; i < 500; i++) log.record([big(String(i))]);
    const kept = log.list();
    expect(JSON.stringify(kept).length).toBeLessThan(101_000);
    expect([kept.length > 80, kept.at(-1)?.event.eventName]).toEqual([true, "499"]);
  });
});

describe("the log", () => {
  const record = (eventName: string, errorCode?: string) =>
    ({ event: { eventName, errorCode, resources: [], userIdentity: {}, eventTime: "2026-03-01T12:00:00Z" } }) as never;

  test("is looked through by name, outcome, caller and resource", async () => {
    expect(aws.trail({ errorCode: "AccessDenied" }).every(({ event }) => event.errorCode === "AccessDenied")).toBe(
      true,
    );
    expect(aws.trail({ errorCode: "AccessDenied" }).length).toBe(1);
    expect(aws.trail({ eventName: "Sign", errorCode: null }).length).toBe(1);
    expect(aws.trail({ principal: arnOf("partner") }).map(({ event }) => event.eventName)).toEqual(["DescribeKey"]);
    expect(aws.trail({ resource: keyArn, recipientAccountId: OTHER }).length).toBe(1);
    expect(aws.trail({ since: new Date("2026-03-01T12:00:01Z") })).toEqual([]);
  });

  test("keeps the latest ten thousand", () => {
    const log = new TrailLog();
    for (let i = 0; i < 12_500; i++) log.record([record(String(i))]);
    const kept = log.list();
    expect([kept.length, kept[0]?.event.eventName, kept.at(-1)?.event.eventName]).toEqual([10_000, "2500", "12499"]);
  });

  test("whoever follows gets what came before the first look, and no more than a thousand", async () => {
    const log = new TrailLog();
    const following = log.follow({ eventName: "Late" });
    log.record([record("Other"), record("Late")]);
    expect((await following.next()).value?.event.eventName).toBe("Late");
    const slow = log.follow();
    for (let i = 0; i < 1_500; i++) log.record([record(String(i))]);
    expect((await slow.next()).value?.event.eventName).toBe("500");
    const off = new AbortController();
    const never = log.follow({}, off.signal);
    off.abort();
    log.record([record("Late")]);
    expect(await never.next()).toEqual({ done: true, value: undefined });
  });

  test("is followed from now on, until it is called off", async () => {
    const log = new TrailLog();
    log.record([record("Before")]);
    const off = new AbortController();
    const seen: string[] = [];
    const following = (async () => {
      for await (const { event } of log.follow({ errorCode: "AccessDenied" }, off.signal)) {
        seen.push(event.eventName);
        if (seen.length === 2) off.abort();
      }
    })();
    log.record([record("Fine"), record("First", "AccessDenied")]);
    log.record([record("Second", "AccessDenied")]);
    await following;
    log.record([record("Late", "AccessDenied")]);
    expect(seen).toEqual(["First", "Second"]);
  });
});
