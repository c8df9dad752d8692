/** Which condition keys a request has, by operation: asked by policies that hold only if a key is there, or is not. */
import { afterAll, beforeAll, expect, test } from "vitest";
import { parsePolicy } from "../../../mock/aws/iam/policy.ts";
import type { JsonObject } from "../../../mock/aws/json.ts";
import type { AuthenticatedCaller } from "../../../mock/aws/service.ts";
import { OWNER } from "../testbed.ts";
import { type BareKms, openBareKms, outcome } from "./bed.ts";

let bed: BareKms;
let KeyId: string;
beforeAll(async () => {
  bed = openBareKms();
  const { KeyMetadata } = await bed.call(bed.caller("admin"), "CreateKey", { Tags: [{ TagKey: "a", TagValue: "b" }] });
  KeyId = (KeyMetadata as { Arn: string }).Arn;
  await bed.call(bed.caller("admin"), "CreateAlias", { AliasName: "alias/a", TargetKeyId: KeyId });
});
afterAll(() => bed[Symbol.asyncDispose]());

/** A caller through a service, let do everything on a condition. */
function callerIf(condition: object): AuthenticatedCaller {
  const document = {
    Version: "2012-10-17",
    Statement: [{ Effect: "Allow", Action: "kms:*", Resource: "*", Condition: condition }],
  };
  const policy = parsePolicy(JSON.stringify(document), "identity");
  const identityPolicies = [{ name: "conditional", policy }];
  return { ...bed.caller("bare"), viaService: "s3.eu-central-1.amazonaws.com", identityPolicies };
}

const Plaintext = "eA==";
const onKey =
  (more: JsonObject = {}) =>
  (): JsonObject => ({ KeyId, ...more });
const encrypt = onKey({ Plaintext, EncryptionContext: { Dept: "x" } });
test.each([
  ["GenerateRandom", () => ({ NumberOfBytes: 1 }), [], ["kms:CallerAccount", "kms:ViaService"]],
  ["ListKeys", () => ({}), ["aws:PrincipalArn"], ["kms:CallerAccount", "kms:ViaService"]],
  ["ListAliases", () => ({}), [], ["kms:CallerAccount", "kms:ViaService"]],
  ["DescribeCustomKeyStores", () => ({}), ["kms:CallerAccount"], ["kms:ViaService", "kms:KeySpec"]],
  [
    "CreateKey",
    () => ({ MultiRegion: true, Tags: [{ TagKey: "t", TagValue: "" }] }),
    [
      "kms:CallerAccount",
      "kms:ViaService",
      "kms:KeySpec",
      "kms:KeyUsage",
      "kms:KeyOrigin",
      "kms:MultiRegion",
      "aws:TagKeys",
      "aws:RequestTag/t",
    ],
    ["kms:RequestAlias", "kms:ResourceAliases"],
  ],
  [
    "Encrypt",
    encrypt,
    [
      "kms:EncryptionAlgorithm",
      "kms:EncryptionContext:dept",
      "kms:EncryptionContextKeys",
      "kms:ResourceAliases",
      "aws:ResourceTag/a",
      "aws:ResourceAccount",
    ],
    ["kms:RequestAlias", "kms:MultiRegionKeyType", "kms:EncryptionContext:other", "kms:RecipientAttestation:PCR0"],
  ],
  ["Encrypt", () => ({ ...encrypt(), KeyId: "alias/a" }), ["kms:RequestAlias"], []],
  [
    "GenerateDataKeyPair",
    onKey({ KeyPairSpec: "ECC_NIST_P256" }),
    ["kms:DataKeyPairSpec", "kms:EncryptionAlgorithm"],
    [],
  ],
  ["EnableKeyRotation", onKey(), ["kms:RotationPeriodInDays"], ["kms:EncryptionAlgorithm"]],
  [
    "PutKeyPolicy",
    onKey({
      Policy: JSON.stringify({
        Version: "2012-10-17",
        Statement: [{ Effect: "Allow", Principal: { AWS: OWNER }, Action: "kms:*", Resource: "*" }],
      }),
      BypassPolicyLockoutSafetyCheck: true,
    }),
    ["kms:BypassPolicyLockoutSafetyCheck"],
    [],
  ],
  ["UntagResource", onKey({ TagKeys: ["z"] }), ["aws:TagKeys"], ["aws:RequestTag/z"]],
  ["DisableKey", onKey(), ["kms:TrailingDaysWithoutKeyUsage"], []],
  ["EnableKey", onKey(), ["kms:CallerAccount"], ["kms:TrailingDaysWithoutKeyUsage"]],
] as const)("%s %#", async (operation, input, there, absent) => {
  const ask = (key: string, isAbsent: boolean) =>
    outcome(bed.call(callerIf({ Null: { [key]: String(isAbsent) } }), operation, input()));
  for (const key of there) expect([key, await ask(key, false)]).toEqual([key, "ok"]);
  for (const key of absent) expect([key, await ask(key, false)]).toEqual([key, "AccessDeniedException"]);
});
