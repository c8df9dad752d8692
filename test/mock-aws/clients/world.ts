/**
 * An emulator over HTTPS for AWS's own command line and boto3, and where these are installed.
 *
 * The clients know of it by AWS's own variables only: endpoint, CA bundle, credentials.
 *
 * @module
 */
import { execFile } from "node:child_process";
import { generateKeyPairSync, type KeyObject, sign } from "node:crypto";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { homedir, tmpdir } from "node:os";
import { join } from "node:path";
import { type MockAws, type MockAwsOptions, newCredentials, startMockAws } from "../../../mock/aws/index.ts";

const cache = process.env["XDG_CACHE_HOME"] ?? join(homedir(), ".cache");
/** Made by `make aws-clients`. */
const clients = join(cache, "cloister", "aws-clients", "bin");
export const PYTHON: string = join(clients, "python");
export const AWS: string = join(clients, "aws");
export const hasClients: boolean = existsSync(AWS);

export const ACCOUNT = "111122223333";
export const REGION = "eu-central-1";
const ISSUER = "token.example.com/pool";

export interface World extends AsyncDisposable {
  readonly aws: MockAws;
  readonly folder: string;
  readonly environment: Readonly<Record<string, string>>;
  readonly roles: Readonly<Record<"worker" | "bare" | "web", string>>;
  /** Of an OpenID Connect provider that role `web` trusts. */
  readonly token: string;
  /** Allows kms:GenerateRandom and nothing else. */
  readonly randomOnly: string;
}

const allowing = (action: string) => ({
  Version: "2012-10-17" as const,
  Statement: [{ Effect: "Allow" as const, Action: action, Resource: "*" }],
});
const trusting = (principal: object, action: string) => ({
  Version: "2012-10-17" as const,
  Statement: [{ Effect: "Allow" as const, Principal: principal as never, Action: action }],
});

/** User `alice` may do all; roles: `worker` all of KMS, `bare` nothing by itself, `web` for a federated caller. */
export async function startWorld(): Promise<World> {
  const { accessKeyId, secretAccessKey } = newCredentials();
  const alice = { accessKeyId: accessKeyId.replace(/^ASIA/, "AKIA"), secretAccessKey };
  const issuer = generateKeyPairSync("rsa", { modulusLength: 2048 });
  const aws = await startMockAws(optionsFor(alice, issuer.publicKey));
  const folder = mkdtempSync(join(tmpdir(), "cloister-clients-"));
  writeFileSync(join(folder, "ca.pem"), aws.caCertificatePem);
  const role = (name: string): string => `arn:aws:iam::${ACCOUNT}:role/${name}`;
  return {
    ...{ aws, folder },
    environment: {
      AWS_ENDPOINT_URL: aws.url,
      AWS_CA_BUNDLE: join(folder, "ca.pem"),
      AWS_ACCESS_KEY_ID: alice.accessKeyId,
      AWS_SECRET_ACCESS_KEY: alice.secretAccessKey,
      AWS_DEFAULT_REGION: REGION,
      // Nothing of who runs the tests: no profile, no instance's role, no pager.
      ...{ AWS_CONFIG_FILE: join(folder, "config"), AWS_SHARED_CREDENTIALS_FILE: join(folder, "credentials") },
      ...{ AWS_EC2_METADATA_DISABLED: "true", AWS_PAGER: "", HOME: folder, PATH: process.env["PATH"] ?? "" },
    },
    roles: { worker: role("worker"), bare: role("bare"), web: role("web") },
    token: tokenOf(issuer.privateKey),
    randomOnly: JSON.stringify(allowing("kms:GenerateRandom")),
    [Symbol.asyncDispose]: async () => {
      await aws.close();
      rmSync(folder, { recursive: true });
    },
  };
}

function optionsFor(alice: { accessKeyId: string; secretAccessKey: string }, issuer: KeyObject): MockAwsOptions {
  const role = (name: string, identityPolicies: ReturnType<typeof allowing>[], trustPolicy: object) =>
    ({ type: "role", name, identityPolicies, trustPolicy, credentials: [] }) as never;
  const byAccount = trusting({ AWS: `arn:aws:iam::${ACCOUNT}:root` }, "sts:AssumeRole");
  const federated = { Federated: `arn:aws:iam::${ACCOUNT}:oidc-provider/${ISSUER}` };
  return {
    accounts: [
      {
        accountId: ACCOUNT,
        principals: [
          { type: "user", name: "alice", identityPolicies: [allowing("*")], credentials: [alice] },
          role("worker", [allowing("kms:*")], byAccount),
          role("bare", [], byAccount),
          role("web", [allowing("kms:GenerateRandom")], trusting(federated, "sts:AssumeRoleWithWebIdentity")),
        ],
        oidcProviders: [
          {
            url: `https://${ISSUER}`,
            clientIds: ["app"],
            jwks: { keys: [{ ...issuer.export({ format: "jwk" }), kid: "one" }] },
          },
        ],
      },
    ],
    regions: [REGION, "us-east-1"],
    attestationRoots: [],
  };
}

function tokenOf(key: KeyObject): string {
  const now = Math.floor(Date.now() / 1000);
  const claims = { iss: `https://${ISSUER}`, aud: "app", sub: "carol-1234", iat: now - 10, exp: now + 3600 };
  const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString("base64url");
  const signed = `${part({ alg: "RS256", kid: "one" })}.${part(claims)}`;
  return `${signed}.${sign("sha256", Buffer.from(signed), key).toString("base64url")}`;
}

export interface Ran {
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a program in the world's environment; the emulator answers from this process meanwhile. */
export function run(
  world: World,
  command: readonly string[],
  { input = "", environment = {} }: { readonly input?: string; readonly environment?: Record<string, string> } = {},
): Promise<Ran> {
  const [program = "", ...args] = command;
  const env = { ...world.environment, ...environment };
  return new Promise((resolve) => {
    const child = execFile(program, args, { env, cwd: world.folder, maxBuffer: 1 << 26 }, (error, stdout, stderr) => {
      resolve({ status: error ? Number(error.code ?? 1) : 0, stdout, stderr });
    });
    child.stdin?.end(input);
  });
}
