/**
 * CreateAlias, UpdateAlias, DeleteAlias, ListAliases.
 *
 * An alias operation needs permission twice: on the alias (identity policies only) and on the key.
 *
 * Source: KMS Developer Guide, "Aliases in AWS KMS", "Controlling access to aliases".
 *
 * @module
 */
import type {
  AliasListEntry,
  CreateAliasCommandInput,
  DeleteAliasCommandInput,
  ListAliasesCommandInput,
  ListAliasesCommandOutput,
  UpdateAliasCommandInput,
} from "@aws-sdk/client-kms";
import { AwsFault, validationFault } from "../../fault.ts";
import { isAsymmetric } from "../algorithms/index.ts";
import { accountOf, aliasNotFound, arnIn, keyNotFound, readIdentifier } from "../identifiers.ts";
import { DELETING } from "../key-state.ts";
import { managedAliases } from "../managed-keys.ts";
import { paginate } from "../pages.ts";
import type { KmsRequest, NamedKey } from "../request.ts";
import { type AliasRow, type KeyRow, scopeKey } from "../rows.ts";
import { assertCustomerManaged } from "./key-states.ts";
import type { Answer, Valid } from "./operation.ts";

const ALIASES_OF_KEY_MAX = 50;

export function createAlias(
  request: KmsRequest,
  { AliasName: name, TargetKeyId: target }: Valid<CreateAliasCommandInput>,
): Record<never, never> {
  assertName(name);
  const arn = arnIn(request.scope, name);
  const named = request.key(target);
  authorizeBoth(request, "CreateAlias", arn, named);
  if (find(request, arn)) throw new AwsFault("AlreadyExistsException", `An alias with the name ${arn} already exists`);
  assertCustomerManaged(named, "CreateAlias");
  request.assertState(named, DELETING);
  assertRoom(request, named.key);
  const { partition, accountId, region } = request.scope;
  const times = { createdAt: request.now, updatedAt: request.now };
  request.tables.aliases.set(arn, { arn, name, partition, accountId, region, targetKey: named.key.arn, ...times });
  return {};
}

export function updateAlias(
  request: KmsRequest,
  { AliasName: name, TargetKeyId: target }: Valid<UpdateAliasCommandInput>,
): Record<never, never> {
  assertName(name);
  const alias = existing(request, name);
  const named = request.key(target);
  authorizeBoth(request, "UpdateAlias", alias.arn, named);
  const old = request.keys.find(alias.targetKey, request.now);
  if (old) request.authorize("UpdateAlias", old, { ownAccountOnly: true });
  assertCustomerManaged(named, "UpdateAlias");
  request.assertState(named, DELETING);
  if (old && (kindOf(old.key) !== kindOf(named.key) || old.key.usage !== named.key.usage))
    throw validationFault(`Alias ${alias.arn} can not be changed to a key of another type or usage.`);
  if (old?.key.arn !== named.key.arn) assertRoom(request, named.key);
  request.tables.aliases.set(alias.arn, { ...alias, targetKey: named.key.arn, updatedAt: request.now });
  return {};
}

export function deleteAlias(
  request: KmsRequest,
  { AliasName: name }: Valid<DeleteAliasCommandInput>,
): Record<never, never> {
  assertName(name);
  const alias = existing(request, name);
  const named = request.key(alias.targetKey);
  authorizeBoth(request, "DeleteAlias", alias.arn, named);
  request.tables.aliases.delete(alias.arn);
  return {};
}

export function listAliases(
  request: KmsRequest,
  input: Valid<ListAliasesCommandInput>,
): Answer<ListAliasesCommandOutput> {
  request.authorizeByIdentity("ListAliases", "*");
  const { tables, scope } = request;
  const target = input.KeyId === undefined ? undefined : ownKey(request, input.KeyId);
  request.keys.inScope(scope, request.now); // aliases go with their keys
  const own = tables.aliases.findAll("scope", scopeKey(scope)).map(entryOf);
  const known = new Set(own.map(({ AliasName: name }) => name));
  const unused = managedAliases()
    .filter((name) => !known.has(name))
    .map((AliasName): AliasListEntry => ({ AliasName, AliasArn: arnIn(scope, AliasName) }));
  const all = target ? own.filter(({ TargetKeyId: id }) => id === target.keyId) : [...own, ...unused];
  const form = { idOf: ({ AliasName: name = "" }) => name, defaultLimit: 50, maxLimit: 100 };
  const { page, ...more } = paginate(all, input, form);
  return { Aliases: [...page], ...more };
}

/** Another account's key is none here, whether there is one or not. */
function ownKey(request: KmsRequest, keyId: string): KeyRow {
  const identifier = readIdentifier(keyId, request.scope);
  if (identifier.kind === "key" && accountOf(identifier.arn) !== request.scope.accountId)
    throw keyNotFound(identifier.arn);
  return request.key(keyId).key;
}

function entryOf({ name, arn, targetKey, createdAt, updatedAt }: AliasRow): AliasListEntry {
  const keyId = targetKey.slice(targetKey.indexOf("key/") + "key/".length);
  return { AliasName: name, AliasArn: arn, TargetKeyId: keyId, CreationDate: createdAt, LastUpdatedDate: updatedAt };
}

function assertName(name: string): void {
  if (!name.startsWith("alias/"))
    throw validationFault(
      'Alias must start with the prefix "alias/". Please see https://docs.aws.amazon.com/kms/latest/developerguide/kms-alias.html',
    );
  if (name.startsWith("alias/aws/") || name === "alias/") throw new AwsFault("InvalidAliasNameException");
}

function existing(request: KmsRequest, name: string): AliasRow {
  const arn = arnIn(request.scope, name);
  const alias = find(request, arn);
  if (!alias) throw aliasNotFound(arn);
  return alias;
}

/** An alias that is there as long as its key is. */
function find({ tables, keys, now }: KmsRequest, arn: string): AliasRow | undefined {
  const alias = tables.aliases.get(arn);
  return alias && keys.find(alias.targetKey, now) && alias;
}

function authorizeBoth(request: KmsRequest, action: string, arn: string, named: NamedKey): void {
  request.authorize(action, named, { ownAccountOnly: true });
  request.authorizeByIdentity(action, arn);
}

function assertRoom({ tables }: KmsRequest, key: KeyRow): void {
  if (tables.aliases.findAll("key", key.arn).length >= ALIASES_OF_KEY_MAX)
    throw new AwsFault("LimitExceededException", `${key.arn} has ${ALIASES_OF_KEY_MAX} aliases, which is the most.`);
}

function kindOf({ spec }: KeyRow): "asymmetric" | "hmac" | "symmetric" {
  if (isAsymmetric(spec)) return "asymmetric";
  return spec.startsWith("HMAC") ? "hmac" : "symmetric";
}
