/**
 * The AWS that recipes run against: one account, the recordings' own number for it, two Regions, a user who may do all.
 *
 * @module
 */
import { Agent } from "node:https";
import { newCredentials } from "../../mock/aws/credentials.ts";
import { type MockAccount, startMockAws } from "../../mock/aws/index.ts";

export interface SigningCredentials {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly sessionToken?: string;
}

export interface Cloud extends AsyncDisposable {
  readonly url: string;
  readonly agent: Agent;
  readonly accountId: string;
  /** Of a user: AWS lets no role have a federation token. */
  readonly credentials: SigningCredentials;
  /** Moves the emulated clock on. */
  readonly passTime: (ms: number) => void;
}

/** The recordings write every account so. */
const ACCOUNT = "111111111111";

/** So far may `passTime` take the emulated clock from the clients'. */
const A_DAY = 86_400_000;

export async function startCloud(): Promise<Cloud> {
  const { secretAccessKey, accessKeyId } = newCredentials();
  const credentials = { accessKeyId: accessKeyId.replace(/^ASIA/, "AKIA"), secretAccessKey };
  let offsetMs = 0;
  const aws = await startMockAws({
    accounts: [account(credentials)],
    regions: ["us-east-1", "ap-southeast-1"],
    attestationRoots: [],
    maxClockSkewMs: A_DAY,
    now: () => new Date(Date.now() + offsetMs),
  });
  const agent = new Agent({ ca: aws.caCertificatePem, keepAlive: true });
  return {
    url: aws.url,
    agent,
    accountId: ACCOUNT,
    credentials,
    passTime: (ms) => void (offsetMs += ms),
    [Symbol.asyncDispose]: async () => {
      agent.destroy();
      await aws.close();
    },
  };
}

/** The user who asks, and the two roles that the recordings made with IAM's CreateRole. */
function account(credentials: SigningCredentials): MockAccount {
  const all = { Version: "2012-10-17" as const, Statement: [{ Effect: "Allow" as const, Action: "*", Resource: "*" }] };
  const Action = ["sts:AssumeRole", "sts:TagSession"];
  const trustPolicy = {
    Version: "2012-10-17" as const,
    Statement: [{ Effect: "Allow" as const, Principal: { AWS: ACCOUNT }, Action }],
  };
  const role = (name: string) => ({
    ...{ type: "role" as const, name, trustPolicy, identityPolicies: [all], credentials: [] },
  });
  const user = { type: "user" as const, name: "recorder", identityPolicies: [all], credentials: [credentials] };
  return { accountId: ACCOUNT, principals: [user, role("role-1"), role("role-2")] };
}
