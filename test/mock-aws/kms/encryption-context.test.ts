/** Encryption contexts that are refused before anybody asks a policy, whichever operation brings them. */
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { JsonObject } from "../../../mock/aws/json.ts";
import { arnOf, OWNER } from "../testbed.ts";
import { type BareKms, openBareKms, outcome } from "./bed.ts";

const KeyId = "1234abcd-12ab-34cd-56ef-1234567890ab";
const CiphertextBlob = "AAAA";
const source = { KeyId, GranteePrincipal: arnOf("bare"), Operations: ["Encrypt"] };
/** Each operation with a context, and where it has it. */
const CALLS: readonly (readonly [string, (context: JsonObject) => JsonObject])[] = [
  ["Encrypt", (EncryptionContext) => ({ KeyId, Plaintext: "AAAA", EncryptionContext })],
  ["Decrypt", (EncryptionContext) => ({ CiphertextBlob, EncryptionContext })],
  ["GenerateDataKey", (EncryptionContext) => ({ KeyId, KeySpec: "AES_256", EncryptionContext })],
  ["GenerateDataKeyWithoutPlaintext", (EncryptionContext) => ({ KeyId, KeySpec: "AES_256", EncryptionContext })],
  ["GenerateDataKeyPair", (EncryptionContext) => ({ KeyId, KeyPairSpec: "ECC_NIST_P256", EncryptionContext })],
  [
    "GenerateDataKeyPairWithoutPlaintext",
    (EncryptionContext) => ({ KeyId, KeyPairSpec: "ECC_NIST_P256", EncryptionContext }),
  ],
  ["ReEncrypt", (context) => ({ CiphertextBlob, DestinationKeyId: KeyId, SourceEncryptionContext: context })],
  ["ReEncrypt", (context) => ({ CiphertextBlob, DestinationKeyId: KeyId, DestinationEncryptionContext: context })],
  ["CreateGrant", (context) => ({ ...source, Constraints: { EncryptionContextEquals: context } })],
  ["CreateGrant", (context) => ({ ...source, Constraints: { EncryptionContextSubset: context } })],
];
const many = Object.fromEntries(Array.from({ length: 60_000 }, (_, i) => [String(i), ""]));

let bed: BareKms;
beforeEach(() => {
  bed = openBareKms();
});
afterEach(() => bed[Symbol.asyncDispose]());

describe.each(CALLS)("%s %#", (operation, input) => {
  test.each<[string, JsonObject]>([
    ["more than 8,192 bytes", { a: "x".repeat(8184) }],
    ["very many pairs", many],
    ["two names that are equal up to case", { dept: "hr", DEPT: "it" }],
  ])("%s, from somebody who may do nothing", async (_why, context) => {
    expect(await outcome(bed.call(bed.caller("bare"), operation, input(context)))).toBe("ValidationException");
    expect(bed.trail.map(({ event }) => event.requestParameters)).toEqual([null]);
  });

  test("8,192 bytes go on to be authorized", async () => {
    const asked = bed.call(bed.caller("bare"), operation, input({ a: "x".repeat(8183) }));
    expect(await outcome(asked)).not.toMatch(/^(ValidationException|ok)$/);
  });
});

test("a Deny on one name is not slipped by with another case of it", async () => {
  const Policy = JSON.stringify({
    Version: "2012-10-17",
    Statement: [
      { Effect: "Allow", Principal: { AWS: `arn:aws:iam::${OWNER}:root` }, Action: "kms:*", Resource: "*" },
      {
        ...{ Effect: "Deny", Principal: "*", Action: "kms:Encrypt", Resource: "*" },
        Condition: { StringNotEquals: { "kms:EncryptionContext:dept": "it" } },
      },
    ],
  });
  const admin = bed.caller("admin");
  const { KeyMetadata } = (await bed.call(admin, "CreateKey", { Policy })) as { KeyMetadata: { Arn: string } };
  const encrypt = (EncryptionContext: JsonObject) =>
    outcome(bed.call(admin, "Encrypt", { KeyId: KeyMetadata.Arn, Plaintext: "AAAA", EncryptionContext }));
  expect([
    await encrypt({ dept: "hr" }),
    await encrypt({ dept: "hr", DEPT: "it" }),
    await encrypt({ dept: "hr", other: "it" }),
    await encrypt({ DEPT: "it" }),
  ]).toEqual(["AccessDeniedException", "ValidationException", "AccessDeniedException", "ok"]);
});
