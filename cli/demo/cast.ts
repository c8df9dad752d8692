/**
 * Who takes part: two data owners and the operator of the enclave, each with an AWS account and roles of its own.
 *
 * @module
 */
import type { EncryptionContext } from "../../shared/envelope/sealed.ts";
import { enclaveRolePolicy } from "../../shared/policy/key-policy.ts";

/** A session of a role: what the AWS SDK takes as credentials. */
export interface Session {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly sessionToken: string;
}

export interface Owner {
  readonly title: string;
  readonly dataset: "flights" | "strikes";
  readonly accountId: string;
  readonly region: string;
  /** Bound to each sealed message; the enclave demands it. */
  readonly context: EncryptionContext;
}

export const CARRIER: Owner = {
  title: "the carrier",
  dataset: "flights",
  accountId: "111122223333",
  region: "us-east-1",
  context: { dataset: "flights", purpose: "joint-analysis" },
};

export const INSURER: Owner = {
  title: "the insurer",
  dataset: "strikes",
  accountId: "444455556666",
  region: "eu-west-1",
  context: { dataset: "strikes", purpose: "joint-analysis" },
};

export const OWNERS: readonly Owner[] = [CARRIER, INSURER];

/** On the parent's list too, and answered by the parent itself. */
export const IMPOSTOR_REGION = "ap-southeast-2";

export const OPERATOR_ACCOUNT = "777788889999";
export const INSTANCE_ID = "i-0a1b2c3d4e5f60718";

export type RoleName = "key-admin" | "sealer" | "enclave-host";

export function roleArn(accountId: string, name: RoleName): string {
  return `arn:aws:iam::${accountId}:role/${name}`;
}

/** The role of the parent instance, under which the enclave calls KMS. */
export const ENCLAVE_ROLE: string = roleArn(OPERATOR_ACCOUNT, "enclave-host");

/** What each role may do by its own account's policy; the keys' policies decide the rest. */
export const IDENTITY_POLICIES: Readonly<Record<RoleName, Readonly<Record<string, unknown>>>> = {
  "key-admin": policy("kms:*"),
  sealer: policy("kms:GenerateDataKey", "kms:Encrypt", "kms:DescribeKey"),
  "enclave-host": enclaveRolePolicy(OWNERS.map(({ accountId, region }) => `arn:aws:kms:${region}:${accountId}:key/*`)),
};

function policy(...Action: readonly string[]): Readonly<Record<string, unknown>> {
  return { Version: "2012-10-17", Statement: [{ Effect: "Allow", Action, Resource: "*" }] };
}
