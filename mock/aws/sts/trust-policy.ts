/**
 * Reads a role's trust policy: a resource policy that names no resource, since it hangs on one.
 *
 * Source: IAM User Guide, "How to use trust policies with IAM roles".
 *
 * @module
 */
import { type Policy, type PolicyDocument, PolicyRefusal, type PolicyStatement, parsePolicy } from "../iam/policy.ts";

/** @throws {PolicyRefusal} */
export function readTrustPolicy(document: PolicyDocument): Policy {
  const { Statement: given } = document;
  const statements: readonly PolicyStatement[] = Array.isArray(given) ? given : [given as PolicyStatement];
  if (statements.some((statement) => "Resource" in statement || "NotResource" in statement))
    throw new PolicyRefusal("Has prohibited field Resource");
  // Resource policies without one never match; here the role is meant.
  const onTheRole = statements.map((statement) => ({ ...statement, Resource: "*" }));
  return parsePolicy(JSON.stringify({ ...document, Statement: onTheRole }), "resource");
}
