/**
 * Opens a session: new credentials, its row in the directory, and what the caller is told of it.
 *
 * @module
 */
import { newCredentials } from "../credentials.ts";
import type { CredentialRow, PrincipalRow } from "../directory-rows.ts";
import type { JsonObject } from "../json.ts";
import type { StsRequest } from "./request.ts";

export interface NewSession
  extends Omit<
    CredentialRow,
    "accessKeyId" | "secretAccessKey" | "sessionToken" | "expiresAt" | "principalArn" | "mfaAt"
  > {
  readonly principal: PrincipalRow;
  readonly durationSeconds: number;
  readonly hasMfa: boolean;
}

/** Gives the `Credentials` of the answer. @throws {AwsFault} `Throttling`: too many sessions */
export function openSession({ call, directory }: StsRequest, session: NewSession): JsonObject {
  const { principal, durationSeconds, hasMfa, context, ...rest } = session;
  const { accessKeyId, secretAccessKey, sessionToken } = newCredentials(principal.accountId);
  const { now } = call;
  const expiresAt = new Date(now.getTime() + durationSeconds * 1000);
  const row: CredentialRow = {
    ...{ accessKeyId, secretAccessKey, sessionToken, expiresAt: expiresAt.toISOString(), principalArn: principal.arn },
    ...rest,
    ...(hasMfa ? { mfaAt: now.toISOString() } : {}),
    context: {
      ...context,
      "aws:tokenissuetime": [now.toISOString()],
      "aws:multifactorauthpresent": [String(hasMfa)],
      ...(rest.sourceIdentity === undefined ? {} : { "aws:sourceidentity": [rest.sourceIdentity] }),
    },
  };
  directory.addSession(row, now);
  return {
    AccessKeyId: accessKeyId,
    SecretAccessKey: secretAccessKey,
    SessionToken: sessionToken,
    Expiration: `${expiresAt.toISOString().slice(0, 19)}Z`,
  };
}

/** The `AssumedRoleUser` of the answer. */
export function assumedRoleUser({ partition, accountId, name, id }: PrincipalRow, sessionName: string): JsonObject {
  return {
    AssumedRoleId: `${id}:${sessionName}`,
    Arn: `arn:${partition}:sts::${accountId}:assumed-role/${name}/${sessionName}`,
  };
}
