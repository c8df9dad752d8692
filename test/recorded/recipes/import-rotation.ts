/**
 * Rotation of keys whose material was brought: the next material waits until it is rotated to.
 *
 * @module
 */
import { randomBytes } from "node:crypto";
import type { ImportKeyMaterialCommandOutput } from "@aws-sdk/client-kms";
import { utf8 } from "../../../shared/bytes.ts";
import type { Recipe, Session } from "../session.ts";
import { kms } from "./names.ts";
import { type NewKey, newKey } from "./new-key.ts";
import { importLasting, OAEP_2048, wrapped } from "./wrapping.ts";

const Plaintext = utf8("Hello World!1/?");

function emptyKey(aws: Session): Promise<NewKey> {
  return newKey(aws, { Origin: "EXTERNAL", KeyUsage: "ENCRYPT_DECRYPT", Description: "test-key" });
}

function importNext(aws: Session, KeyId: string): Promise<ImportKeyMaterialCommandOutput> {
  return importLasting(aws, { KeyId, material: randomBytes(32), ImportType: "NEW_KEY_MATERIAL" });
}

/** The last step of the recordings that rotate: waits until the old material is no longer the current one. */
async function rotateAway(aws: Session, KeyId: string): Promise<void> {
  const describe = () => aws.kms().describeKey({ KeyId });
  const old = (await describe()).KeyMetadata?.CurrentKeyMaterialId;
  await aws.answer("rotate-key-on-demand-response", aws.kms().rotateKeyOnDemand({ KeyId }));
  await aws.until(describe, ({ KeyMetadata }) => KeyMetadata?.CurrentKeyMaterialId !== old);
}

async function rotateToNext(aws: Session): Promise<void> {
  const { id: KeyId, metadata } = await emptyKey(aws);
  const client = aws.kms();
  aws.note("create-kms-external-key", metadata, { "<key-id:1>": KeyId });
  await aws.answer("get-import-parameters-response", client.getParametersForImport({ KeyId, ...OAEP_2048 }));
  await aws.answer("describe-empty-key-response", client.describeKey({ KeyId }));
  await aws.answer("import-key-material-response", importLasting(aws, { KeyId, material: randomBytes(32) }));
  await aws.answer("describe-key-with-material-response", client.describeKey({ KeyId }));
  const encrypt = () => client.encrypt({ KeyId, Plaintext, EncryptionAlgorithm: "SYMMETRIC_DEFAULT" });
  await aws.answer("kms-encrypt-initial-response", encrypt());
  await aws.answer("import-new-key-material-response", importNext(aws, KeyId));
  await aws.answer("describe-key-with-new-material-response", client.describeKey({ KeyId }));
  await rotateAway(aws, KeyId);
  await aws.answer("describe-key-after-rotation", client.describeKey({ KeyId }));
  await aws.answer("kms-encrypt-rotated-key-response", encrypt());
}

async function decryptWithPrevious(aws: Session): Promise<void> {
  const { id: KeyId, metadata } = await emptyKey(aws);
  const client = aws.kms();
  aws.note("create-kms-external-key", metadata, { "<key-id:1>": KeyId });
  await aws.answer("import-key-material-response", importLasting(aws, { KeyId, material: randomBytes(32) }));
  const encrypted = client.encrypt({ KeyId, Plaintext, EncryptionAlgorithm: "SYMMETRIC_DEFAULT" });
  const { CiphertextBlob } = await aws.answer("kms-encrypt-initial-response", encrypted);
  await importNext(aws, KeyId);
  await rotateAway(aws, KeyId);
  await client.decrypt({ KeyId, CiphertextBlob });
}

/** The spec in its name reached no request of this recording. */
function emptyAndRotated(spec: string): Recipe {
  return {
    id: kms(`rotate_key_on_demand_on_external_key_with_no_key_material[${spec}]`),
    run: async (aws) => {
      const { id: KeyId, metadata } = await emptyKey(aws);
      aws.note("create-kms-external-key", metadata, { "<key-id:1>": KeyId });
      const call = aws.kms().rotateKeyOnDemand({ KeyId });
      await aws.refusal(`rotate-key-on-demand-error-response-${spec}`, call);
    },
  };
}

export const importRotationRecipes: readonly Recipe[] = [
  { id: kms("rotate_key_on_demand_updates_current_key_material_for_external_keys"), run: rotateToNext },
  { id: kms("rotate_key_on_demand_for_external_keys_decrypts_with_previous_material"), run: decryptWithPrevious },
  emptyAndRotated("SYMMETRIC_DEFAULT"),
  emptyAndRotated("RSA_4096"),
  {
    id: kms("import_key_material_raises_if_there_is_already_key_material_pending"),
    run: async (aws) => {
      const { id: KeyId, arn } = await emptyKey(aws);
      const first = importLasting(aws, { KeyId, material: randomBytes(32) });
      await aws.answer("import-initial-material-response", first, { "<key-id:1>": arn });
      await aws.answer("import-pending-material-response", importNext(aws, KeyId));
      const third = await wrapped(aws, {
        KeyId,
        material: randomBytes(32),
        ImportType: "NEW_KEY_MATERIAL",
        ExpirationModel: "KEY_MATERIAL_DOES_NOT_EXPIRE",
      });
      await aws.refusal("existing-pending-material-error", aws.kms().importKeyMaterial(third));
    },
  },
  {
    id: kms("rotate_key_on_demand_raises_for_no_pending_key_material"),
    run: async (aws) => {
      const { id: KeyId, arn } = await emptyKey(aws);
      await importLasting(aws, { KeyId, material: randomBytes(32) });
      const call = aws.kms().rotateKeyOnDemand({ KeyId });
      await aws.refusal("rotate-key-on-demand-invalid-state-error", call, { "<key-arn>": arn });
    },
  },
];
