/**
 * CreateKey and DescribeKey, in one Region and in others.
 *
 * @module
 */
import type { Recipe } from "../session.ts";
import { kms } from "./names.ts";
import { newKey } from "./new-key.ts";

/** An id and an ARN that no key has. */
const NOBODY = "134f2428-cec1-4b25-a1ae-9048164dba47";
const NOBODY_MULTI_REGION = "mrk-d3b95762d3b95762d3b95762d3b95762";

export const keyRecipes: readonly Recipe[] = [
  {
    id: kms("create_key"),
    run: async (aws) => {
      const { id } = await newKey(aws, { Description: "test key 123", KeyUsage: "ENCRYPT_DECRYPT" });
      const { KeyMetadata } = await aws.whole(aws.kms().describeKey({ KeyId: id }));
      aws.note("describe-key", KeyMetadata, { "<key-id:1>": id });
    },
  },
  {
    id: kms("create_multi_region_key"),
    run: async (aws) => {
      const { metadata } = await newKey(aws, { MultiRegion: true, Description: "test multi region key" });
      aws.note("create_multi_region_key", metadata);
    },
  },
  {
    id: kms("non_multi_region_keys_should_not_have_multi_region_properties"),
    run: async (aws) => {
      const { metadata } = await newKey(aws, { MultiRegion: false, Description: "test non multi region key" });
      aws.note("non_multi_region_keys_should_not_have_multi_region_properties", metadata);
    },
  },
  {
    id: kms("get_key_in_different_region"),
    run: async (aws) => {
      const { id, arn } = await newKey(aws, { Description: "test key 123" }, aws.secondaryRegion);
      const [here, there] = [aws.kms(), aws.kms(aws.secondaryRegion)];
      await aws.refusal("describe-key-diff-region-with-id", here.describeKey({ KeyId: id }), { "<key-id:1>": id });
      await aws.refusal("describe-key-diff-region-with-arn", here.describeKey({ KeyId: arn }));
      await aws.answer("describe-key-same-specific-region-with-id", there.describeKey({ KeyId: id }));
      await aws.answer("describe-key-same-specific-region-with-arn", there.describeKey({ KeyId: arn }));
    },
  },
  {
    id: kms("get_key_does_not_exist"),
    run: async (aws) => {
      const { id, arn } = await newKey(aws);
      const arnOf = (other: string): string => arn.replace(id, other);
      const describe = (KeyId: string) => aws.kms().describeKey({ KeyId });
      const nobody = { "<key-arn>": arnOf(NOBODY) };
      await aws.refusal("describe-nonexistent-key-with-id", describe(NOBODY), nobody);
      await aws.refusal("describe-nonexistent-with-arn", describe(arnOf(NOBODY)), nobody);
      const captures = { "<mrk-key-arn>": arnOf(NOBODY_MULTI_REGION) };
      await aws.refusal("describe-key-with-valid-id-mrk", describe(NOBODY_MULTI_REGION), captures);
    },
  },
  {
    id: kms("get_key_invalid_uuid"),
    run: async (aws) => {
      const describe = (KeyId: string) => aws.kms().describeKey({ KeyId });
      await aws.refusal("describe-key-with-invalid-uuid", describe("fake-key-id"));
      await aws.refusal("describe-key-with-invalid-uuid-2", describe(NOBODY.replaceAll("-", "")));
      await aws.refusal("describe-key-with-invalid-uuid-mrk", describe("mrk-fake-key-id"));
    },
  },
  {
    id: kms("describe_with_alias_arn"),
    run: async (aws) => {
      const { id, arn, metadata } = await newKey(aws, { Description: "test - description" });
      aws.note("created-key", metadata, { "<key-id:1>": id });
      await aws.kms().createAlias({ AliasName: "alias/described", TargetKeyId: id });
      const alias = arn.replace(`key/${id}`, "alias/described");
      await aws.answer("describe-key", aws.kms().describeKey({ KeyId: alias }));
    },
  },
  {
    id: kms("create_alias"),
    run: async (aws) => {
      const { id } = await newKey(aws);
      await aws.refusal("create_alias", aws.kms().createAlias({ AliasName: "without-prefix", TargetKeyId: id }));
    },
  },
  {
    id: kms("replicate_key"),
    run: async (aws) => {
      const { id } = await newKey(aws, { MultiRegion: true, Description: "test replicated key" });
      const [here, there] = [aws.kms(), aws.kms(aws.secondaryRegion)];
      await aws.refusal("describe-key-from-different-region", there.describeKey({ KeyId: id }), { "<key-id:1>": id });
      await aws.answer("replicate-key", here.replicateKey({ KeyId: id, ReplicaRegion: aws.secondaryRegion }));
      await aws.answer("describe-key-from-region", here.describeKey({ KeyId: id }));
      await aws.until(
        () => there.describeKey({ KeyId: id }),
        ({ KeyMetadata }) => KeyMetadata?.KeyState === "Enabled",
      );
      await aws.answer("describe-replicated-key", there.describeKey({ KeyId: id }));
    },
  },
  {
    id: kms("replicate_replica_key_should_fail"),
    run: async (aws) => {
      const { id, arn } = await newKey(aws, { MultiRegion: true, Description: "test primary key" });
      const ReplicaRegion = aws.secondaryRegion;
      await aws.kms().replicateKey({ KeyId: id, ReplicaRegion });
      const replica = arn.replace(aws.region, aws.secondaryRegion);
      const again = aws.kms(aws.secondaryRegion).replicateKey({ KeyId: id, ReplicaRegion });
      await aws.refusal("fail-replicate-non-primary-key", again, { "<mrk-key-arn>": replica });
    },
  },
];
