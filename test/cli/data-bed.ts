/** An emulator over plain HTTP with one user, for the commands that find their credentials in the environment. */
import { KMS } from "@aws-sdk/client-kms";
import { type MockAwsOptions, newCredentials } from "../../mock/aws/index.ts";

const made = newCredentials();
const admin = { accessKeyId: made.accessKeyId.replace(/^ASIA/, "AKIA"), secretAccessKey: made.secretAccessKey };

/** Nothing of who runs the tests: no profile, no session, no instance's role. */
export const ADMIN_ENVIRONMENT: Readonly<Record<string, string>> = {
  AWS_ACCESS_KEY_ID: admin.accessKeyId,
  AWS_SECRET_ACCESS_KEY: admin.secretAccessKey,
  AWS_SESSION_TOKEN: "",
  AWS_PROFILE: "",
  AWS_CONFIG_FILE: "/nonexistent",
  AWS_SHARED_CREDENTIALS_FILE: "/nonexistent",
  AWS_EC2_METADATA_DISABLED: "true",
};

export function emulatorOptions(): MockAwsOptions {
  const allow = { Effect: "Allow" as const, Action: "*", Resource: "*" };
  const identityPolicies = [{ Version: "2012-10-17" as const, Statement: [allow] }];
  const principals = [{ type: "user" as const, name: "admin", identityPolicies, credentials: [admin] }];
  return {
    accounts: [{ accountId: "111122223333", principals }],
    regions: ["eu-central-1"],
    attestationRoots: [],
    tls: false,
  } as never;
}

export async function newKeyOf(endpoint: string): Promise<string> {
  const kms = new KMS({ endpoint, region: "eu-central-1", credentials: admin });
  const { KeyMetadata } = await kms.createKey({});
  kms.destroy();
  return KeyMetadata?.Arn ?? "";
}
