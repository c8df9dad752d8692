/** Seeds: the published schema, what is refused and where, keys through KMS's own checks, twice is once. */
import { execFileSync } from "node:child_process";
import { generateKeyPairSync } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { Agent } from "node:https";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  DecryptCommand,
  DescribeKeyCommand,
  EncryptCommand,
  GetKeyPolicyCommand,
  GetKeyRotationStatusCommand,
  KMSClient,
  ListAliasesCommand,
  ListResourceTagsCommand,
  PutKeyPolicyCommand,
} from "@aws-sdk/client-kms";
import { NodeHttpHandler } from "@smithy/node-http-handler";
import { afterAll, afterEach, beforeEach, describe, expect, test } from "vitest";
import type { MockAws } from "../../mock/aws/emulator.ts";
import { loadSeed, type SeedOutcome } from "../../mock/aws/seed.ts";
import type { MockAwsSeed, SeedAccount, SeedKey } from "../../mock/aws/seed-file.ts";
import { SEED_SCHEMA } from "../../mock/aws/seed-schema.ts";
import { AWS_NITRO_ROOT_G1 } from "../../shared/attestation/trust.ts";
import { isConfigError } from "../../shared/errors/index.ts";
import { allow, startTestbed } from "./testbed.ts";

const folder = mkdtempSync(join(tmpdir(), "cloister-seed-"));
afterAll(() => rmSync(folder, { recursive: true }));

const TEAM = "222233334444";
const [HOME, AWAY] = ["eu-central-1", "us-east-1"];
const team: SeedAccount = {
  accountId: TEAM,
  principals: [
    { type: "user", name: "admin", identityPolicies: [allow("*")], credentials: "generate" },
    { type: "role", name: "enclave", credentials: "generate" },
  ],
};
const place = { accountId: TEAM, region: HOME };
const root = {
  Effect: "Allow",
  Principal: { AWS: `arn:aws:iam::${TEAM}:root` },
  Action: "kms:*",
  Resource: "*",
} as const;
const onlyEnclave = {
  Version: "2012-10-17",
  Statement: [{ ...root, Principal: { AWS: `arn:aws:iam::${TEAM}:role/enclave` }, Action: "kms:Decrypt" }],
} as const;

let aws: MockAws;
beforeEach(async () => {
  aws = await startTestbed({ now: () => new Date() });
});
const clients: KMSClient[] = [];
afterEach(async () => {
  for (const client of clients.splice(0)) client.destroy();
  await aws.close();
});

function clientOf(outcome: SeedOutcome, name: string, region = HOME): KMSClient {
  // Copied: the SDK writes into what it is given.
  const credentials = { ...(outcome.credentials.find((each) => each.name === name) ?? expect.unreachable()) };
  const requestHandler = new NodeHttpHandler({ httpsAgent: new Agent({ ca: aws.caCertificatePem }) });
  const client = new KMSClient({ endpoint: aws.url, region, credentials, requestHandler, maxAttempts: 1 });
  clients.push(client);
  return client;
}

const refusal = (seed: unknown): Promise<string> =>
  loadSeed(aws, seed as MockAwsSeed).then(
    () => "taken",
    (error: unknown) => (isConfigError(error) ? `${error.code} ${error.message.split(" ")[0]}` : String(error)),
  );

const MFA = `arn:aws:iam::${TEAM}:mfa/alice`;
const user = (name: string) => ({ type: "user", name }) as const;
const seedOf = (principal: object): unknown => ({
  accounts: [{ accountId: TEAM, principals: [{ ...user("x"), ...principal }] }],
});
const key = (members: object = {}): SeedKey => ({ ...place, name: "invoices", ...members });
const INVALID = "ERR_CONFIG_FIELD_INVALID";
const UNKNOWN = "ERR_CONFIG_FIELD_UNKNOWN";
const MISSING = "ERR_CONFIG_FIELD_MISSING";

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

describe("a seed", () => {
  const full: MockAwsSeed = {
    regions: [HOME],
    accounts: [team],
    attestationRoots: ["aws"],
    quotas: { "CreateKey request rate": 1 },
    keys: [
      key({
        ...{ description: "for invoices", aliases: ["alias/invoices"], tags: { team: "a" }, rotationPeriodDays: 180 },
        policy: { Version: "2012-10-17", Statement: [root, ...onlyEnclave.Statement] },
      }),
      {
        ...place,
        name: "fixed",
        keyId: "11111111-2222-3333-4444-555555555555",
        spec: "RSA_2048",
        usage: "SIGN_VERIFY",
      },
      { ...place, name: "global", replicas: [{ region: AWAY, aliases: ["alias/global"], description: "far" }] },
      {
        ...place,
        name: "sealed",
        policy: onlyEnclave,
        bypassPolicyLockoutSafetyCheck: true,
        aliases: ["alias/sealed"],
      },
    ],
  };

  test("makes what it names, and clients find it", async () => {
    const outcome = await loadSeed(aws, full);
    const admin = clientOf(outcome, "admin");
    const { KeyMetadata: metadata } = await admin.send(new DescribeKeyCommand({ KeyId: "alias/invoices" }));
    expect(metadata).toMatchObject({
      Arn: outcome.keys["invoices"],
      Description: "for invoices",
      KeyManager: "CUSTOMER",
    });
    const KeyId = metadata?.KeyId;
    expect((await admin.send(new ListResourceTagsCommand({ KeyId }))).Tags).toEqual([
      { TagKey: "team", TagValue: "a" },
    ]);
    expect(await admin.send(new GetKeyRotationStatusCommand({ KeyId }))).toMatchObject({ RotationPeriodInDays: 180 });
    expect(outcome.keys["fixed"]).toMatch(/key\/11111111-2222-3333-4444-555555555555$/);
    const { CiphertextBlob } = await admin.send(
      new EncryptCommand({ KeyId: outcome.keys["global"], Plaintext: Buffer.from("across") }),
    );
    const away = clientOf(outcome, "admin", AWAY);
    const opened = await away.send(new DecryptCommand({ CiphertextBlob, KeyId: "alias/global" }));
    expect(Buffer.from(opened.Plaintext ?? []).toString()).toBe("across");
    await expect(admin.send(new DescribeKeyCommand({ KeyId: "alias/sealed" }))).rejects.toThrow("not authorized");
    expect(aws.status().attestationRoots).toEqual(["641a0321a3e244efe456463195d606317ed7cdcc3c1756e09893f3c68f79bb5b"]);
    expect(aws.trail().every(({ event }) => event.eventName !== "CreateKey")).toBe(true);
  });

  test("twice changes nothing: the same credentials, keys and material", async () => {
    const first = await loadSeed(aws, full);
    const { CiphertextBlob } = await clientOf(first, "admin").send(
      new EncryptCommand({ KeyId: "alias/invoices", Plaintext: Buffer.from("still here") }),
    );
    expect(first.changes.length).toBeGreaterThan(5);
    const before = JSON.stringify(aws.snapshot().directory);
    const second = await loadSeed(aws, full);
    expect(second).toEqual({ ...first, changes: [] });
    expect(JSON.stringify(aws.snapshot().directory)).toBe(before);
    await clientOf(second, "admin").send(new DecryptCommand({ CiphertextBlob }));
  });

  test("two at the same time are one after the other", async () => {
    const [first, second] = await Promise.all([loadSeed(aws, full), loadSeed(aws, full)]);
    expect(second).toEqual({ ...first, changes: [] });
  });

  test("changed, mends what differs and leaves the rest", async () => {
    const first = await loadSeed(aws, full);
    const admin = clientOf(first, "admin");
    const Policy = JSON.stringify({ Version: "2012-10-17", Statement: [root] });
    await admin.send(new PutKeyPolicyCommand({ KeyId: first.keys["invoices"] ?? "", Policy }));
    const { changes } = await loadSeed(aws, {
      accounts: [{ accountId: TEAM, principals: [{ type: "user", name: "guest", credentials: "generate" }] }],
      keys: [
        key({ description: "renamed", tags: { cost: "1" }, aliases: ["alias/new"], policy: full.keys?.[0]?.policy }),
      ],
    });
    expect(changes).toEqual([
      `set account ${TEAM}`,
      ...["UpdateKeyDescription invoices", "TagResource invoices", "CreateAlias invoices", "PutKeyPolicy invoices"],
    ]);
    const KeyId = first.keys["invoices"];
    const tags = (await admin.send(new ListResourceTagsCommand({ KeyId }))).Tags?.map(({ TagKey }) => TagKey);
    expect(tags?.sort()).toEqual(["cost", "team"]);
    const aliases = (await admin.send(new ListAliasesCommand({ KeyId }))).Aliases?.map(({ AliasName }) => AliasName);
    expect(aliases).toEqual(["alias/invoices", "alias/new"]);
    const read = await admin.send(new GetKeyPolicyCommand({ KeyId, PolicyName: "default" }));
    expect(JSON.parse(read.Policy ?? "")).toEqual(full.keys?.[0]?.policy);
  });

  test("can not make another key of one that is there", async () => {
    await loadSeed(aws, full);
    expect(await refusal({ keys: [key({ spec: "HMAC_256", usage: "GENERATE_VERIFY_MAC" })] })).toBe(
      `${INVALID} keys[0].spec`,
    );
  });

  test("tells the secrets that it brings or has generated, and nobody else's", async () => {
    const given = { accessKeyId: "AKIAGIVENGIVENGIVEN0", secretAccessKey: "given" };
    const seed: MockAwsSeed = {
      accounts: [{ ...team, principals: [...(team.principals ?? []), { ...user("giver"), credentials: [given] }] }],
    };
    const first = await loadSeed(aws, seed);
    expect(first.credentials.map(({ name }) => name)).toEqual(["admin", "enclave", "giver"]);
    expect((await loadSeed(aws, { accounts: [team] })).credentials).toEqual(first.credentials.slice(0, 2));
    const keeps = { ...user("giver"), credentials: "generate" } as const;
    const again = await loadSeed(aws, { accounts: [{ accountId: TEAM, principals: [keeps] }] });
    expect([again.credentials, again.changes]).toEqual([[], []]);
    const root = { accessKeyId: "AKIAROOTROOTROOTROOT", secretAccessKey: "root" };
    aws.addAccount({ accountId: "999988887777", principals: [], rootCredentials: [root] });
    for (const rootCredentials of [undefined, "generate"] as const) {
      const account = { accountId: "999988887777", ...(rootCredentials ? { rootCredentials } : {}) };
      expect((await loadSeed(aws, { accounts: [account] })).credentials).toEqual([]);
    }
  });

  test("reset and restore wait for nobody: while a seed is on its way they are refused", async () => {
    const before = aws.snapshot();
    const seeding = loadSeed(aws, full);
    const outcome = aws.seed({});
    expect(() => aws.reset()).toThrow(TypeError);
    expect(() => aws.restore(before)).toThrow(TypeError);
    await Promise.all([seeding, outcome]);
    aws.reset();
    expect(aws.status().keys).toBe(0);
  });

  test("does not take an access key that somebody has", async () => {
    const { credentials } = await loadSeed(aws, full);
    const [{ accessKeyId = "", secretAccessKey = "" } = {}] = credentials;
    const thief = { type: "user", name: "thief", credentials: [{ accessKeyId, secretAccessKey }] } as const;
    expect(await refusal({ accounts: [{ accountId: "333344445555", principals: [thief] }] })).toBe(
      `${INVALID} accounts[0]`,
    );
  });

  test("names keep their ids from one emulator to the next", async () => {
    const { keys } = await loadSeed(aws, full);
    await using other = await startTestbed();
    expect((await loadSeed(other, full)).keys).toEqual(keys);
  });

  test("a file is read with the roots beside it, PEM or DER", async () => {
    const pem = `-----BEGIN CERTIFICATE-----\n${Buffer.from(AWS_NITRO_ROOT_G1).toString("base64")}\n-----END CERTIFICATE-----\n`;
    writeFileSync(join(folder, "root.pem"), pem);
    writeFileSync(join(folder, "root.der"), AWS_NITRO_ROOT_G1);
    const path = join(folder, "seed.json");
    writeFileSync(path, JSON.stringify({ attestationRoots: [{ file: "root.pem" }, { file: "root.der" }] }));
    await loadSeed(aws, path);
    const sha256 = "641a0321a3e244efe456463195d606317ed7cdcc3c1756e09893f3c68f79bb5b";
    expect(aws.status().attestationRoots).toEqual([sha256, sha256]);
  });
});
