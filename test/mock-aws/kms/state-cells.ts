/**
 * Keys of any kind in any state, put straight into the tables, and for each operation a request that such a key lets
 * through when its state does.
 */
import { constants, publicEncrypt } from "node:crypto";
import type { JsonObject } from "../../../mock/aws/json.ts";
import type { KeySpec, KeyUsage } from "../../../mock/aws/kms/algorithms/index.ts";
import { generateKeyMaterial } from "../../../mock/aws/kms/algorithms/index.ts";
import { defaultKeyPolicy } from "../../../mock/aws/kms/key-policy.ts";
import type { KeySituation } from "../../../mock/aws/kms/key-state.ts";
import type { KeyRow } from "../../../mock/aws/kms/rows.ts";
import { NOW, OWNER, REGION } from "../testbed.ts";
import { type BareKms, DAY_MS } from "./bed.ts";

/** In the table's order. */
export const STATES = [
  "Enabled",
  "Disabled",
  "PendingDeletion",
  "PendingImport",
  "Unavailable",
  "Creating",
  "Updating",
] as const;
export type State = (typeof STATES)[number];
/** A key of KMS's own material, one with imported material, one in a custom key store. */
export type Kind = "plain" | "imported" | "stored";

export const OTHER_REGION = "us-east-1";
const SCOPE = { partition: "aws", accountId: OWNER, region: REGION };
const STORE = "cks-1234567890abcdef0";
const LATER = new Date(NOW.getTime() + 7 * DAY_MS);
const MATERIAL = new Uint8Array(32).fill(7);

const FORMS: Readonly<Record<string, readonly [KeySpec, KeyUsage]>> = {
  GenerateMac: ["HMAC_256", "GENERATE_VERIFY_MAC"],
  VerifyMac: ["HMAC_256", "GENERATE_VERIFY_MAC"],
  GetPublicKey: ["ECC_NIST_P256", "SIGN_VERIFY"],
  Sign: ["ECC_NIST_P256", "SIGN_VERIFY"],
  Verify: ["ECC_NIST_P256", "SIGN_VERIFY"],
};
const MULTI_REGION = ["ReplicateKey", "UpdatePrimaryRegion"];

/** A key that can be used; `putIn` brings it into its state. */
export async function makeKey({ state: kms }: BareKms, operation: string, kind: Kind): Promise<KeyRow> {
  const [spec, usage] = kind === "stored" ? (["SYMMETRIC_DEFAULT", "ENCRYPT_DECRYPT"] as const) : formOf(operation);
  const origin = kind === "plain" ? "AWS_KMS" : kind === "imported" ? "EXTERNAL" : "AWS_CLOUDHSM";
  const material = spec === "SYMMETRIC_DEFAULT" ? MATERIAL : await generateKeyMaterial(spec);
  const { key, family } = kms.keys.draft({
    ...{ scope: SCOPE, now: NOW, manager: "CUSTOMER", spec, usage, origin, tags: {}, description: "" },
    ...{ policy: defaultKeyPolicy(SCOPE), multiRegion: kind !== "stored" && MULTI_REGION.includes(operation) },
    ...(kind === "imported" ? {} : { material }),
    ...(kind === "stored" ? { keyStore: { id: STORE, backingKeyId: "k" } } : {}),
  });
  if (kind !== "imported") kms.keys.keep({ key, family });
  else {
    const id = kms.keys.importedMaterialId(family.id, material);
    const row = kms.keys.newMaterial(family.id, material, NOW, id);
    const imported = { [id]: { expirationModel: "KEY_MATERIAL_DOES_NOT_EXPIRE", importedAt: NOW } as const };
    kms.keys.keep({ key: { ...key, imported }, family: { ...family, materials: [row], currentMaterialId: id } });
  }
  const made = kms.keys.find(key.arn, NOW)?.key ?? key;
  if (made.multiRegion) addReplica(kms.keys.situationOf(made), { state: kms } as BareKms, operation);
  return made;
}

function formOf(operation: string): readonly [KeySpec, KeyUsage] {
  return FORMS[operation] ?? ["SYMMETRIC_DEFAULT", "ENCRYPT_DECRYPT"];
}

function addReplica({ key }: KeySituation, { state: kms }: BareKms, operation: string): void {
  if (operation !== "UpdatePrimaryRegion") return;
  const arn = key.arn.replace(REGION, OTHER_REGION);
  kms.keys.tables.keys.set(arn, { ...key, arn, region: OTHER_REGION });
}

export function putIn({ state: kms }: BareKms, arn: string, state: State): void {
  const { keys, keyStores } = kms.keys.tables;
  const key = keys.get(arn);
  if (!key) throw new Error("no such key");
  const changes: Readonly<Record<State, Partial<KeyRow>>> = {
    Enabled: {},
    Disabled: { enabled: false },
    PendingDeletion: { deletion: { windowDays: 7, date: LATER } },
    PendingImport: { imported: {} },
    Unavailable: {},
    Creating: { creatingUntil: LATER },
    Updating: { updatingUntil: LATER },
  };
  keys.set(arn, { ...key, ...changes[state] });
  if (key.keyStore)
    keyStores.set(STORE, {
      ...{ id: STORE, accountId: OWNER, region: REGION, name: "store", type: "AWS_CLOUDHSM", createdAt: NOW },
      state: state === "Unavailable" ? "DISCONNECTED" : "CONNECTED",
    });
}

/** What the operation is asked with; made while the key can still be used. */
export async function inputFor(
  bed: BareKms,
  operation: string,
  { key, state }: { key: KeyRow; state: State },
): Promise<JsonObject> {
  const admin = bed.caller("admin");
  const KeyId = key.arn;
  const Plaintext = Buffer.from("plaintext").toString("base64");
  const Message = Plaintext;
  const ask = (name: string, input: JsonObject): Promise<JsonObject> => bed.call(admin, name, input);
  const isUsable = key.origin === "AWS_KMS" || (key.origin === "EXTERNAL" && state !== "PendingImport");
  switch (operation) {
    case "CreateAlias":
      return { AliasName: `alias/${operation}-${key.keyId}`, TargetKeyId: KeyId };
    case "UpdateAlias":
    case "DeleteAlias":
      return aliasInput(bed, key, operation);
    case "CreateGrant":
      return { KeyId, GranteePrincipal: admin.principalArn, Operations: ["DescribeKey"] };
    case "RetireGrant":
    case "RevokeGrant":
      return { KeyId, GrantId: putGrant(bed, key) };
    case "Encrypt":
      return { KeyId, Plaintext };
    case "Decrypt":
    case "ReEncrypt": {
      const [source, more] = operation === "Decrypt" ? ["KeyId", {}] : ["SourceKeyId", { DestinationKeyId: KeyId }];
      // What can not encrypt has no ciphertext: a dry run without one comes as far as the key's state.
      if (!isUsable) return { [source]: KeyId, ...more, DryRun: true, DryRunModifiers: ["IGNORE_CIPHERTEXT"] };
      const { CiphertextBlob = null } = await ask("Encrypt", { KeyId, Plaintext });
      return { [source]: KeyId, ...more, CiphertextBlob };
    }
    case "GenerateDataKey":
    case "GenerateDataKeyWithoutPlaintext":
      return { KeyId, KeySpec: "AES_256" };
    case "GenerateDataKeyPair":
    case "GenerateDataKeyPairWithoutPlaintext":
      return { KeyId, KeyPairSpec: "ECC_NIST_P256" };
    case "GenerateMac":
      return { KeyId, Message, MacAlgorithm: "HMAC_SHA_256" };
    case "VerifyMac": {
      const asked = { KeyId, Message, MacAlgorithm: "HMAC_SHA_256" };
      const { Mac = Plaintext } = key.spec === "HMAC_256" ? await ask("GenerateMac", asked) : {};
      return { ...asked, Mac };
    }
    case "Sign":
      return { KeyId, Message, SigningAlgorithm: "ECDSA_SHA_256" };
    case "Verify": {
      const asked = { KeyId, Message, SigningAlgorithm: "ECDSA_SHA_256" };
      const { Signature = Plaintext } = key.spec === "ECC_NIST_P256" ? await ask("Sign", asked) : {};
      return { ...asked, Signature };
    }
    case "GetParametersForImport":
      return { KeyId, WrappingAlgorithm: "RSAES_OAEP_SHA_256", WrappingKeySpec: "RSA_2048" };
    case "ImportKeyMaterial":
      return key.origin === "EXTERNAL"
        ? await importInput(ask, KeyId)
        : { KeyId, ImportToken: "AA==", EncryptedKeyMaterial: "AA==", ExpirationModel: "KEY_MATERIAL_DOES_NOT_EXPIRE" };
    case "PutKeyPolicy":
      return { KeyId, Policy: key.policy };
    case "ReplicateKey":
      return { KeyId, ReplicaRegion: OTHER_REGION };
    case "UpdatePrimaryRegion":
      return { KeyId, PrimaryRegion: OTHER_REGION };
    case "TagResource":
      return { KeyId, Tags: [{ TagKey: "a", TagValue: "b" }] };
    case "UntagResource":
      return { KeyId, TagKeys: ["a"] };
    case "UpdateKeyDescription":
      return { KeyId, Description: "new" };
    default:
      return { KeyId };
  }
}

async function aliasInput(bed: BareKms, key: KeyRow, operation: string): Promise<JsonObject> {
  const AliasName = `alias/${operation}-${key.keyId}`;
  // Renamed from another key, so that it is the destination's state that counts.
  const target = operation === "DeleteAlias" ? key : await makeKey(bed, operation, "plain");
  const arn = `arn:aws:kms:${REGION}:${OWNER}:${AliasName}`;
  const row = { arn, name: AliasName, ...SCOPE, targetKey: target.arn, createdAt: NOW, updatedAt: NOW };
  bed.state.keys.tables.aliases.set(arn, row);
  return operation === "DeleteAlias" ? { AliasName } : { AliasName, TargetKeyId: key.arn };
}

function putGrant({ state: kms, caller }: BareKms, key: KeyRow): string {
  const id = key.keyId.replaceAll("-", "").padEnd(64, "0");
  kms.keys.tables.grants.set(id, {
    ...{ id, keyArn: key.arn, granteePrincipal: caller("bare").principalArn, operations: ["Decrypt"], tokens: [] },
    ...{ issuingAccount: `arn:aws:iam::${OWNER}:root`, createdAt: NOW, effectiveAt: NOW },
  });
  return id;
}

async function importInput(
  ask: (operation: string, input: JsonObject) => Promise<JsonObject>,
  KeyId: string,
): Promise<JsonObject> {
  const wrapping = { WrappingAlgorithm: "RSAES_OAEP_SHA_256", WrappingKeySpec: "RSA_2048" };
  const { PublicKey, ImportToken = null } = await ask("GetParametersForImport", { KeyId, ...wrapping });
  const wrapped = publicEncrypt(
    {
      key: `-----BEGIN PUBLIC KEY-----\n${String(PublicKey)}\n-----END PUBLIC KEY-----`,
      ...{ padding: constants.RSA_PKCS1_OAEP_PADDING, oaepHash: "sha256" },
    },
    MATERIAL,
  );
  const ExpirationModel = "KEY_MATERIAL_DOES_NOT_EXPIRE";
  return { KeyId, ImportToken, EncryptedKeyMaterial: wrapped.toString("base64"), ExpirationModel };
}
