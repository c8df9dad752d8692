/**
 * Keys as the recordings have them: made in the first Region, with a description.
 *
 * @module
 */
import type { CreateKeyRequest, KeyMetadata } from "@aws-sdk/client-kms";
import type { Session } from "../session.ts";

export interface NewKey {
  readonly id: string;
  readonly arn: string;
  readonly metadata: KeyMetadata;
}

export async function newKey(aws: Session, request: CreateKeyRequest = {}, region?: string): Promise<NewKey> {
  const { KeyMetadata: metadata } = await aws.whole(
    aws.kms(region).createKey({ Description: "a key of a recipe", ...request }),
  );
  if (metadata?.KeyId === undefined || metadata.Arn === undefined) throw new Error("the new key has no name");
  return { id: metadata.KeyId, arn: metadata.Arn, metadata };
}
