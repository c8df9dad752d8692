/**
 * What a `KeyId`, an alias or an ARN in a request means.
 *
 *   key id            1234abcd-…, mrk-…         of the caller's account and the request's Region
 *   key ARN           arn:aws:kms:R:A:key/…     the Region must be the request's
 *   alias, alias ARN  alias/x, arn:…:alias/x    where the operation takes aliases
 *
 * Source: KMS API Reference, "KeyId"; recorded answers for the texts.
 *
 * @module
 */
import { AwsFault } from "../fault.ts";

/** Where a call is made. */
export interface Scope {
  readonly partition: string;
  readonly accountId: string;
  readonly region: string;
}

export type Identifier =
  | { readonly kind: "key"; readonly arn: string }
  | { readonly kind: "alias"; readonly arn: string; readonly name: string };

const KEY_ID = /^(mrk-[0-9a-f]{32}|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12})$/;
const KMS_ARN = /^arn:(aws|aws-cn|aws-us-gov):kms:([a-z0-9-]+):(\d{12}):((?:key|alias)\/.+)$/;

/** @throws {AwsFault} `NotFoundException`, `InvalidArnException` */
export function readIdentifier(text: string, scope: Scope): Identifier {
  if (text.startsWith("arn:")) return readArn(text, scope);
  if (text.startsWith("alias/")) return { kind: "alias", arn: arnIn(scope, text), name: text };
  if (!KEY_ID.test(text)) throw invalidKeyId(text);
  return { kind: "key", arn: keyArn(scope, text) };
}

function readArn(arn: string, scope: Scope): Identifier {
  const [, partition, region, , resource = ""] = KMS_ARN.exec(arn) ?? [];
  if (resource === "" || partition !== scope.partition)
    throw new AwsFault("InvalidArnException", `Invalid ARN: ${arn}`);
  if (region !== scope.region) throw notFound(`Invalid arn ${region}`);
  if (resource.startsWith("alias/")) return { kind: "alias", arn, name: resource };
  const keyId = resource.slice("key/".length);
  if (!KEY_ID.test(keyId)) throw invalidKeyId(keyId);
  return { kind: "key", arn };
}

export function keyArn(scope: Scope, keyId: string): string {
  return arnIn(scope, `key/${keyId}`);
}

export function arnIn({ partition, region, accountId }: Scope, resource: string): string {
  return `arn:${partition}:kms:${region}:${accountId}:${resource}`;
}

/** The account in a KMS ARN. */
export function accountOf(arn: string): string {
  return arn.split(":")[4] ?? "";
}

export function invalidKeyId(text: string): AwsFault {
  return notFound(`Invalid keyId '${text}'`);
}

export function keyNotFound(arn: string): AwsFault {
  return notFound(`Key '${arn}' does not exist`);
}

export function aliasNotFound(arn: string): AwsFault {
  return notFound(`Alias ${arn} is not found.`);
}

export function notFound(message: string): AwsFault {
  return new AwsFault("NotFoundException", message);
}
