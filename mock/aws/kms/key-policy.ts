/**
 * A key's policy: read strictly, with principals that exist, and never such that its author is locked out.
 *
 * Source: KMS Developer Guide, "Default key policy", "Key policies"; KMS API Reference, PutKeyPolicy.
 *
 * @module
 */
import type { Directory } from "../directory.ts";
import { AwsFault } from "../fault.ts";
import { knownConditionKeys } from "../iam/condition-keys.ts";
import { invalidPrincipals, type Policy, PolicyRefusal, parsePolicy } from "../iam/policy.ts";
import { type PrincipalPattern, principalArnOf } from "../iam/principal.ts";
import type { Scope } from "./identifiers.ts";

const FORM = { kind: "resource", knownConditionKeys: knownConditionKeys("kms") } as const;

/** @throws {AwsFault} `MalformedPolicyDocumentException` */
export function readKeyPolicy(text: string, directory: Directory): Policy {
  try {
    const policy = parsePolicy(text, FORM);
    const patterns = policy.statements.flatMap(({ principals }) => principals?.patterns ?? []);
    if (!patterns.every((pattern) => isThere(pattern, directory))) throw invalidPrincipals();
    return policy;
  } catch (cause) {
    if (cause instanceof PolicyRefusal) throw malformedPolicy(cause.message);
    throw cause;
  }
}

/** KMS keeps a principal by its unique id, so whoever is named must exist; a federated user, its account. */
export function isThere(pattern: PrincipalPattern, directory: Directory): boolean {
  if (pattern.kind === "account") return directory.hasAccount(pattern.accountId);
  if (pattern.kind !== "arn") return true;
  const [, federatedAccount] = /^arn:[a-z-]+:sts::(\d{12}):federated-user\//.exec(pattern.arn) ?? [];
  return federatedAccount === undefined
    ? directory.hasPrincipal(principalArnOf(pattern.arn))
    : directory.hasAccount(federatedAccount);
}

export function defaultKeyPolicy({ partition, accountId }: Scope): string {
  return JSON.stringify({
    Version: "2012-10-17",
    Id: "key-default-1",
    Statement: [
      {
        Sid: "Enable IAM User Permissions",
        Effect: "Allow",
        Principal: { AWS: `arn:${partition}:iam::${accountId}:root` },
        Action: "kms:*",
        Resource: "*",
      },
    ],
  });
}

/** Services that call KMS under another name than their alias has. */
const VIA_SERVICE: Readonly<Record<string, string>> = { ebs: "ec2" };

/** The policy of an AWS managed key: whoever in the account goes through the service may use it, and nobody else. */
export function managedKeyPolicy({ partition, accountId, region }: Scope, service: string): string {
  const via = `${VIA_SERVICE[service] ?? service}.${region}.amazonaws.com`;
  return JSON.stringify({
    Version: "2012-10-17",
    Id: `auto-${service}-1`,
    Statement: [
      {
        Sid: `Allow access through ${service} for all principals in the account that are authorized to use it`,
        Effect: "Allow",
        Principal: { AWS: "*" },
        Action: [
          "kms:Encrypt",
          "kms:Decrypt",
          "kms:ReEncrypt*",
          "kms:GenerateDataKey*",
          "kms:CreateGrant",
          "kms:DescribeKey",
        ],
        Resource: "*",
        Condition: {
          StringEquals: { "kms:CallerAccount": accountId, "kms:ViaService": via },
        },
      },
      {
        Sid: "Allow direct access to key metadata to the account",
        Effect: "Allow",
        Principal: { AWS: `arn:${partition}:iam::${accountId}:root` },
        Action: ["kms:Describe*", "kms:Get*", "kms:List*", "kms:RevokeGrant"],
        Resource: "*",
      },
    ],
  });
}

export function lockedOut(): AwsFault {
  return malformedPolicy("The new key policy will not allow you to update the key policy in the future.");
}

function malformedPolicy(message: string): AwsFault {
  return new AwsFault("MalformedPolicyDocumentException", message);
}

const parsed = new WeakMap<object, Policy>();

/** The policy of a row that was checked when it was written; read once for each row. */
export function policyOf(row: { readonly policy: string }): Policy {
  const known = parsed.get(row);
  if (known) return known;
  const policy = parsePolicy(row.policy, "resource");
  parsed.set(row, policy);
  return policy;
}
