/** What one caller may pile up, and what goes when a key goes. */
import { afterEach, beforeEach, expect, test } from "vitest";
import type { JsonObject } from "../../../mock/aws/json.ts";
import { arnOf } from "../testbed.ts";
import { type BareKms, DAY_MS, openBareKms, outcome, present } from "./bed.ts";

let bed: BareKms;
beforeEach(() => {
  bed = openBareKms();
});
afterEach(() => bed[Symbol.asyncDispose]());
const call = (operation: string, input: JsonObject) => bed.call(bed.caller("admin"), operation, input);

async function newKey(input: JsonObject = {}): Promise<{ KeyId: string; Arn: string }> {
  const { KeyMetadata } = (await call("CreateKey", input)) as { KeyMetadata: { KeyId: string; Arn: string } };
  return KeyMetadata;
}

test("a key has its ten newest import tokens", async () => {
  const { KeyId, Arn } = await newKey({ Origin: "EXTERNAL" });
  const other = await newKey({ Origin: "EXTERNAL" });
  const asked = { WrappingAlgorithm: "RSAES_OAEP_SHA_256", WrappingKeySpec: "RSA_2048" };
  await call("GetParametersForImport", { KeyId: other.KeyId, ...asked });
  const { importTokens } = bed.state.keys.tables;
  const ids = () => importTokens.findAll("key", Arn).map(({ id }) => id);
  // Rows instead of RSA keys, but for the last.
  for (const id of Array.from({ length: 10 }, (_, i) => `token-${i}`)) {
    const validTo = new Date(Date.now() + 1000 * DAY_MS);
    importTokens.set(id, { id, keyArn: Arn, algorithm: "", privateKey: new Uint8Array(), validTo });
  }
  await call("GetParametersForImport", { KeyId, ...asked });
  expect(ids().slice(0, -1)).toEqual(Array.from({ length: 9 }, (_, i) => `token-${i + 1}`));
  expect([ids().length, importTokens.findAll("key", other.Arn).length]).toEqual([10, 1]);
});

test("names in a grant's constraint are as short as its values", async () => {
  const { KeyId } = await newKey();
  const grant = (EncryptionContextEquals: JsonObject) =>
    outcome(
      call("CreateGrant", {
        ...{ KeyId, GranteePrincipal: arnOf("bare"), Operations: ["Encrypt"] },
        Constraints: { EncryptionContextEquals },
      }),
    );
  expect([
    await grant({ ["n".repeat(384)]: "v".repeat(384) }),
    await grant({ ["n".repeat(385)]: "" }),
    await grant({ n: "v".repeat(385) }),
  ]).toEqual(["ok", "ValidationException", "ValidationException"]);
});

test("the last use of a key goes with the key", async () => {
  const { KeyId, Arn } = await newKey();
  await call("Encrypt", { KeyId, Plaintext: "AAAA" });
  expect(bed.state.usage.has(Arn)).toBe(true);
  await call("ScheduleKeyDeletion", { KeyId, PendingWindowInDays: 7 });
  bed.at = 8 * DAY_MS;
  expect(await outcome(call("DescribeKey", { KeyId }))).toBe("NotFoundException");
  expect(bed.state.usage.size).toBe(0);
});

test("100,000 keys are the most of an account and Region, not counting AWS's", async () => {
  const { Arn } = await newKey({ MultiRegion: true });
  const { keys } = bed.state.keys.tables;
  const key = present(keys.get(Arn));
  for (let i = 2; i < 100_000; i++) keys.set(`${Arn}-${i}`, { ...key, arn: `${Arn}-${i}`, familyId: `f-${i}` });
  keys.set("managed", { ...key, arn: "managed", familyId: "managed", manager: "AWS" });
  const both = await Promise.all([outcome(call("CreateKey", {})), outcome(call("CreateKey", {}))]);
  expect(both.sort()).toEqual(["LimitExceededException", "ok"]);
  expect(keys.size).toBe(100_001);
  const abroad = () => bed.call(bed.caller("admin"), "CreateKey", { MultiRegion: true }, "us-east-1");
  const { KeyMetadata } = (await abroad()) as { KeyMetadata: { KeyId: string } };
  const replicate = { KeyId: KeyMetadata.KeyId, ReplicaRegion: key.region };
  const replica = bed.call(bed.caller("admin"), "ReplicateKey", replicate, "us-east-1");
  expect(await outcome(replica)).toBe("LimitExceededException");
});

test("__proto__ is a tag like any other, and no less a duplicate", async () => {
  const tag = (TagKey: string, TagValue = "x") => ({ TagKey, TagValue });
  const { KeyId } = await newKey({ Tags: [tag("__proto__"), tag("a")] });
  await call("TagResource", { KeyId, Tags: [tag("__proto__", "y")] });
  expect(await call("ListResourceTags", { KeyId })).toMatchObject({ Tags: [tag("__proto__", "y"), tag("a")] });
  expect(await outcome(newKey({ Tags: [tag("__proto__"), tag("__proto__")] }))).toBe("TagException");
});
