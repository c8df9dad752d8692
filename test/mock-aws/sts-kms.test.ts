/** From STS to KMS in one emulated AWS: the credentials of an assumed role are a caller that key policies know. */
import { Agent } from "node:https";
import {
  CreateKeyCommand,
  DecryptCommand,
  EncryptCommand,
  GenerateRandomCommand,
  KMSClient,
} from "@aws-sdk/client-kms";
import { AssumeRoleCommand, GetSessionTokenCommand, STSClient } from "@aws-sdk/client-sts";
import { NodeHttpHandler } from "@smithy/node-http-handler";
import { expect, test } from "vitest";
import { oneTimeCode } from "../../mock/aws/sts/one-time-code.ts";
import { allow, type Keys, outcome, trust, userKeys } from "./door-bed.ts";
import { NOW, OTHER, OWNER, REGION, startTestbed } from "./testbed.ts";

test("a key policy that names a role opens to its session, across accounts, and to no other", async () => {
  const keys = { owner: userKeys(), partner: userKeys() };
  const role = (name: string) => ({
    ...{ type: "role" as const, name, identityPolicies: [allow("kms:*")], credentials: [] },
    trustPolicy: trust({ AWS: OTHER }),
  });
  await using aws = await startTestbed({
    accounts: [
      {
        accountId: OWNER,
        principals: [{ type: "user", name: "owner", identityPolicies: [allow("kms:*")], credentials: [keys.owner] }],
      },
      {
        accountId: OTHER,
        principals: [
          { type: "user", name: "partner", identityPolicies: [allow("*")], credentials: [keys.partner] },
          role("reader"),
          role("stranger"),
        ],
      },
    ],
    now: () => NOW,
  });
  const client = (credentials: Keys) => ({
    ...{ endpoint: aws.url, region: REGION, credentials, maxAttempts: 2 },
    requestHandler: new NodeHttpHandler({ httpsAgent: new Agent({ ca: aws.caCertificatePem }) }),
  });
  const become = async (name: string): Promise<KMSClient> => {
    const input = { RoleArn: `arn:aws:iam::${OTHER}:role/${name}`, RoleSessionName: "night-run" };
    const { Credentials: given } = await new STSClient(client(keys.partner)).send(new AssumeRoleCommand(input));
    const {
      AccessKeyId: accessKeyId = "",
      SecretAccessKey: secretAccessKey = "",
      SessionToken: sessionToken = "",
    } = given ?? {};
    return new KMSClient(client({ accessKeyId, secretAccessKey, sessionToken }));
  };
  const Principal = { AWS: [`arn:aws:iam::${OWNER}:root`, `arn:aws:iam::${OTHER}:role/reader`] };
  const Policy = JSON.stringify(trust(Principal, "kms:*", { Resource: "*" }));
  const owner = new KMSClient(client(keys.owner));
  const { KeyMetadata: metadata } = await owner.send(new CreateKeyCommand({ Policy }));
  const plaintext = Buffer.from("for the reader");
  const sealed = await owner.send(new EncryptCommand({ KeyId: metadata?.Arn, Plaintext: plaintext }));
  const open = new DecryptCommand({ CiphertextBlob: sealed.CiphertextBlob, KeyId: metadata?.Arn });
  const reader = await become("reader");
  expect(Buffer.from((await reader.send(open)).Plaintext ?? [])).toEqual(plaintext);
  expect(await outcome((await become("stranger")).send(open))).toBe("AccessDeniedException");
});

test("the age of MFA grows in KMS, for a user's session and a role's", async () => {
  const keys = userKeys();
  const [seed, serialNumber] = ["GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ", `arn:aws:iam::${OWNER}:mfa/alice`];
  const recent = allow(["kms:*", "sts:*"], { Condition: { NumericLessThan: { "aws:MultiFactorAuthAge": "600" } } });
  const mfaDevices = [{ serialNumber, seed }];
  const user = { type: "user" as const, name: "alice", credentials: [keys], mfaDevices };
  const role = { type: "role" as const, name: "careful", credentials: [], identityPolicies: [recent] };
  await using aws = await startTestbed({
    accounts: [
      {
        accountId: OWNER,
        principals: [
          { ...user, identityPolicies: [recent, allow("sts:AssumeRole")] },
          { ...role, trustPolicy: trust({ AWS: OWNER }) },
        ],
      },
    ],
    now: () => NOW,
  });
  const client = (credentials: Keys) => ({
    ...{ endpoint: aws.url, region: REGION, credentials, maxAttempts: 2 },
    requestHandler: new NodeHttpHandler({ httpsAgent: new Agent({ ca: aws.caCertificatePem }) }),
  });
  const sts = new STSClient(client(keys));
  const mfa = (ago: number) => ({
    ...{ SerialNumber: serialNumber, TokenCode: oneTimeCode(seed, NOW.getTime() / 30_000 - ago) },
  });
  const RoleArn = `arn:aws:iam::${OWNER}:role/careful`;
  const answers = [
    await sts.send(new GetSessionTokenCommand(mfa(0))),
    await sts.send(new AssumeRoleCommand({ RoleArn, RoleSessionName: "with-mfa", ...mfa(1) })),
    await sts.send(new AssumeRoleCommand({ RoleArn, RoleSessionName: "without" })),
  ];
  const use = (): Promise<string[]> =>
    Promise.all(
      answers.map(({ Credentials: given }) => {
        const { AccessKeyId = "", SecretAccessKey = "", SessionToken = "" } = given ?? {};
        const session = { accessKeyId: AccessKeyId, secretAccessKey: SecretAccessKey, sessionToken: SessionToken };
        return outcome(new KMSClient(client(session)).send(new GenerateRandomCommand({ NumberOfBytes: 1 })));
      }),
    );
  expect(await use()).toEqual(["ok", "ok", "AccessDeniedException"]);
  aws.advanceClock(599_000);
  expect(await use()).toEqual(["ok", "ok", "AccessDeniedException"]);
  aws.advanceClock(1_000);
  expect(await use()).toEqual(Array.from({ length: 3 }, () => "AccessDeniedException"));
});
