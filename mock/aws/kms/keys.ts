/**
 * The KMS keys of every account and region, and what a `KeyId` in a request means.
 *
 * Key material stays in this module's objects and is never exported. A ciphertext names its key by an identifier that
 * only the emulator that made it can compute, so a blob of another emulator is nothing here.
 *
 * Source: KMS API Reference, "KeyId"; recorded answers for the texts.
 *
 * @module
 */
import { createHmac, randomBytes, randomUUID } from "node:crypto";
import { toHex } from "../../../shared/bytes.ts";
import { AwsFault } from "../fault.ts";
import type { Policy } from "../iam/policy.ts";
import type { JsonObject } from "../json.ts";
import { type MaterialReference, readMaterialIdentifier } from "./ciphertext.ts";

export interface KmsKey {
  readonly accountId: string;
  readonly region: string;
  readonly keyId: string;
  readonly arn: string;
  readonly description: string;
  readonly createdAt: Date;
  /** 64 hex digits. */
  readonly materialId: string;
  readonly material: MaterialReference;
  policy: { readonly text: string; readonly policy: Policy };
  isEnabled: boolean;
}

export interface NewKey {
  readonly accountId: string;
  readonly region: string;
  readonly description: string;
  readonly policy: KmsKey["policy"];
  readonly now: Date;
}

/** From where a key is asked for. */
export interface KeyScope {
  readonly accountId: string;
  readonly region: string;
}

const UUID = /^(mrk-[0-9a-f]{32}|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12})$/;

export class KeyStore {
  readonly #secret = randomBytes(32);
  readonly #byArn = new Map<string, KmsKey>();
  readonly #byIdentifier = new Map<string, KmsKey>();

  create({ accountId, region, description, policy, now }: NewKey): KmsKey {
    const keyId = randomUUID();
    const arn = keyArn({ accountId, region }, keyId);
    const materialId = toHex(randomBytes(32));
    const identifier = createHmac("sha256", this.#secret).update(`${arn} ${materialId}`).digest();
    const key: KmsKey = {
      ...{ accountId, region, keyId, arn, description, policy, materialId },
      createdAt: now,
      material: { material: randomBytes(32), identifier },
      isEnabled: true,
    };
    this.#byArn.set(arn, key);
    this.#byIdentifier.set(toHex(identifier), key);
    return key;
  }

  /** Takes back a key that nobody has seen. */
  discard(key: KmsKey): void {
    this.#byArn.delete(key.arn);
    this.#byIdentifier.delete(toHex(key.material.identifier));
  }

  /**
   * The key that a request means. A key of another account is named by its ARN only.
   *
   * @throws {AwsFault} `NotFoundException`, `InvalidArnException`
   */
  resolve(keyId: string, scope: KeyScope): KmsKey {
    const arn = keyId.startsWith("arn:") ? readArn(keyId, scope) : arnOfId(keyId, scope);
    const key = this.#byArn.get(arn);
    if (!key) throw notFound(`Key '${arn}' does not exist`);
    return key;
  }

  /** The key that made a ciphertext, if it was a key of this region. */
  ofCiphertext(blob: Uint8Array, region: string): KmsKey | undefined {
    const identifier = readMaterialIdentifier(blob);
    const key = identifier && this.#byIdentifier.get(toHex(identifier));
    return key?.region === region ? key : undefined;
  }
}

function arnOfId(keyId: string, scope: KeyScope): string {
  if (keyId.startsWith("alias/"))
    throw notFound(`Alias arn:aws:kms:${scope.region}:${scope.accountId}:${keyId} is not found.`);
  if (!UUID.test(keyId)) throw notFound(`Invalid keyId '${keyId}'`);
  return keyArn(scope, keyId);
}

function readArn(arn: string, { region }: KeyScope): string {
  const [, given = "", resource = ""] = /^arn:aws:kms:([a-z0-9-]+):\d{12}:((?:key|alias)\/.+)$/.exec(arn) ?? [];
  if (resource === "") throw new AwsFault("InvalidArnException", `Invalid ARN: ${arn}`);
  if (given !== region) throw notFound(`Invalid arn ${given}`);
  if (resource.startsWith("alias/")) throw notFound(`Alias ${arn} is not found.`);
  const keyId = resource.slice("key/".length);
  if (!UUID.test(keyId)) throw notFound(`Invalid keyId '${keyId}'`);
  return arn;
}

export function keyArn({ accountId, region }: KeyScope, keyId: string): string {
  return `arn:aws:kms:${region}:${accountId}:key/${keyId}`;
}

function notFound(message: string): AwsFault {
  return new AwsFault("NotFoundException", message);
}

/** What DescribeKey and CreateKey answer. */
export function metadataOf(key: KmsKey): JsonObject {
  return {
    AWSAccountId: key.accountId,
    KeyId: key.keyId,
    Arn: key.arn,
    CreationDate: key.createdAt.getTime() / 1000,
    Enabled: key.isEnabled,
    Description: key.description,
    KeyUsage: "ENCRYPT_DECRYPT",
    KeyState: key.isEnabled ? "Enabled" : "Disabled",
    Origin: "AWS_KMS",
    KeyManager: "CUSTOMER",
    CustomerMasterKeySpec: "SYMMETRIC_DEFAULT",
    KeySpec: "SYMMETRIC_DEFAULT",
    EncryptionAlgorithms: ["SYMMETRIC_DEFAULT"],
    MultiRegion: false,
    CurrentKeyMaterialId: key.materialId,
  };
}
