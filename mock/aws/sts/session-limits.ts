/**
 * Which operations of STS the credentials of a session may call, whatever its policies allow.
 *
 *   a user's or root's (GetSessionToken)        AssumeRole, GetCallerIdentity
 *   a federated user's (GetFederationToken)     GetCallerIdentity
 *   a role's                                    all but those two that make sessions of a user
 *
 * Source: IAM User Guide, "Compare AWS STS credentials".
 *
 * @module
 */
import type { Caller } from "../iam/principal.ts";
import { accessDenied, type StsRequest } from "./request.ts";

const OF_USERS: ReadonlySet<string> = new Set(["AssumeRole", "GetCallerIdentity"]);
const ALLOWED: Readonly<Record<Caller["type"], ReadonlySet<string>>> = {
  user: OF_USERS,
  root: OF_USERS,
  "federated-user": new Set(["GetCallerIdentity"]),
  role: new Set(["AssumeRole", "DecodeAuthorizationMessage", "GetAccessKeyInfo", "GetCallerIdentity"]),
  service: new Set(),
};

/** @throws {AwsFault} `AccessDenied` */
export function assertMayCall({ call, caller, directory }: StsRequest): void {
  const isSession = directory.find(caller.accessKeyId)?.row.sessionToken !== undefined;
  if (isSession && !ALLOWED[caller.type].has(call.operation))
    throw accessDenied(`Cannot call ${call.operation} with session credentials`);
}
