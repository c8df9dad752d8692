/** What a cache of data keys spares KMS, counted where KMS counts: in the audit trail. */
import { Agent } from "node:https";
import { KMS } from "@aws-sdk/client-kms";
import { NodeHttpHandler } from "@smithy/node-http-handler";
import { expect, test } from "vitest";
import { createMaterialsCache } from "../../../enclave/data/materials-cache.ts";
import { attested } from "../../../enclave/kms/attested.ts";
import { createMockNsm, newCredentials, startMockAws } from "../../../mock/testing.ts";
import { open, seal } from "../../../shared/envelope/sealed.ts";

const REGION = "eu-central-1";
const ACCOUNT = "111122223333";
const COUNT = 1_000;

test(`${COUNT} messages sealed and opened by an attested client take 99 % fewer calls with a cache`, async () => {
  const pcr = (byte: number): Uint8Array => new Uint8Array(48).fill(byte);
  const nsm = await createMockNsm({ measurements: { pcr0: pcr(1), pcr1: pcr(2), pcr2: pcr(3) } });
  const credentials = newCredentials();
  const policy = { Version: "2012-10-17", Statement: [{ Effect: "Allow", Action: "kms:*", Resource: "*" }] } as const;
  const role = { type: "role", name: "enclave", identityPolicies: [policy], credentials: [credentials] } as const;
  const aws = await startMockAws({
    ...{ regions: [REGION], attestationRoots: [nsm.rootCertificate] },
    accounts: [{ accountId: ACCOUNT, principals: [role] }],
  });
  const httpsAgent = new Agent({ ca: aws.caCertificatePem, keepAlive: true });
  const requestHandler = new NodeHttpHandler({ httpsAgent });
  const kms = new KMS({ endpoint: aws.url, region: REGION, credentials, requestHandler });
  const { KeyMetadata } = await kms.createKey({});
  kms.middlewareStack.use(attested({ nsm: nsm.device }));
  using cache = createMaterialsCache({ maxAgeMs: 60_000, capacity: 10, partition: "app" });
  const access = { kms, keyArn: KeyMetadata?.Arn ?? "", context: { dataset: "rows" }, materials: cache };
  const messages = await Promise.all(
    Array.from({ length: COUNT }, (_, index) => seal(new Uint8Array([index & 0xff]), access)),
  );
  const opened = await Promise.all(messages.map((message) => open(message, { ...access, dataset: "rows" })));
  expect(opened.map(([first]) => first)).toEqual(Array.from({ length: COUNT }, (_, index) => index & 0xff));
  const calls = ["GenerateDataKey", "Decrypt"].map((eventName) => aws.trail({ eventName }).length);
  expect(calls).toEqual([1, 1]);
  expect((calls[0] ?? 0) + (calls[1] ?? 0)).toBeLessThanOrEqual(0.01 * 2 * COUNT);
  kms.destroy();
  httpsAgent.destroy();
  await aws.close();
}, 60_000);
