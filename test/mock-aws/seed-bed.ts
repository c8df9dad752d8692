/** What the tests of seeds share: an account's team, a key of it, and what a seed is refused for. */
import type { MockAws } from "../../mock/aws/emulator.ts";
import { loadSeed } from "../../mock/aws/seed.ts";
import type { MockAwsSeed, SeedAccount, SeedKey, SeedPrincipal } from "../../mock/aws/seed-file.ts";
import { isConfigError } from "../../shared/errors/index.ts";
import { allow } from "./testbed.ts";

export const TEAM = "222233334444";
export const HOME = "eu-central-1";
export const AWAY = "us-east-1";
export const team: SeedAccount = {
  accountId: TEAM,
  principals: [
    { type: "user", name: "admin", identityPolicies: [allow("*")], credentials: "generate" },
    { type: "role", name: "enclave", credentials: "generate" },
  ],
};
export const place = { accountId: TEAM, region: HOME } as const;
export const root = {
  Effect: "Allow",
  Principal: { AWS: `arn:aws:iam::${TEAM}:root` },
  Action: "kms:*",
  Resource: "*",
} as const;
export const onlyEnclave = {
  Version: "2012-10-17",
  Statement: [{ ...root, Principal: { AWS: `arn:aws:iam::${TEAM}:role/enclave` }, Action: "kms:Decrypt" }],
} as const;

/** A user of no credentials. */
export const user = (name: string): SeedPrincipal => ({ type: "user", name });
export const key = (members: object = {}): SeedKey => ({ ...place, name: "invoices", ...members });
export const INVALID = "ERR_CONFIG_FIELD_INVALID";
export const UNKNOWN = "ERR_CONFIG_FIELD_UNKNOWN";
export const MISSING = "ERR_CONFIG_FIELD_MISSING";

/** The code and the field that a seed is refused for, or `taken`. */
export function refusalBy(aws: MockAws, seed: unknown): Promise<string> {
  return loadSeed(aws, seed as MockAwsSeed).then(
    () => "taken",
    (error: unknown) => (isConfigError(error) ? `${error.code} ${error.message.split(" ")[0]}` : String(error)),
  );
}
