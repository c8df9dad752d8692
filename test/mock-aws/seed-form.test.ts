/** Seeds as they may be written: the published schema, what is refused and where. */
import { execFileSync } from "node:child_process";
import { generateKeyPairSync } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeEach, describe, expect, test } from "vitest";
import type { MockAws } from "../../mock/aws/emulator.ts";
import { loadSeed } from "../../mock/aws/seed.ts";
import { SEED_SCHEMA } from "../../mock/aws/seed-schema.ts";
import { AWS_NITRO_ROOT_G1 } from "../../shared/attestation/trust.ts";
import { HOME, INVALID, key, MISSING, onlyEnclave, refusalBy, root, TEAM, team, UNKNOWN, user } from "./seed-bed.ts";
import { allow, startTestbed } from "./testbed.ts";

const folder = mkdtempSync(join(tmpdir(), "cloister-seed-"));
afterAll(() => rmSync(folder, { recursive: true }));

let aws: MockAws;
beforeEach(async () => {
  aws = await startTestbed({ now: () => new Date() });
});
afterEach(() => aws.close());

const refusal = (seed: unknown): Promise<string> => refusalBy(aws, seed);
const MFA = `arn:aws:iam::${TEAM}:mfa/alice`;
const seedOf = (principal: object): unknown => ({
  accounts: [{ accountId: TEAM, principals: [{ ...user("x"), ...principal }] }],
});

describe("the form", () => {
  test("the published schema is the one that seeds are checked by", () => {
    const published = readFileSync(new URL("../../schemas/mock-aws-seed.json", import.meta.url), "utf8");
    expect(JSON.parse(published)).toEqual(SEED_SCHEMA);
  });

  test.each<[string, unknown, string]>([
    ["nothing", {}, "taken"],
    ["no object", [], `${INVALID} the`],
    ["an unknown field", { acounts: [] }, `${UNKNOWN} acounts`],
    ["an unknown field inside", { accounts: [{ ...team, region: HOME }] }, `${UNKNOWN} accounts[0].region`],
    ["no region at all", { regions: [] }, `${INVALID} regions`],
    ["a region of another emulator", { regions: [HOME, "ap-south-1"] }, `${INVALID} regions[1]`],
    ["an account of 11 digits", { accounts: [{ accountId: "1".repeat(11) }] }, `${INVALID} accounts[0].accountId`],
    ["a number for a text", { accounts: [{ accountId: 111122223333 }] }, `${INVALID} accounts[0].accountId`],
    [
      "a principal without a name",
      { accounts: [{ accountId: TEAM, principals: [{ type: "user" }] }] },
      `${MISSING} accounts[0].principals[0].name`,
    ],
    [
      "a principal of no type",
      { accounts: [{ accountId: TEAM, principals: [{ type: "group", name: "x" }] }] },
      `${INVALID} accounts[0].principals[0].type`,
    ],
    [
      "a policy that is none",
      { accounts: [{ accountId: TEAM, principals: [{ type: "user", name: "x", identityPolicies: [{}] }] }] },
      `${INVALID} accounts[0].principals[0].identityPolicies[0]`,
    ],
    [
      "credentials of no form",
      { accounts: [{ accountId: TEAM, principals: [{ type: "user", name: "x", credentials: "none" }] }] },
      `${INVALID} accounts[0].principals[0].credentials`,
    ],
    [
      "a credential without its secret",
      {
        accounts: [
          {
            accountId: TEAM,
            principals: [{ type: "user", name: "x", credentials: [{ accessKeyId: "A".repeat(20) }] }],
          },
        ],
      },
      `${MISSING} accounts[0].principals[0].credentials[0].secretAccessKey`,
    ],
    [
      "a user twice",
      { accounts: [{ accountId: TEAM, principals: [team.principals?.[0], team.principals?.[0]] }] },
      `${INVALID} accounts[0].principals[1]`,
    ],
    ...(
      [
        [
          "a secret that goes on in the next line",
          { secretAccessKey: "x\n[default]\ncredential_process=id" },
          "secretAccessKey",
        ],
        ["a secret with a space", { secretAccessKey: "x y" }, "secretAccessKey"],
        ["an empty secret", { secretAccessKey: "" }, "secretAccessKey"],
        ["an access key that goes on", { accessKeyId: `${"A".repeat(20)}\nx` }, "accessKeyId"],
        ["a token that goes on", { sessionToken: "x\r\ny" }, "sessionToken"],
        ["a time that is a number", { expiresAt: "5" }, "expiresAt"],
        ["a time in words", { expiresAt: "whenever 12" }, "expiresAt"],
        ["a 30th of February", { expiresAt: "2027-02-30T00:00:00Z" }, "expiresAt"],
        ["a time without a zone", { expiresAt: "2027-02-20T00:00:00" }, "expiresAt"],
      ] as const
    ).map(([what, change, name]): [string, unknown, string] => [
      what,
      seedOf({ credentials: [{ accessKeyId: "A".repeat(20), secretAccessKey: "x", ...change }] }),
      `${INVALID} accounts[0].principals[0].credentials[0].${name}`,
    ]),
    ...(
      [
        ["an MFA device without a seed", { mfaDevices: [{ serialNumber: MFA, seed: "" }] }, "mfaDevices[0].seed"],
        ["a seed that is not base32", { mfaDevices: [{ serialNumber: MFA, seed: "01!!" }] }, "mfaDevices[0].seed"],
        ["a device without a name", { mfaDevices: [{ serialNumber: "", seed: "AAAA" }] }, "mfaDevices[0].serialNumber"],
        ["a role with a device", { type: "role", mfaDevices: [{ serialNumber: MFA, seed: "AAAA" }] }, "mfaDevices"],
        ["a user with sessions", { maxSessionDurationSeconds: 3_600 }, "maxSessionDurationSeconds"],
      ] as const
    ).map(([what, change, name]): [string, unknown, string] => [
      what,
      seedOf(change),
      `${INVALID} accounts[0].principals[0].${name}`,
    ]),
    [
      "a provider whose certificate is none",
      { accounts: [{ accountId: TEAM, samlProviders: [{ name: "x", issuer: "x", certificates: ["none"] }] }] },
      `${INVALID} accounts[0].samlProviders[0].certificates[0]`,
    ],
    ...[{ kty: "RSA" }, { kty: "oct", k: "AA" }, {}].map((jwk): [string, unknown, string] => [
      `a provider whose key is ${JSON.stringify(jwk)}`,
      {
        accounts: [
          { accountId: TEAM, oidcProviders: [{ url: "https://x.example", clientIds: ["a"], jwks: { keys: [jwk] } }] },
        ],
      },
      `${INVALID} accounts[0].oidcProviders[0].jwks.keys[0]`,
    ]),
    [
      "names that differ in case",
      { accounts: [{ accountId: TEAM, principals: [user("Bob"), user("bob")] }] },
      `${INVALID} accounts[0].principals[1]`,
    ],
    [
      "policies that differ in case",
      { accounts: [{ accountId: TEAM, managedPolicies: ["p", "P"].map((name) => ({ name, document: allow("*") })) }] },
      `${INVALID} accounts[0].managedPolicies[1]`,
    ],
    ["a device for a root", { attestationRoots: [{ file: "/dev/zero" }] }, "ERR_CONFIG_FILE can"],
    ["quotas of no form", { quotas: "real" }, `${INVALID} quotas`],
    ["a quota that is none", { quotas: { "CreateKey rate": 1 } }, `${UNKNOWN} quotas.CreateKey`],
    ["a quota below 0", { quotas: { "CreateKey request rate": -1 } }, `${INVALID} quotas.CreateKey`],
    ["a root in two ways", { attestationRoots: [{ file: "x", der: "AAAA" }] }, `${INVALID} attestationRoots[0]`],
    ["a root that is no certificate", { attestationRoots: ["aws", { der: "AAAA" }] }, `${INVALID} attestationRoots[1]`],
    [
      "a root with bytes behind it",
      { attestationRoots: [{ der: Buffer.concat([AWS_NITRO_ROOT_G1, Buffer.from([0])]).toString("base64") }] },
      `${INVALID} attestationRoots[0]`,
    ],
    ["a root file that is not there", { attestationRoots: [{ file: "/nonexistent" }] }, "ERR_CONFIG_FILE can"],
    ["a key of no account", { keys: [key()] }, `${INVALID} keys[0].accountId`],
    [
      "a key without a region",
      { accounts: [team], keys: [{ name: "x", accountId: TEAM }] },
      `${MISSING} keys[0].region`,
    ],
    [
      "a key of another partition",
      { accounts: [team], keys: [key({ region: "cn-north-1" })] },
      `${INVALID} keys[0].region`,
    ],
    ["a key id that is none", { accounts: [team], keys: [key({ keyId: "invoices" })] }, `${INVALID} keys[0].keyId`],
    [
      "a UUID for a multi-Region key",
      { accounts: [team], keys: [key({ keyId: "11111111-2222-3333-4444-555555555555", multiRegion: true })] },
      `${INVALID} keys[0].keyId`,
    ],
    ["a name twice", { accounts: [team], keys: [key(), key()] }, `${INVALID} keys[1].name`],
    [
      "an alias of AWS's",
      { accounts: [team], keys: [key({ aliases: ["alias/aws/s3"] })] },
      `${INVALID} keys[0].aliases[0]`,
    ],
    ["a spec that is none", { accounts: [team], keys: [key({ spec: "DES" })] }, `${INVALID} keys[0]`],
    [
      "a policy with an unknown principal",
      {
        accounts: [team],
        keys: [
          key({
            policy: {
              ...onlyEnclave,
              Statement: [{ ...root, Principal: { AWS: `arn:aws:iam::${TEAM}:role/nobody` } }],
            },
          }),
        ],
      },
      `${INVALID} keys[0].policy`,
    ],
    [
      "a policy that locks out",
      { accounts: [team], keys: [key({ policy: onlyEnclave })] },
      `${INVALID} keys[0].policy`,
    ],
    [
      "a rotation of a day",
      { accounts: [team], keys: [key({ rotationPeriodDays: 1 })] },
      `${INVALID} keys[0].rotationPeriodDays`,
    ],
  ])("%s", async (_why, seed, expected) => {
    expect(await refusal(seed)).toBe(expected);
  });

  test("what is taken: a time with a zone, an MFA device, keys of other kinds", async () => {
    const key = (kty: "RSA" | "EC" | "OKP") => {
      const pair =
        kty === "RSA"
          ? generateKeyPairSync("rsa", { modulusLength: 2_048 })
          : kty === "EC"
            ? generateKeyPairSync("ec", { namedCurve: "P-384" })
            : generateKeyPairSync("ed25519");
      return pair.publicKey.export({ format: "jwk" });
    };
    const jwks = { keys: [key("RSA"), key("EC"), key("OKP")] };
    const credentials = [
      { accessKeyId: "A".repeat(20), secretAccessKey: "a/+=", expiresAt: "2027-02-28T01:00:00+01:00" },
    ];
    const alice = { ...user("alice"), credentials, mfaDevices: [{ serialNumber: MFA, seed: "jbswy3dpehpk3pxp" }] };
    const oidcProviders = [{ url: "https://x.example", clientIds: ["a"], jwks }];
    expect(await refusal({ accounts: [{ accountId: TEAM, principals: [alice], oidcProviders }] })).toBe("taken");
    const [row] = aws.snapshot().directory.credentials.filter(({ accessKeyId }) => accessKeyId === "A".repeat(20));
    expect(row?.expiresAt).toBe("2027-02-28T00:00:00.000Z");
  });

  test("a name is taken by an earlier seed, whatever the path and the case", async () => {
    const account = (...principals: readonly object[]) => ({ accounts: [{ accountId: TEAM, principals }] });
    expect(await refusal(account({ type: "role", name: "same", path: "/a/" }, user("Bob")))).toBe("taken");
    const refused = `${INVALID} accounts[0].principals[0]`;
    expect(await refusal(account({ type: "role", name: "same", path: "/b/" }))).toBe(refused);
    expect(await refusal(account(user("bob")))).toBe(refused);
    expect(await refusal(account({ type: "role", name: "bob" }, user("Bob")))).toBe("taken");
  });

  test("a seed file is read up to a limit, and is a file or a pipe", async () => {
    const path = join(folder, "long.json");
    writeFileSync(path, `{}${" ".repeat(64 * 1024 * 1024)}`);
    for (const each of [path, "/dev/zero", folder])
      await expect(loadSeed(aws, each)).rejects.toMatchObject({ code: "ERR_CONFIG_FILE" });
    writeFileSync(path, "{}");
    await loadSeed(aws, path);
    const pipe = join(folder, "pipe");
    execFileSync("mkfifo", [pipe]);
    const reading = loadSeed(aws, pipe);
    writeFileSync(pipe, "{}");
    expect((await reading).changes).toEqual([]);
    writeFileSync(path, '{"attestationRoots":[{"file":"pipe"}]}');
    await expect(loadSeed(aws, path)).rejects.toMatchObject({ code: "ERR_CONFIG_FILE" });
  });

  test("JSON with a name twice is not a seed", async () => {
    const path = join(folder, "twice.json");
    writeFileSync(path, '{"quotas":"off","quotas":"aws"}');
    await expect(loadSeed(aws, path)).rejects.toMatchObject({ code: "ERR_CONFIG_FILE" });
  });

  test("a key that can not be finished is not there at all", async () => {
    expect(await refusal({ accounts: [team], keys: [key({ aliases: ["alias/a"], policy: onlyEnclave })] })).toContain(
      INVALID,
    );
    expect(aws.status().keys).toBe(0);
  });
});
