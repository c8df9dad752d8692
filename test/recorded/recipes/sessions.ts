/**
 * STS: sessions of roles, their tags, federation tokens, and parameters it refuses.
 *
 * The answers of IAM among these recordings (`create-role`, `role-1`, `role-2`) have no request here: IAM's own calls
 * are not offered, roles come with the cloud.
 *
 * @module
 */
import type { Recipe } from "../session.ts";
import { sts } from "./names.ts";

const TAG = { Key: "SessionTag1", Value: "SessionValue1" };

/** A role's ARN as `arn:aws:iam::111111111111:role/name` has it. */
const MALFORMED = {
  "malformed-arn": "nothing-valid-in-here",
  "no-partition": "arn::b:::something/test-role",
  "no-service": "arn:a::::something/test-role",
  "not-enough-colons": "arn:a:::something/test-role",
  "no-resource": "arn:a:a::aaaaaaaaaa:",
} as const;

export const sessionRecipes: readonly Recipe[] = [
  {
    id: sts("Integrations", "get_federation_token"),
    run: async (aws) => {
      const call = aws.sts().getFederationToken({ Name: "TestName1a2b", DurationSeconds: 900 });
      await aws.answer("get-federation-token", call, { "<resource:1>": "TestName1a2b" });
    },
  },
  {
    id: sts("Integrations", "assume_role"),
    run: async (aws) => {
      const captures = { "<role-session-name:1>": "test-assume-role-1a2b", "<resource:1>": "role-1" };
      const RoleSessionName = captures["<role-session-name:1>"];
      const call = aws.sts().assumeRole({ RoleArn: aws.roleArn("role-1"), RoleSessionName });
      await aws.answer("assume-role", call, captures);
    },
  },
  {
    id: sts("Integrations", "sts_invalid_parameters"),
    run: async (aws) => {
      for (const [name, RoleArn] of Object.entries(MALFORMED))
        await aws.refusal(name, aws.sts().assumeRole({ RoleArn, RoleSessionName: "Session1" }));
      const named = { RoleArn: "arn:a:b:::something/test-role", RoleSessionName: "Session1:2" };
      await aws.refusal("invalid-session-name", aws.sts().assumeRole(named));
    },
  },
  {
    id: sts("AssumeRoleTagging", "assume_role_tag_validation"),
    run: async (aws) => {
      const role = { RoleArn: aws.roleArn("role-1"), RoleSessionName: "Session1" };
      await aws.sts().assumeRole(role);
      const unknown = aws.sts().assumeRole({ ...role, Tags: [TAG], TransitiveTagKeys: ["InvalidKey"] });
      await aws.refusal("invalid-transitive-tag-keys", unknown);
      await aws.sts().assumeRole({ ...role, Tags: [TAG], TransitiveTagKeys: ["sessiontag1"] });
      const twice = [TAG, { Key: "sessiontag1", Value: "SessionValue2" }];
      const doubled = aws.sts().assumeRole({ ...role, Tags: twice, TransitiveTagKeys: ["sessiontag1"] });
      await aws.refusal("duplicate-tag-keys-different-casing", doubled);
    },
  },
  {
    id: sts("AssumeRoleTagging", "iam_role_chaining_override_transitive_tags"),
    run: async (aws) => {
      const first = { RoleArn: aws.roleArn("role-1"), RoleSessionName: "Session1" };
      const session = await aws.sts().assumeRole({ ...first, Tags: [TAG], TransitiveTagKeys: ["SessionTag1"] });
      const { AccessKeyId = "", SecretAccessKey = "", SessionToken = "" } = session.Credentials ?? {};
      const chained = aws.sts({
        accessKeyId: AccessKeyId,
        secretAccessKey: SecretAccessKey,
        sessionToken: SessionToken,
      });
      const second = { RoleArn: aws.roleArn("role-2"), RoleSessionName: "Session2SessionTagOverride" };
      const override = (Key: string) => chained.assumeRole({ ...second, Tags: [{ Key, Value: "SessionValue2" }] });
      await aws.refusal("override-transitive-tag-error", override("SessionTag1"));
      await aws.refusal("override-transitive-tag-case-ignore-error", override("sessiontag1"));
    },
  },
];
