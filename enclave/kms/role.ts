/**
 * Lets credentials pass only if they are those of one role: STS is asked whose they are, once for each set.
 *
 * The parent hands the credentials in and may hand in others. What they may decrypt is decided by the key's policy; this
 * pin keeps an enclave from working for a role that it was not made for at all.
 *
 * Source: AWS STS API Reference, GetCallerIdentity; IAM User Guide, "IAM identifiers" (ARNs of assumed roles).
 *
 * @module
 */
import type { KMSClientConfig } from "@aws-sdk/client-kms";
import { KmsError } from "../../shared/errors/index.ts";

export type Credentials = NonNullable<KMSClientConfig["credentials"]>;
type Provider = Extract<Credentials, (...args: never[]) => unknown>;
export type Identity = Awaited<ReturnType<Provider>>;

export interface PinnedRoleOptions {
  readonly credentials: Credentials;
  /** `arn:aws:iam::<account>:role/<path><name>`. */
  readonly expectedRoleArn: string;
  /** The ARN that STS gives for credentials. */
  readonly callerArn: (identity: Identity) => Promise<string>;
}

const ROLE = /^arn:(aws[a-z-]*):iam::([0-9]{12}):role\/(?:[\x21-\x7e]{1,510}\/)?([\w+=,.@-]{1,64})$/;

/**
 * A provider that throws `ERR_KMS_ROLE_MISMATCH` for credentials of anybody else.
 *
 * @throws {TypeError} not the ARN of a role
 */
export function pinnedRole({ credentials, expectedRoleArn, callerArn }: PinnedRoleOptions): () => Promise<Identity> {
  const [, partition, account, name] = ROLE.exec(expectedRoleArn) ?? [];
  if (name === undefined) throw new TypeError(`not the ARN of a role: ${JSON.stringify(expectedRoleArn)}`);
  // The path of a role is not in the ARN of its sessions; a name is unique in its account.
  const sessions = `arn:${partition}:sts::${account}:assumed-role/${name}/`;
  const provide = typeof credentials === "function" ? credentials : async () => credentials;
  const known = new Map<string, Promise<void>>();
  const check = async (identity: Identity): Promise<void> => {
    const actual = await callerArn(identity);
    if (!actual.startsWith(sessions)) {
      throw new KmsError("ERR_KMS_ROLE_MISMATCH", { expected: expectedRoleArn, actual: actual.slice(0, 200) });
    }
  };
  return async () => {
    const identity = await provide();
    const id = JSON.stringify([identity.accessKeyId, identity.sessionToken]);
    let checked = known.get(id);
    if (!checked) {
      checked = check(identity);
      known.clear();
      known.set(id, checked);
      checked.catch(() => known.delete(id)); // whoever waits sees the failure; the next asks again
    }
    await checked;
    return identity;
  };
}
