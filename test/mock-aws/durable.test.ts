/** A mock AWS that was closed and started again: keys, ciphertexts, grants and STS sessions are what they were. */
import { mkdtemp, rm } from "node:fs/promises";
import { Agent } from "node:https";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { CreateKeyCommand, DecryptCommand, DescribeKeyCommand, EncryptCommand, KMSClient } from "@aws-sdk/client-kms";
import { AssumeRoleCommand, type Credentials, STSClient } from "@aws-sdk/client-sts";
import { NodeHttpHandler } from "@smithy/node-http-handler";
import { afterEach, beforeEach, expect, test } from "vitest";
import type { MockAws } from "../../mock/aws/emulator.ts";
import { isStateError } from "../../shared/errors/index.ts";
import { allow, clientOf, identities, OWNER, options, REGION, startTestbed } from "./testbed.ts";

let directory: string;
beforeEach(async () => void (directory = await mkdtemp(join(tmpdir(), "cloister-durable-"))));
afterEach(() => rm(directory, { recursive: true }));

const secret = { kind: "passphrase", passphrase: "correct horse battery" } as const;
const trusting = {
  type: "role",
  name: "trusting",
  identityPolicies: [allow("kms:*")],
  credentials: [],
  trustPolicy: {
    Version: "2012-10-17",
    Statement: { Effect: "Allow", Principal: { AWS: OWNER }, Action: "sts:AssumeRole" },
  },
} as const;

function start(passphrase: string = secret.passphrase): Promise<MockAws> {
  const { accounts } = options();
  const [owner, ...others] = accounts;
  if (!owner) throw new TypeError("no accounts");
  const admin = { ...owner, principals: [...owner.principals, trusting] };
  const may = admin.principals.map((principal) =>
    principal.name === "admin" ? { ...principal, identityPolicies: [allow(["kms:*", "sts:*"])] } : principal,
  );
  const state = { directory, secret: { ...secret, passphrase } };
  return startTestbed({ accounts: [{ ...admin, principals: may }, ...others], state });
}

const http = (aws: MockAws): NodeHttpHandler =>
  new NodeHttpHandler({ httpsAgent: new Agent({ ca: aws.caCertificatePem }) });

async function assume(aws: MockAws): Promise<Credentials> {
  const sts = new STSClient({
    endpoint: aws.url,
    region: REGION,
    credentials: identities.admin,
    requestHandler: http(aws),
  });
  const RoleArn = `arn:aws:iam::${OWNER}:role/trusting`;
  const { Credentials: made } = await sts.send(new AssumeRoleCommand({ RoleArn, RoleSessionName: "kept" }));
  return made ?? expect.unreachable();
}

function as(aws: MockAws, { AccessKeyId, SecretAccessKey, SessionToken }: Credentials): KMSClient {
  const credentials = {
    accessKeyId: AccessKeyId ?? "",
    secretAccessKey: SecretAccessKey ?? "",
    ...(SessionToken === undefined ? {} : { sessionToken: SessionToken }),
  };
  return new KMSClient({ endpoint: aws.url, region: REGION, credentials, requestHandler: http(aws) });
}

test("a key, its ciphertext and a session are there after a restart", async () => {
  const first = await start();
  const { KeyMetadata: key } = await clientOf(first, "admin").send(new CreateKeyCommand({ Description: "kept" }));
  const session = await assume(first);
  const Plaintext = new TextEncoder().encode("still here");
  const sealed = await as(first, session).send(new EncryptCommand({ KeyId: key?.KeyId, Plaintext }));
  await first.close();

  await using second = await start();
  const described = await clientOf(second, "admin").send(new DescribeKeyCommand({ KeyId: key?.KeyId }));
  expect(described.KeyMetadata).toEqual(key);
  const opened = await as(second, session).send(new DecryptCommand({ CiphertextBlob: sealed.CiphertextBlob }));
  expect(new TextDecoder().decode(opened.Plaintext)).toBe("still here");
});

test("reset leaves nothing behind, after a restart as well", async () => {
  const first = await start();
  const { KeyMetadata: key } = await clientOf(first, "admin").send(new CreateKeyCommand({}));
  const session = await assume(first);
  first.reset();
  await clientOf(first, "admin").send(new CreateKeyCommand({}));
  await first.close();

  await using second = await start();
  const gone = clientOf(second, "admin").send(new DescribeKeyCommand({ KeyId: key?.KeyId }));
  await expect(gone).rejects.toMatchObject({ name: "NotFoundException" });
  const stranger = as(second, session).send(new DescribeKeyCommand({ KeyId: key?.KeyId }));
  await expect(stranger).rejects.toMatchObject({ name: "UnrecognizedClientException" });
});

test("one process at a time, and with the passphrase only", async () => {
  const first = await start();
  const refusal = async (call: Promise<MockAws>): Promise<unknown> =>
    call.then(
      () => expect.unreachable("it started"),
      (error: unknown) => (isStateError(error) ? error.code : error),
    );
  expect(await refusal(start())).toBe("ERR_STATE_LOCKED");
  await first.close();
  expect(await refusal(start("another passphrase"))).toBe("ERR_STATE_SECRET");
  await (await start()).close();
});
