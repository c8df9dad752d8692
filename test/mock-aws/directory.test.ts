/** The directory: accounts in three partitions, lookups, sessions, snapshots, host names. */
import { describe, expect, test } from "vitest";
import type { MockAccount } from "../../mock/aws/accounts.ts";
import { accountOf, newCredentials, uniqueId } from "../../mock/aws/credentials.ts";
import { createDirectory } from "../../mock/aws/directory.ts";
import { endpointHosts, partitionOf, readEndpoint } from "../../mock/aws/partition.ts";
import { isConfigError } from "../../shared/errors/index.ts";
import { ACCOUNT, allow, CHINA, NOW, PARTNER, trust, userKeys } from "./door-bed.ts";

const keys = userKeys();
const session = newCredentials();
const account: MockAccount = {
  accountId: ACCOUNT,
  principals: [
    {
      ...{ type: "user", name: "alice", path: "/staff/", tags: { Team: "blue" }, identityPolicies: [allow("kms:*")] },
      ...{ credentials: [keys], permissionsBoundary: allow("kms:Decrypt") },
    },
    {
      ...{ type: "role", name: "job", path: "/service/", identityPolicies: [], trustPolicy: trust({ AWS: ACCOUNT }) },
      credentials: [{ ...session, sessionName: "i-0abc" }],
    },
  ],
};

function refusal(change: object, more: readonly MockAccount[] = []): string {
  try {
    createDirectory([...more, { ...account, ...change }]);
    return "ok";
  } catch (error) {
    return isConfigError(error) && "field" in error.details ? `${error.code} ${error.details.field}` : "?";
  }
}
const user = account.principals[0];
const first = (change: object): object => ({ principals: [{ ...user, ...change }] });
const at = (field: string): string => `ERR_CONFIG_FIELD_INVALID accounts[0]${field}`;

describe("reading accounts", () => {
  test.each<readonly [string, object, string]>([
    ["as it should be", {}, "ok"],
    ["11 digits", { accountId: "1".repeat(11) }, at(".accountId")],
    ["a partition that is none", { partition: "aws-moon" }, at(".partition")],
    ["a path without slashes", first({ path: "staff" }), at(".principals[0].path")],
    ["a boundary that is no policy", first({ permissionsBoundary: {} }), at(".principals[0].permissionsBoundary")],
    ["a trust policy on a user", first({ trustPolicy: trust({ AWS: ACCOUNT }) }), at(".principals[0].trustPolicy")],
    [
      "a trust policy that names a resource",
      first({
        type: "role",
        credentials: [],
        trustPolicy: trust({ AWS: ACCOUNT }, "sts:AssumeRole", { Resource: "*" }),
      }),
      at(".principals[0].trustPolicy"),
    ],
    [
      "sessions of 59 minutes",
      first({ maxSessionDurationSeconds: 3_540 }),
      at(".principals[0].maxSessionDurationSeconds"),
    ],
    ["one name twice, by path", { principals: [user, { ...user, path: "/", credentials: [] }] }, at(".principals[1]")],
    ["one key twice", { rootCredentials: [keys] }, at(".principals[0].credentials[0].accessKeyId")],
    [
      "a provider over http",
      { oidcProviders: [{ url: "http://x.example", clientIds: [], jwks: { keys: [] } }] },
      at(".oidcProviders[0].url"),
    ],
    [
      "a provider's name with a slash",
      { samlProviders: [{ name: "a/b", issuer: "x", certificates: [] }] },
      at(".samlProviders[0].name"),
    ],
    ["a managed policy that is none", { managedPolicies: [{ name: "p", document: {} }] }, at(".managedPolicies[0]")],
  ])("%s", (_why, change, expected) => expect(refusal(change)).toBe(expected));

  test("one account twice, one key in two accounts", () => {
    expect(refusal({}, [{ ...account, principals: [] }])).toBe("ERR_CONFIG_FIELD_INVALID accounts[1].accountId");
    expect(refusal({ accountId: PARTNER }, [account])).toMatch(/accounts\[1\]\.principals\[0\]\.credentials\[0\]/);
  });
});

describe("Directory", () => {
  test("finds callers by access key", () => {
    const directory = createDirectory([account]);
    expect(directory.find(keys.accessKeyId)?.caller).toMatchObject({
      ...{ partition: "aws", accountId: ACCOUNT, type: "user", name: "alice", userId: expect.stringMatching(/^AIDA/) },
      ...{ arn: `arn:aws:iam::${ACCOUNT}:user/staff/alice`, principalArn: `arn:aws:iam::${ACCOUNT}:user/staff/alice` },
      permissionsBoundary: { name: "permissions boundary of user/alice" },
    });
    expect(directory.find(keys.accessKeyId)?.caller.context.get("aws:principaltag/team")).toEqual(["blue"]);
    expect(directory.find(session.accessKeyId)?.caller).toMatchObject({
      ...{ type: "role", principalArn: `arn:aws:iam::${ACCOUNT}:role/service/job` },
      arn: `arn:aws:sts::${ACCOUNT}:assumed-role/job/i-0abc`,
    });
    expect(directory.find("AKIAIOSFODNN7EXAMPLE")).toBeUndefined();
  });

  test("knows principals by ARN, roles also without their path, accounts by root", () => {
    const directory = createDirectory([account]);
    const known = ["user/staff/alice", "role/service/job", "role/job", "root"];
    const unknown = ["user/alice", "role/staff/job", "user/service/job", "role/alice"];
    expect(known.map((name) => directory.hasPrincipal(`arn:aws:iam::${ACCOUNT}:${name}`))).not.toContain(false);
    expect(unknown.map((name) => directory.hasPrincipal(`arn:aws:iam::${ACCOUNT}:${name}`))).not.toContain(true);
    expect(directory.hasPrincipal(`arn:aws-cn:iam::${ACCOUNT}:root`)).toBe(false);
    expect([directory.hasAccount(ACCOUNT), directory.hasAccount(PARTNER)]).toEqual([true, false]);
  });

  test("a snapshot is JSON and brings all back; an account that goes takes its keys along", () => {
    const china: MockAccount = { accountId: CHINA, partition: "aws-cn", principals: [] };
    const directory = createDirectory([account, china]);
    const row = {
      ...newCredentials(),
      principalArn: `arn:aws:iam::${ACCOUNT}:user/staff/alice`,
      expiresAt: "2026-03-01T13:00:00.000Z",
    };
    directory.addSession(row, NOW);
    const saved = JSON.parse(JSON.stringify(directory.snapshot())) as ReturnType<typeof directory.snapshot>;
    directory.removeAccount(ACCOUNT);
    expect(directory.snapshot().accounts).toEqual([{ accountId: CHINA, partition: "aws-cn" }]);
    for (const key of [keys, session, row]) expect(directory.find(key.accessKeyId)).toBeUndefined();
    directory.addAccount({ accountId: PARTNER, principals: [] });
    directory.restore(saved);
    expect(directory.snapshot()).toEqual(saved);
    expect(directory.find(row.accessKeyId)?.caller.name).toBe("alice");
    expect(directory.hasAccount(PARTNER)).toBe(false);
  });
});

describe("access keys", () => {
  test("a session's key names its account; ids of principals stay the same", () => {
    for (const accountId of ["000000000001", ACCOUNT, "999999999999"])
      expect(accountOf(newCredentials(accountId).accessKeyId)).toBe(accountId);
    expect(accountOf("nothing")).toBeUndefined();
    expect(newCredentials().accessKeyId).toMatch(/^ASIA[A-Z2-7]{16}$/);
    const arn = `arn:aws:iam::${ACCOUNT}:role/x`;
    expect(uniqueId("AROA", arn)).toMatch(/^AROA[A-Z2-7]{17}$/);
    expect([uniqueId("AROA", arn), uniqueId("AROA", `${arn}y`)]).toEqual([
      uniqueId("AROA", arn),
      expect.not.stringContaining(uniqueId("AROA", arn)),
    ]);
  });
});

describe("endpoints", () => {
  test.each<readonly [string, ReturnType<typeof readEndpoint>]>([
    ["kms.eu-central-1.amazonaws.com", { service: "kms", region: "eu-central-1" }],
    ["KMS.eu-central-1.amazonaws.com:8443", { service: "kms", region: "eu-central-1" }],
    ["kms-fips.us-gov-west-1.amazonaws.com", { service: "kms", region: "us-gov-west-1" }],
    ["kms.cn-north-1.amazonaws.com.cn", { service: "kms", region: "cn-north-1" }],
    ["secretsmanager.eu-west-1.api.aws", { service: "secretsmanager", region: "eu-west-1" }],
    ["sts.amazonaws.com", { service: "sts", region: "us-east-1" }],
    ["kms.amazonaws.com", undefined],
    ["kms.cn-north-1.amazonaws.com", undefined],
    ["kms.eu-central-1.amazonaws.com.cn", undefined],
    ["kms.eu-central-1.amazonaws.com.evil.example", undefined],
    ["127.0.0.1:4566", undefined],
    ["localhost", undefined],
  ])("%s", (host, expected) => expect(readEndpoint(host)).toEqual(expected));

  test("every host of a service reads back as it", () => {
    const regions = ["eu-central-1", "us-gov-west-1", "cn-north-1"];
    for (const host of endpointHosts("kms", regions)) expect(readEndpoint(host)?.service).toBe("kms");
    expect(endpointHosts("sts", regions)).toContain("sts.amazonaws.com");
    expect(regions.map(partitionOf)).toEqual(["aws", "aws-us-gov", "aws-cn"]);
  });
});
