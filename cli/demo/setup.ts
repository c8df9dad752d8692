/**
 * What the demo's processes are started with: accounts and credentials for the emulated AWS, the parent's list, a folder.
 *
 * @module
 */
import { mkdtemp } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { newCredentials } from "../../mock/index.ts";
import { ConfigError } from "../../shared/errors/index.ts";
import { IDENTITY_POLICIES, IMPOSTOR_REGION, OPERATOR_ACCOUNT, OWNERS, type RoleName, type Session } from "./cast.ts";

/** The context id of the enclave behind the parent's ingress. */
export const MAIN_CID = 16;

/** Unix sockets have paths of 107 bytes at most; the deepest one here takes 20 after this folder. */
export async function makeFolder(): Promise<string> {
  const path = tmpdir();
  if (path.length > 60)
    throw new ConfigError("ERR_CONFIG_FILE", { path, reason: "TMPDIR is longer than 60 characters" });
  try {
    return await mkdtemp(join(path, "cloister-"));
  } catch (cause) {
    const { code = "unusable" } = cause as NodeJS.ErrnoException;
    throw new ConfigError("ERR_CONFIG_FILE", { path, reason: `no temporary folder there: ${code}` }, { cause });
  }
}

export function castAccounts(): { accounts: object[]; sessions: Map<string, Session> } {
  const sessions = new Map<string, Session>();
  const account = (accountId: string, roles: readonly RoleName[]): object => ({
    accountId,
    principals: roles.map((name) => {
      const session = newCredentials();
      sessions.set(`${accountId}/${name}`, session);
      return { type: "role", name, identityPolicies: [IDENTITY_POLICIES[name]], credentials: [session] };
    }),
  });
  const accounts = OWNERS.map(({ accountId }) => account(accountId, ["key-admin", "sealer"]));
  return { accounts: [...accounts, account(OPERATOR_ACCOUNT, ["enclave-host"])], sessions };
}

export function sessionOf(sessions: ReadonlyMap<string, Session>, accountId: string, role: RoleName): Session {
  const session = sessions.get(`${accountId}/${role}`);
  if (!session) throw new TypeError(`no role ${role} in account ${accountId}`);
  return session;
}

export interface ParentSetup {
  readonly vsock: string;
  readonly awsPort: number;
  readonly impostorPort: number;
  readonly captureFile: string;
  readonly session: Session;
}

/**
 * The parent may reach three regions' KMS and nothing else. The emulated AWS answers under the names of two; the third
 * the parent answers itself, since it is hostile.
 */
export function parentOptions({ vsock, awsPort, impostorPort, captureFile, session }: ParentSetup): object {
  const target = (region: string): string => `kms.${region}.amazonaws.com:443`;
  const genuine = OWNERS.map(({ region }) => [target(region), `127.0.0.1:${awsPort}`]);
  const hosts = Object.fromEntries([...genuine, [target(IMPOSTOR_REGION), `127.0.0.1:${impostorPort}`]]);
  return {
    peer: { kind: "unix", folder: join(vsock, "3") },
    enclave: { kind: "unix", folder: join(vsock, String(MAIN_CID)) },
    allowlist: Object.keys(hosts),
    hosts,
    credentials: {
      AccessKeyId: session.accessKeyId,
      SecretAccessKey: session.secretAccessKey,
      Token: session.sessionToken,
      Expiration: new Date(Date.now() + 3_600_000).toISOString(),
    },
    ingress: "tcp://127.0.0.1:0",
    captureFile,
  };
}
