/**
 * GetCallerIdentity, GetAccessKeyInfo, DecodeAuthorizationMessage: who asks, whose key, why not.
 *
 * The first needs no permission and no policy can deny it. The last refuses every message, since this AWS explains its
 * denials in the open and encodes none.
 *
 * Source: STS API Reference.
 *
 * @module
 */
import { accountOf } from "../credentials.ts";
import { AwsFault } from "../fault.ts";
import type { JsonObject } from "../json.ts";
import { authorizeOwn, type StsRequest, validationError } from "./request.ts";

export function getCallerIdentity({ caller }: StsRequest): JsonObject {
  return { UserId: caller.userId, Account: caller.accountId, Arn: caller.arn };
}

export function getAccessKeyInfo(
  request: StsRequest,
  { AccessKeyId: id }: { readonly AccessKeyId: string },
): JsonObject {
  authorizeOwn(request, "sts:GetAccessKeyInfo", "*");
  const account = request.directory.find(id)?.caller.accountId ?? accountOf(id);
  if (account === undefined) throw validationError(`Invalid Access Key ID ${id}`);
  return { Account: account };
}

export function decodeAuthorizationMessage(request: StsRequest): JsonObject {
  authorizeOwn(request, "sts:DecodeAuthorizationMessage", "*");
  throw new AwsFault("InvalidAuthorizationMessageException", "Message is malformed");
}
