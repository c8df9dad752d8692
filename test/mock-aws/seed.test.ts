import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
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
import type { MockAwsSeed } from "../../mock/aws/seed-file.ts";
import { AWS_NITRO_ROOT_G1 } from "../../shared/attestation/trust.ts";
import { AWAY, HOME, INVALID, key, onlyEnclave, place, refusalBy, root, TEAM, team, user } from "./seed-bed.ts";
import { startTestbed } from "./testbed.ts";

const folder = mkdtempSync(join(tmpdir(), "cloister-seed-"));
afterAll(() => rmSync(folder, { recursive: true }));

let aws: MockAws;
beforeEach(async () => {
  aws = await startTestbed({ now: () => new Date() });
});
const clients: KMSClient[] = [];
afterEach(async () => {
  for (const client of clients.splice(0)) client.destroy();
  await aws.close();
});

function clientOf(outcome: SeedOutcome, name: string, region: string = HOME): KMSClient {
  // Copied: the SDK writes into what it is given.
  const credentials = { ...(outcome.credentials.find((each) => each.name === name) ?? expect.unreachable()) };
  const requestHandler = new NodeHttpHandler({ httpsAgent: new Agent({ ca: aws.caCertificatePem }) });
  const client = new KMSClient({ endpoint: aws.url, region, credentials, requestHandler, maxAttempts: 1 });
  clients.push(client);
  return client;
}

const refusal = (seed: unknown): Promise<string> => refusalBy(aws, seed);

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
