/**
 * What a running mock AWS says of itself: where it is, who is in it, what it trusts, and what time it thinks it is.
 * Access key ids are among it, secrets are not.
 *
 * @module
 */
import { createHash } from "node:crypto";
import type { Directory } from "./directory.ts";
import type { QuotaOption } from "./kms/quotas.ts";
import type { KmsState } from "./kms/state.ts";
import type { Trust } from "./trust.ts";

export interface MockAwsStatus {
  readonly trust: "mock";
  readonly url: string;
  readonly regions: readonly string[];
  /** ISO 8601, by the emulator's clock. */
  readonly now: string;
  readonly state: "durable" | "memory";
  readonly accounts: readonly {
    readonly accountId: string;
    readonly partition: string;
    readonly principals: readonly { readonly arn: string; readonly accessKeyIds: readonly string[] }[];
  }[];
  readonly keys: number;
  readonly sessions: number;
  /** SHA-256 of each root's DER, hex. With none, every attestation document is refused. */
  readonly attestationRoots: readonly string[];
  readonly quotas: QuotaOption;
  /** Requests that quotas have refused. */
  readonly throttled: number;
  readonly trailRecords: number;
}

export interface StatusParts {
  readonly directory: Directory;
  readonly kms: KmsState;
  readonly trust: Trust;
}

export function statusOf(
  { directory, kms, trust }: StatusParts,
  facts: Pick<MockAwsStatus, "url" | "now" | "state" | "trailRecords">,
): MockAwsStatus {
  const { accounts, principals, credentials, sessions } = directory.snapshot();
  return {
    trust: "mock",
    ...facts,
    regions: [...kms.settings.regions],
    accounts: accounts.map(({ accountId, partition }) => ({
      ...{ accountId, partition },
      principals: principals
        .filter((row) => row.accountId === accountId)
        .map(({ arn }) => ({
          arn,
          accessKeyIds: credentials.filter((row) => row.principalArn === arn).map(({ accessKeyId }) => accessKeyId),
        })),
    })),
    keys: kms.keys.tables.keys.size,
    sessions: sessions.length,
    attestationRoots: trust.roots.map((root) => createHash("sha256").update(root).digest("hex")),
    quotas: kms.quotas.option,
    throttled: kms.quotas.throttled,
  };
}
