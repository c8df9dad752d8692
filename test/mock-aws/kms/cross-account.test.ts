/** Keys of another account: used by ARN, managed by nobody else, and not to be found by who is not let at them. */
import { describe, expect, test } from "vitest";
import { utf8 } from "../../../shared/bytes.ts";
import { arnOf, keyPolicy, OWNER, REGION } from "../testbed.ts";
import { bedOfFile, outcome, refusal } from "./bed.ts";

const { admin, as, newKey } = bedOfFile();
const Plaintext = utf8("x");
const allowing = (principal: object) => ({ Effect: "Allow", Principal: principal, Action: "kms:*", Resource: "*" });

describe("across accounts", () => {
  const partner = () => as("partner");

  test("by ARN, when both sides allow, and for use only", async () => {
    const KeyId = await newKey({ Policy: keyPolicy(allowing({ AWS: arnOf("partner") })) });
    await admin().createAlias({ AliasName: "alias/shared", TargetKeyId: KeyId });
    const alias = `arn:aws:kms:${REGION}:${OWNER}:alias/shared`;
    const { CiphertextBlob } = await partner().encrypt({ KeyId: alias, Plaintext });
    expect((await partner().decrypt({ CiphertextBlob })).KeyId).toBe(KeyId);
    await partner().describeKey({ KeyId });
    await partner().getKeyRotationStatus({ KeyId });
    await partner().listGrants({ KeyId });
    for (const id of [KeyId.split("/")[1], "alias/shared"])
      expect(await outcome(partner().describeKey({ KeyId: id }))).toBe("NotFoundException");
    const refused = [
      ...[partner().getKeyPolicy({ KeyId }), partner().disableKey({ KeyId }), partner().listKeyPolicies({ KeyId })],
      ...[partner().scheduleKeyDeletion({ KeyId }), partner().listResourceTags({ KeyId })],
      ...[partner().createAlias({ AliasName: "alias/theirs", TargetKeyId: KeyId })],
    ];
    for (const call of refused) expect(await outcome(call)).toBe("AccessDeniedException");
    expect(await outcome(partner().listAliases({ KeyId }))).toBe("NotFoundException");
  });

  test("who is not let at a key does not learn whether there is one", async () => {
    const KeyId = await newKey();
    await admin().createAlias({ AliasName: "alias/there", TargetKeyId: KeyId });
    const { GrantId } = await admin().createGrant({ KeyId, GranteePrincipal: arnOf("bare"), Operations: ["Decrypt"] });
    const nothing = KeyId.replace(/[^/]*$/, "00000000-0000-4000-8000-000000000000");
    const told = async (there: Promise<unknown>, absent: Promise<unknown>) => {
      const [first, second] = [await refusal(there), await refusal(absent)];
      const anonymous = (text: string): string => text.replace(/(key|alias)\/[\w-]+/, "$1/*");
      expect(anonymous(second.message)).toBe(anonymous(first.message));
      expect([first.name, second.name]).toEqual(["AccessDeniedException", "AccessDeniedException"]);
    };
    for (const call of [
      (id: string) => partner().describeKey({ KeyId: id }),
      (id: string) => partner().encrypt({ KeyId: id, Plaintext, GrantTokens: ["none"] }),
      (id: string) => partner().disableKey({ KeyId: id }),
      (id: string) => partner().tagResource({ KeyId: id, Tags: [{ TagKey: "a", TagValue: "b" }] }),
      (id: string) => partner().retireGrant({ KeyId: id, GrantId: "0".repeat(64) }),
      (id: string) => partner().revokeGrant({ KeyId: id, GrantId: "0".repeat(64) }),
    ])
      await told(call(KeyId), call(nothing));
    await told(partner().retireGrant({ KeyId, GrantId }), partner().retireGrant({ KeyId: nothing, GrantId }));
    const alias = (name: string): string => `arn:aws:kms:${REGION}:${OWNER}:alias/${name}`;
    await told(partner().describeKey({ KeyId: alias("there") }), partner().describeKey({ KeyId: alias("absent") }));
    const { message } = await refusal(partner().describeKey({ KeyId }));
    expect(message).toMatch(/because the resource does not exist in this Region, no resource-based policies allow/);
  });
});
