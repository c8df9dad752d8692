/**
 * GetParametersForImport, ImportKeyMaterial, DeleteImportedKeyMaterial.
 *
 * A material is known by an id that is computed from its bytes, so that what is imported again is held to be the same
 * without the bytes being kept while they are deleted.
 *
 * A key has its ten newest import tokens; AWS names no limit, this one is ours.
 *
 * Source: KMS Developer Guide, "Importing key material"; KMS API Reference; recorded answers for the texts.
 *
 * @module
 */
import { randomBytes } from "node:crypto";
import type {
  DeleteImportedKeyMaterialCommandInput,
  DeleteImportedKeyMaterialCommandOutput,
  GetParametersForImportCommandInput,
  GetParametersForImportCommandOutput,
  ImportKeyMaterialCommandInput,
  ImportKeyMaterialCommandOutput,
} from "@aws-sdk/client-kms";
import { AwsFault, validationFault } from "../../fault.ts";
import {
  assertWrapping,
  checkImported,
  generateKeyMaterial,
  newWrappingKey,
  unwrapKeyMaterial,
  type WrappingAlgorithm,
} from "../algorithms/index.ts";
import { tokenDigest } from "../grants.ts";
import { notFound } from "../identifiers.ts";
import { DELETING, type RefusedStates } from "../key-state.ts";
import type { KmsRequest, NamedKey } from "../request.ts";
import type { FamilyRow, ImportedMaterial, ImportTokenRow, KeyRow, MaterialRow } from "../rows.ts";
import type { Answer, Valid } from "./operation.ts";
import { invalidOrigin, pendingMaterial } from "./rotation.ts";

const DAY_MS = 86_400_000;
const TOKEN_MS = DAY_MS;
const TOKENS_OF_KEY_MAX = 10;
const VALID_TO_MAX_DAYS = 365;

export async function getParametersForImport(
  request: KmsRequest,
  input: Valid<GetParametersForImportCommandInput>,
): Promise<Answer<GetParametersForImportCommandOutput>> {
  const { WrappingAlgorithm: algorithm, WrappingKeySpec: spec } = input;
  const { key } = externalKey(
    request,
    "GetParametersForImport",
    {
      keyId: input.KeyId,
      WrappingAlgorithm: algorithm,
      WrappingKeySpec: spec,
    },
    [...DELETING, "Creating", "Updating"],
  );
  assertWrapping(algorithm, spec);
  const pool = request.state.keyPairs;
  const { publicKey, privateKey } = await newWrappingKey(
    spec,
    async (wanted) => pool.take(wanted) ?? generateKeyMaterial(wanted),
  );
  const token = Uint8Array.from(randomBytes(256));
  const validTo = new Date(request.now.getTime() + TOKEN_MS);
  const { importTokens } = request.tables;
  const valid = importTokens.findAll("key", key.arn).filter((row) => {
    if (row.validTo <= request.now) importTokens.delete(row.id);
    return row.validTo > request.now;
  });
  for (const row of valid.slice(0, 1 - TOKENS_OF_KEY_MAX)) importTokens.delete(row.id);
  const id = tokenIdOf(token);
  importTokens.set(id, { id, keyArn: key.arn, algorithm, privateKey, validTo });
  return { KeyId: key.arn, ImportToken: token, PublicKey: publicKey, ParametersValidTo: validTo };
}

export function importKeyMaterial(
  request: KmsRequest,
  input: Valid<ImportKeyMaterialCommandInput>,
): Answer<ImportKeyMaterialCommandOutput> {
  const { ExpirationModel: expirationModel = "KEY_MATERIAL_EXPIRES", ValidTo: validTo } = input;
  const named = externalKey(
    request,
    "ImportKeyMaterial",
    {
      keyId: input.KeyId,
      ExpirationModel: expirationModel,
      ValidTo: validTo?.toISOString(),
    },
    [...DELETING, "Creating"],
  );
  const { key } = named;
  assertExpiration(request, expirationModel, validTo);
  const token = tokenOf(request, key, input.ImportToken);
  const unwrapped = unwrapKeyMaterial({
    algorithm: token.algorithm as WrappingAlgorithm,
    privateKey: token.privateKey,
    wrapped: input.EncryptedKeyMaterial,
  });
  const material = placeOf(request, named, { bytes: checkImported(key.spec, unwrapped), input });
  const imported: ImportedMaterial = {
    expirationModel,
    importedAt: request.now,
    ...(validTo && expirationModel === "KEY_MATERIAL_EXPIRES" ? { validTo } : {}),
    ...(input.KeyMaterialDescription === undefined ? {} : { description: input.KeyMaterialDescription }),
  };
  request.keys.update(key, { imported: { ...key.imported, [material.id]: imported } });
  return { KeyId: key.arn, ...(key.spec === "SYMMETRIC_DEFAULT" ? { KeyMaterialId: material.id } : {}) };
}

export function deleteImportedKeyMaterial(
  request: KmsRequest,
  { KeyId: keyId, KeyMaterialId: named }: Valid<DeleteImportedKeyMaterialCommandInput>,
): Answer<DeleteImportedKeyMaterialCommandOutput> {
  const { key, family } = externalKey(request, "DeleteImportedKeyMaterial", { keyId }, ["Creating", "Updating"]);
  const id = named ?? family.currentMaterialId;
  if (named !== undefined && !family.materials.some((material) => material.id === named))
    throw notFound(`Key material '${named}' does not exist`);
  if (id === undefined) return { KeyId: key.arn };
  if (id === pendingMaterial(family)?.id && key.region === family.primaryRegion) dropPending(request, family, id);
  else forget(request, { key, family }, id);
  return { KeyId: key.arn, ...(key.spec === "SYMMETRIC_DEFAULT" ? { KeyMaterialId: id } : {}) };
}

/** The bytes go when no related key holds them; what they are known by stays. */
function forget({ keys }: KmsRequest, { key, family }: NamedKey, id: string): void {
  keys.update(key, { imported: without(key.imported, id) });
  if (keys.related(family.id).some((other) => other.imported[id] !== undefined)) return;
  keys.updateFamily(family, {
    materials: family.materials.map((material) =>
      material.id === id ? { ...material, bytes: new Uint8Array(0) } : material,
    ),
  });
}

/** What was never rotated to belongs to the key no more, nor to its replicas. */
function dropPending({ keys }: KmsRequest, family: FamilyRow, id: string): void {
  for (const member of keys.related(family.id)) keys.update(member, { imported: without(member.imported, id) });
  keys.updateFamily(family, { materials: family.materials.filter((material) => material.id !== id) });
}

function without(imported: KeyRow["imported"], id: string): KeyRow["imported"] {
  const { [id]: _, ...rest } = imported;
  return rest;
}

function externalKey(
  request: KmsRequest,
  action: string,
  { keyId, ...keys }: { readonly keyId: string } & Readonly<Record<string, string | undefined>>,
  refused: RefusedStates,
): NamedKey {
  const named = request.key(keyId);
  request.authorize(action, named, { ownAccountOnly: true, keys });
  if (named.key.origin !== "EXTERNAL") throw invalidOrigin(named.key);
  request.assertState(named, refused);
  return named;
}

function assertExpiration({ now }: KmsRequest, model: string, validTo: Date | undefined): void {
  if (model !== "KEY_MATERIAL_EXPIRES") {
    if (validTo)
      throw validationFault("A validTo date must not be set if the ExpirationModel is KEY_MATERIAL_DOES_NOT_EXPIRE");
    return;
  }
  if (!validTo) throw validationFault("A validTo date must be set if the ExpirationModel is KEY_MATERIAL_EXPIRES");
  if (validTo <= now || validTo.getTime() > now.getTime() + VALID_TO_MAX_DAYS * DAY_MS)
    throw validationFault(`ValidTo must be in the future, and at most ${VALID_TO_MAX_DAYS} days.`);
}

function tokenOf({ tables, now }: KmsRequest, { arn }: KeyRow, token: Uint8Array): ImportTokenRow {
  const row = tables.importTokens.get(tokenIdOf(token));
  if (!row || row.keyArn !== arn) throw new AwsFault("InvalidImportTokenException");
  if (row.validTo <= now) throw new AwsFault("ExpiredImportTokenException");
  return row;
}

function tokenIdOf(token: Uint8Array): string {
  return tokenDigest(Buffer.from(token).toString("base64"));
}

interface Arrival {
  readonly bytes: Uint8Array;
  readonly input: Valid<ImportKeyMaterialCommandInput>;
}

/** The material's row in the family: the one that it was before, or a new one. */
function placeOf(request: KmsRequest, { key, family }: NamedKey, { bytes, input }: Arrival): MaterialRow {
  const id = request.keys.importedMaterialId(family.id, bytes);
  const { materials } = family;
  const known = materials.find((material) => material.id === id);
  const type = input.ImportType ?? (materials.length === 0 ? "NEW_KEY_MATERIAL" : "EXISTING_KEY_MATERIAL");
  if (input.KeyMaterialId !== undefined && input.KeyMaterialId !== id) throw incorrectMaterial();
  if (known) {
    if (known.bytes.length === 0)
      request.keys.updateFamily(family, {
        materials: materials.map((material) => (material === known ? { ...material, bytes } : material)),
      });
    return known;
  }
  const isFirst = materials.length === 0;
  if (!isFirst && (type !== "NEW_KEY_MATERIAL" || key.spec !== "SYMMETRIC_DEFAULT")) throw incorrectMaterial();
  const pending = pendingMaterial(family);
  if (pending)
    throw new AwsFault(
      "KMSInvalidStateException",
      `New key material (id: ${id}) cannot be imported into KMS key ${key.arn}, because another key material (id: ${pending.id}) is pending rotation.`,
    );
  if (key.region !== family.primaryRegion) throw incorrectMaterial();
  const material = request.keys.newMaterial(family.id, bytes, request.now, id);
  request.keys.updateFamily(family, {
    materials: [...materials, material],
    ...(isFirst ? { currentMaterialId: id } : {}),
  });
  return material;
}

function incorrectMaterial(): AwsFault {
  return new AwsFault("IncorrectKeyMaterialException");
}
