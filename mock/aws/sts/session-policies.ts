/**
 * Reads the policies that a session is given: one inline, up to ten by ARN. They narrow what the session may do.
 *
 * How AWS packs policies and tags is not documented. Here the percentage is what deflate leaves of them, of 2 048 bytes.
 *
 * Source: STS API Reference, AssumeRole, `Policy`, `PolicyArns`, `PackedPolicySize`.
 *
 * @module
 */
import { deflateRawSync } from "node:zlib";
import type { Directory } from "../directory.ts";
import type { CredentialRow, PrincipalRow } from "../directory-rows.ts";
import { AwsFault } from "../fault.ts";
import { type PolicyDocument, PolicyRefusal, parsePolicy } from "../iam/policy.ts";
import { validationError } from "./request.ts";

export interface SessionPolicyInput {
  readonly Policy?: string;
  readonly PolicyArns?: readonly { readonly arn?: string }[];
}

const PLAINTEXT_MAX = 2_048;
const PACKED_MAX = 2_048;
const ARNS_MAX = 10;

/** Nothing if none is given; by ARN only those of the owner's account: the role's or the user's. @throws {AwsFault} `MalformedPolicyDocument`, `PackedPolicyTooLarge` */
export function readSessionPolicies(
  { Policy: inline, PolicyArns: descriptors = [] }: SessionPolicyInput,
  { directory, owner }: { readonly directory: Directory; readonly owner: PrincipalRow },
): CredentialRow["sessionPolicies"] {
  const arns = descriptors.flatMap(({ arn }) => (arn === undefined ? [] : [arn]));
  if (inline === undefined && arns.length === 0) return undefined;
  if (arns.length > ARNS_MAX) throw validationError(`The number of policy ARNs can not exceed ${ARNS_MAX}`);
  if ((inline?.length ?? 0) + arns.join("").length > PLAINTEXT_MAX) throw tooLarge(100 + arns.length);
  const managed = arns.map((arn) => {
    const row = directory.managedPolicy(arn);
    if (!row || row.accountId !== owner.accountId) throw malformed(`Policy ${arn} does not exist`);
    return { name: `session policy ${arn}`, document: row.document };
  });
  return inline === undefined ? managed : [{ name: "inline session policy", document: readInline(inline) }, ...managed];
}

/** In percent of what there is room for. @throws {AwsFault} `PackedPolicyTooLarge` */
export function packedSize(input: SessionPolicyInput, tags: Readonly<Record<string, string>>): number {
  const packed = deflateRawSync(JSON.stringify([input.Policy, input.PolicyArns, tags])).length;
  const percent = Math.ceil((packed * 100) / PACKED_MAX);
  if (percent > 100) throw tooLarge(percent);
  return percent;
}

function readInline(text: string): PolicyDocument {
  try {
    parsePolicy(text, "identity");
  } catch (cause) {
    if (!(cause instanceof PolicyRefusal)) throw cause;
    throw malformed(cause.message);
  }
  return JSON.parse(text) as PolicyDocument;
}

function malformed(message: string): AwsFault {
  return new AwsFault("MalformedPolicyDocument", message);
}

function tooLarge(percent: number): AwsFault {
  const message = `Packed policy consumes ${percent}% of allotted space, please use smaller policy.`;
  return new AwsFault("PackedPolicyTooLarge", message);
}
