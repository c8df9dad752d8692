/**
 * Writes the KMS key policy that releases a key to one measured image: allow on match, deny otherwise.
 *
 *   allow   the owner's administrator   manage the key, but not decrypt
 *   allow   the owner's sealer          make data keys
 *   allow   the enclave's role          Decrypt, when PCR0, PCR1 and PCR2 are all the image's
 *   deny    everyone                    Decrypt, when PCR0 or PCR1 or PCR2 differs or no document came
 *   deny    everyone                    CreateGrant, ReEncrypt*, which carry no attestation
 *
 * The account root is not named, so IAM policies alone open nothing. Whoever may call PutKeyPolicy can change all of
 * this: that is the administrator, and the one to watch.
 *
 * Source: KMS Developer Guide, "Condition keys for attested platforms"; IAM User Guide, "Multiple keys or values".
 *
 * @module
 */

/** PCR0, PCR1 and PCR2 of an image, 96 lower-case hex digits each. */
export interface ImageRegisters {
  readonly pcr0: string;
  readonly pcr1: string;
  readonly pcr2: string;
}

export interface AttestedKeyPolicyOptions {
  /** Role ARN that administers the key. */
  readonly administrator: string;
  /** Role ARN that seals data. */
  readonly sealer: string;
  /** Role ARN under which the enclave calls KMS; may be of another account. */
  readonly enclaveRole: string;
  readonly image: ImageRegisters;
}

export interface PolicyStatement {
  readonly Sid: string;
  readonly Effect: "Allow" | "Deny";
  readonly Principal: { readonly AWS: string };
  readonly Action: readonly string[];
  readonly Resource: string;
  readonly Condition?: Readonly<Record<string, Readonly<Record<string, string>>>>;
}

export interface PolicyDocument {
  readonly Version: "2012-10-17";
  readonly Statement: readonly PolicyStatement[];
}

const ADMINISTRATION = [
  "kms:DescribeKey",
  "kms:GetKeyPolicy",
  "kms:PutKeyPolicy",
  "kms:EnableKey",
  "kms:DisableKey",
  "kms:TagResource",
  "kms:UntagResource",
  "kms:ScheduleKeyDeletion",
  "kms:CancelKeyDeletion",
];

/** @throws {TypeError} a principal that is not one role or user; a register that is not 96 lower-case hex digits, or all zero: that is debug mode */
export function attestedKeyPolicy(options: AttestedKeyPolicyOptions): PolicyDocument {
  const { administrator, sealer, enclaveRole, image } = options;
  for (const arn of [administrator, sealer, enclaveRole]) checkRole(arn);
  const registers = Object.entries({ PCR0: image.pcr0, PCR1: image.pcr1, PCR2: image.pcr2 }).map(
    ([name, value]): [string, string] => {
      if (!/^[0-9a-f]{96}$/.test(value) || /^0+$/.test(value)) throw new TypeError(`${name} is not a measurement`);
      return [`kms:RecipientAttestation:${name}`, value];
    },
  );
  return {
    Version: "2012-10-17",
    Statement: [
      allow("AdministerTheKey", administrator, ADMINISTRATION),
      allow("SealData", sealer, ["kms:DescribeKey", "kms:GenerateDataKey", "kms:Encrypt"]),
      {
        ...allow("ReleaseToMeasuredCode", enclaveRole, ["kms:Decrypt"]),
        Condition: { StringEqualsIgnoreCase: Object.fromEntries(registers) },
      },
      // One statement a register: the keys of one condition block are joined by AND, here each alone must deny.
      ...registers.map(([key, value]) => ({
        ...deny(`NoReleaseUnless${key.slice(-4)}Matches`, ["kms:Decrypt"]),
        Condition: { StringNotEqualsIgnoreCase: { [key]: value } },
      })),
      deny("NoWayAround", ["kms:CreateGrant", "kms:ReEncryptFrom", "kms:ReEncryptTo"]),
    ],
  };
}

/** A policy for a key whose image is not built yet: it can be administered, and nothing else. */
export function closedKeyPolicy(administrator: string): PolicyDocument {
  checkRole(administrator);
  return { Version: "2012-10-17", Statement: [allow("AdministerTheKey", administrator, ADMINISTRATION)] };
}

/** The identity policy that the enclave's role needs in its own account: across accounts both sides must allow. */
export function enclaveRolePolicy(keyArns: readonly string[]): Readonly<Record<string, unknown>> {
  const statement = { Sid: "UseTheOwnersKeys", Effect: "Allow", Action: ["kms:Decrypt"], Resource: keyArns };
  return { Version: "2012-10-17", Statement: [statement] };
}

/** One role or user by name: an account or `*` would hand the gate to whoever writes IAM policies. */
function checkRole(arn: string): void {
  if (/^arn:aws[a-z-]*:iam::[0-9]{12}:(role|user)\/[\w+=,.@/-]{1,512}$/.test(arn)) return;
  throw new TypeError(`expected the ARN of one IAM role or user, got ${JSON.stringify(arn)}`);
}

function allow(Sid: string, principal: string, Action: readonly string[]): PolicyStatement {
  return { Sid, Effect: "Allow", Principal: { AWS: principal }, Action, Resource: "*" };
}

function deny(Sid: string, Action: readonly string[]): PolicyStatement {
  return { Sid, Effect: "Deny", Principal: { AWS: "*" }, Action, Resource: "*" };
}
