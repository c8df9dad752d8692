/** The AWS Encryption SDK for JavaScript, unchanged, with keys by ARN, of several Regions, and by discovery. */
import {
  AwsKmsMrkAwareSymmetricDiscoveryKeyringNode,
  AwsKmsMrkAwareSymmetricKeyringNode,
  buildAwsKmsMrkAwareStrictMultiKeyringNode,
  buildClient,
  CommitmentPolicy,
  KmsKeyringNode,
} from "@aws-crypto/client-node";
import type { KMS } from "@aws-sdk/client-kms";
import { afterAll, beforeAll, expect, test } from "vitest";
import { utf8 } from "../../../shared/bytes.ts";
import { OTHER, OWNER, REGION, type Who } from "../testbed.ts";
import { type KmsBed, present, startKmsBed } from "./bed.ts";

const { encrypt, decrypt } = buildClient(CommitmentPolicy.REQUIRE_ENCRYPT_REQUIRE_DECRYPT);
const OTHER_REGION = "us-east-1";
const plaintext = utf8("for any Encryption SDK");
const encryptionContext = { purpose: "test" };
type Client = NonNullable<ConstructorParameters<typeof KmsKeyringNode>[0]>["clientProvider"];

let bed: KmsBed;
let first: string;
let second: string;
let elsewhere: string;
let primary: string;
let replica: string;

beforeAll(async () => {
  bed = await startKmsBed();
  const newKey = async (kms: KMS, input = {}) => present((await kms.createKey(input)).KeyMetadata?.Arn);
  first = await newKey(bed.as("admin"));
  second = await newKey(bed.as("admin"));
  elsewhere = await newKey(bed.as("admin", OTHER_REGION));
  primary = await newKey(bed.as("admin"), { MultiRegion: true });
  await bed.as("admin").replicateKey({ KeyId: primary, ReplicaRegion: OTHER_REGION });
  replica = primary.replace(REGION, OTHER_REGION);
});
afterAll(() => bed[Symbol.asyncDispose]());

/** As the library gets its clients: by the Region in a key's ARN. */
const clients = (who: Who = "admin"): NonNullable<Client> => ((region: string) => bed.as(who, region)) as never;
const client = (region = REGION, who: Who = "admin"): never => bed.as(who, region) as never;
const keyring = (generatorKeyId: string, keyIds: string[] = []) =>
  new KmsKeyringNode({ generatorKeyId, keyIds, clientProvider: clients() });

async function sealed(by: Parameters<typeof encrypt>[0]): Promise<Uint8Array> {
  const { result } = await encrypt(by, plaintext, { encryptionContext });
  return result;
}
async function opened(by: Parameters<typeof decrypt>[0], message: Uint8Array): Promise<boolean> {
  const { plaintext: found, messageHeader } = await decrypt(by, message);
  expect(messageHeader.encryptionContext).toMatchObject(encryptionContext);
  return Buffer.from(plaintext).equals(found);
}

test("a key by its ARN", async () => {
  const message = await sealed(keyring(first));
  expect(await opened(keyring(first), message)).toBe(true);
  await expect(opened(keyring(second), message)).rejects.toThrow();
});

test("several keys, of several Regions: each of them opens", async () => {
  const message = await sealed(keyring(first, [second, elsewhere]));
  for (const arn of [first, second, elsewhere])
    expect(await opened(new KmsKeyringNode({ keyIds: [arn], clientProvider: clients() }), message)).toBe(true);
  await bed.as("admin").disableKey({ KeyId: first });
  expect(await opened(keyring(first, [second]), message)).toBe(true);
  await bed.as("admin").enableKey({ KeyId: first });
});

test("discovery finds the key; a filter on the account holds, and so does the key's policy", async () => {
  const message = await sealed(keyring(first));
  const discovery = (who: Who, accountId = OWNER) =>
    new KmsKeyringNode({
      ...{ discovery: true, clientProvider: clients(who) },
      discoveryFilter: { accountIDs: [accountId], partition: "aws" },
    });
  expect(await opened(discovery("admin"), message)).toBe(true);
  await expect(opened(discovery("admin", OTHER), message)).rejects.toThrow();
  await expect(opened(discovery("partner"), message)).rejects.toThrow();
});

test("a multi-Region key by its ARN, opened by its replica in the other Region, and back", async () => {
  const here = new AwsKmsMrkAwareSymmetricKeyringNode({ client: client(), keyId: primary });
  const there = new AwsKmsMrkAwareSymmetricKeyringNode({ client: client(OTHER_REGION), keyId: replica });
  for (const [from, to] of [
    [here, there],
    [there, here],
    [here, here],
  ] as const)
    expect(await opened(to, await sealed(from))).toBe(true);
  const discovery = new AwsKmsMrkAwareSymmetricDiscoveryKeyringNode({
    client: client(OTHER_REGION),
    discoveryFilter: { accountIDs: [OWNER], partition: "aws" },
  });
  expect(await opened(discovery, await sealed(here))).toBe(true);
  const strict = buildAwsKmsMrkAwareStrictMultiKeyringNode({
    generatorKeyId: primary,
    keyIds: [first],
    clientProvider: clients(),
  });
  const message = await sealed(strict);
  expect(await opened(there, message)).toBe(true);
  expect(await opened(keyring(first), message)).toBe(true);
});
