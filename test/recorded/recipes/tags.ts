/**
 * Tags: given with a key, later, changed, taken away, refused.
 *
 * @module
 */
import type { Tag } from "@aws-sdk/client-kms";
import type { Recipe, Session } from "../session.ts";
import { kms } from "./names.ts";
import { newKey } from "./new-key.ts";

function tags(values: Readonly<Record<string, string>>): Tag[] {
  return Object.entries(values).map(([TagKey, TagValue]) => ({ TagKey, TagValue }));
}

const TWO = tags({ tag1: "value1", tag2: "value2" });
const THREE = tags({ tag1: "value1", tag2: "value2", tag3: "value3" });

async function noteTags(aws: Session, name: string, KeyId: string): Promise<void> {
  const { Tags } = await aws.whole(aws.kms().listResourceTags({ KeyId }));
  aws.note(name, Tags);
}

/** A CreateKey that its tags forbid. */
function refusedTags(test: string, answer: string, Tags: Tag[]): Recipe {
  return {
    id: kms(test),
    run: (aws) => aws.refusal(answer, aws.kms().createKey({ Description: "test key 123", Tags })),
  };
}

/** A TagResource that its tags forbid. */
function refusedTagging(test: string, answer: string, Tags: Tag[]): Recipe {
  return {
    id: kms(test),
    run: async (aws) => {
      const { id } = await newKey(aws);
      await aws.refusal(answer, aws.kms().tagResource({ KeyId: id, Tags }));
    },
  };
}

/** Has the first tags, is changed, has others. */
function changedTags(test: string, after: string, change: (aws: Session, KeyId: string) => Promise<unknown>): Recipe {
  return {
    id: kms(test),
    run: async (aws) => {
      const { id } = await newKey(aws, { Tags: test === "create_key_with_tag_and_untag" ? TWO : THREE });
      await noteTags(aws, "list-resource-tags", id);
      await change(aws, id);
      await noteTags(aws, `list-resource-tags-after-${after}`, id);
    },
  };
}

export const tagRecipes: readonly Recipe[] = [
  {
    id: kms("tag_existing_key_and_untag"),
    run: async (aws) => {
      const { id } = await newKey(aws);
      await aws.kms().tagResource({ KeyId: id, Tags: TWO });
      await noteTags(aws, "list-resource-tags", id);
      await aws.kms().untagResource({ KeyId: id, TagKeys: ["tag1", "tag2"] });
      await noteTags(aws, "list-resource-tags-after-all-untagged", id);
    },
  },
  changedTags("create_key_with_tag_and_untag", "all-untagged", (aws, KeyId) =>
    aws.kms().untagResource({ KeyId, TagKeys: ["tag1", "tag2"] }),
  ),
  changedTags("untag_key_partially", "partially-untagged", (aws, KeyId) =>
    aws.kms().untagResource({ KeyId, TagKeys: ["tag2"] }),
  ),
  changedTags("update_and_add_tags_on_tagged_key", "tags-updated", (aws, KeyId) =>
    aws.kms().tagResource({ KeyId, Tags: tags({ tag4: "value4", tag2: "updated_value2", tag5: "value5" }) }),
  ),
  refusedTagging("tag_key_with_duplicate_tag_keys_raises_error", "duplicate-tag-keys", [
    ...tags({ tag1: "value1" }),
    ...tags({ tag1: "another-value1" }),
  ]),
  refusedTagging("tag_existing_key_with_invalid_tag_key", "invalid-tag-key", tags({ "aws:key1": "value1" })),
  refusedTags(
    "create_key_with_too_many_tags_raises_error",
    "invalid-tag-key",
    tags(Object.fromEntries(Array.from({ length: 51 }, (_, index) => [`key${index}`, `value${index}`]))),
  ),
  refusedTags("key_with_long_tag_value_raises_error", "too-long-tag-value", tags({ tag1: "v".repeat(257) })),
  refusedTags("create_key_with_invalid_tag_key[lowercase_prefix]", "invalid-tag-key", tags({ "aws:key1": "value1" })),
  refusedTags("create_key_with_invalid_tag_key[uppercase_prefix]", "invalid-tag-key", tags({ "AWS:key1": "value1" })),
  refusedTags(
    "create_key_with_invalid_tag_key[too_long_key]",
    "invalid-tag-key",
    tags({ ["a".repeat(129)]: "value1" }),
  ),
];
