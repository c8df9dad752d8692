/**
 * TagResource, UntagResource, ListResourceTags.
 *
 * Source: KMS API Reference; KMS Developer Guide, "Tags in AWS KMS".
 *
 * @module
 */
import type {
  ListResourceTagsCommandInput,
  ListResourceTagsCommandOutput,
  TagResourceCommandInput,
  UntagResourceCommandInput,
} from "@aws-sdk/client-kms";
import { DELETING } from "../key-state.ts";
import { paginate } from "../pages.ts";
import type { KmsRequest } from "../request.ts";
import { assertRoom, readTags } from "../tags.ts";
import { assertCustomerManaged } from "./key-states.ts";
import type { Answer, Valid } from "./operation.ts";

export function tagResource(
  request: KmsRequest,
  { KeyId: keyId, Tags: tags }: Valid<TagResourceCommandInput>,
): Record<never, never> {
  const named = request.key(keyId);
  const added = readTags(tags);
  request.authorize("TagResource", named, { ownAccountOnly: true, requestTags: added });
  assertRoom(named.key.tags, added);
  assertCustomerManaged(named, "TagResource");
  request.assertState(named, DELETING);
  request.keys.update(named.key, { tags: { ...named.key.tags, ...added } });
  return {};
}

export function untagResource(
  request: KmsRequest,
  { KeyId: keyId, TagKeys: names }: Valid<UntagResourceCommandInput>,
): Record<never, never> {
  const named = request.key(keyId);
  request.authorize("UntagResource", named, { ownAccountOnly: true, tagKeys: names });
  assertCustomerManaged(named, "UntagResource");
  request.assertState(named, DELETING);
  const left = Object.entries(named.key.tags).filter(([name]) => !names.includes(name));
  request.keys.update(named.key, { tags: Object.fromEntries(left) });
  return {};
}

export function listResourceTags(
  request: KmsRequest,
  input: Valid<ListResourceTagsCommandInput>,
): Answer<ListResourceTagsCommandOutput> {
  const named = request.key(input.KeyId);
  request.authorize("ListResourceTags", named, { ownAccountOnly: true });
  const all = Object.entries(named.key.tags);
  const { page, ...more } = paginate(all, input, { idOf: ([name]) => name, defaultLimit: 50, maxLimit: 50 });
  return { Tags: page.map(([TagKey, TagValue]) => ({ TagKey, TagValue })), ...more };
}
