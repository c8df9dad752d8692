/**
 * Rotation of keys that KMS made: automatic, on demand, refused.
 *
 * @module
 */
import type { CreateKeyRequest } from "@aws-sdk/client-kms";
import { utf8 } from "../../../shared/bytes.ts";
import type { Recipe, Session } from "../session.ts";
import { kms } from "./names.ts";
import { newKey } from "./new-key.ts";

/** AWS has raised it before: the recipe rotates until it is told to stop. */
const MORE_THAN_THE_LIMIT = 40;
const NOBODY = "1234abcd-12ab-34cd-56ef-1234567890ab";

/** Waits until no rotation on demand is under way. */
function rotationDone(aws: Session, KeyId: string): Promise<unknown> {
  const status = () => aws.kms().getKeyRotationStatus({ KeyId });
  return aws.until(status, ({ OnDemandRotationStartDate }) => OnDemandRotationStartDate === undefined);
}

function periodOf(days: number): Recipe {
  return {
    id: kms(`key_enable_rotation_status[${days}]`),
    run: async (aws) => {
      const { id: KeyId, arn } = await newKey(aws);
      await aws.kms().enableKeyRotation({ KeyId, RotationPeriodInDays: days });
      await aws.answer("match_response", aws.kms().getKeyRotationStatus({ KeyId }), { "<key-id:1>": arn });
    },
  };
}

/** One rotation on demand that succeeds. */
function rotated(test: string, answer: string): Recipe {
  return {
    id: kms(test),
    run: async (aws) => {
      const { id: KeyId, arn } = await newKey(aws);
      await aws.answer(answer, aws.kms().rotateKeyOnDemand({ KeyId }), { "<key-id:1>": arn });
    },
  };
}

/** The status after a rotation on demand, with and without the automatic one. */
function statusAfter(automatic: "enabled" | "disabled"): Recipe {
  return {
    id: kms(`rotate_key_on_demand_with_symmetric_key_and_automatic_rotation_${automatic}`),
    run: async (aws) => {
      const { id: KeyId, arn } = await newKey(aws);
      if (automatic === "enabled") await aws.kms().enableKeyRotation({ KeyId });
      const call = aws.kms().rotateKeyOnDemand({ KeyId });
      await aws.answer("rotate-on-demand-response", call, { "<key-id:1>": arn });
      await rotationDone(aws, KeyId);
      await aws.answer("rotation-status-response-after-rotation", aws.kms().getKeyRotationStatus({ KeyId }));
    },
  };
}

function refusedRotation(suffix: string, key: CreateKeyRequest): Recipe {
  return {
    id: kms(`rotate_key_on_demand_raises_error_given_${suffix}`),
    run: async (aws) => {
      const { id: KeyId, arn } = await newKey(aws, key);
      if (suffix === "key_is_disabled") await aws.kms().disableKey({ KeyId });
      await aws.refusal("error-response", aws.kms().rotateKeyOnDemand({ KeyId }), { "<key-arn>": arn });
    },
  };
}

export const rotationRecipes: readonly Recipe[] = [
  periodOf(90),
  periodOf(180),
  rotated("rotate_key_on_demand_modifies_key_material", "rotate-on-demand-response"),
  rotated("rotate_on_demand_returns_arn_for_key_id", "rotate-on-demand-aws-key"),
  statusAfter("disabled"),
  statusAfter("enabled"),
  refusedRotation("key_is_disabled", { KeySpec: "RSA_4096", KeyUsage: "ENCRYPT_DECRYPT" }),
  refusedRotation("non_symmetric_key", { KeySpec: "RSA_4096", KeyUsage: "ENCRYPT_DECRYPT" }),
  refusedRotation("key_with_imported_key_material", { Origin: "EXTERNAL" }),
  {
    id: kms("rotate_key_on_demand_raises_error_given_key_that_does_not_exist"),
    run: async (aws) => {
      const { id, arn } = await newKey(aws);
      const captures = { "<key-arn>": arn.replace(id, NOBODY) };
      await aws.refusal("error-response", aws.kms().rotateKeyOnDemand({ KeyId: NOBODY }), captures);
    },
  },
  {
    id: kms("key_rotations_limits"),
    run: async (aws) => {
      const { id: KeyId, arn } = await newKey(aws);
      for (let rotations = 0; rotations < MORE_THAN_THE_LIMIT; rotations++) {
        const wasRefused = !(await aws.attempt("error-response", aws.kms().rotateKeyOnDemand({ KeyId }), {
          "<key-arn>": arn,
        }));
        if (wasRefused) return;
        await rotationDone(aws, KeyId);
      }
    },
  },
  {
    id: kms("key_rotations_encryption_decryption"),
    run: async (aws) => {
      const { id: KeyId } = await newKey(aws);
      const { CiphertextBlob = new Uint8Array() } = await aws.kms().encrypt({ KeyId, Plaintext: utf8("a message") });
      await aws.kms().rotateKeyOnDemand({ KeyId });
      await aws.kms().decrypt({ KeyId, CiphertextBlob });
      const longer = Buffer.concat([CiphertextBlob, utf8("bad_data")]);
      await aws.refusal("bad-ciphertext", aws.kms().decrypt({ KeyId, CiphertextBlob: longer }));
    },
  },
  {
    id: kms("key_rotation_updates_current_key_material_id_for_aws_symmetric_keys"),
    run: async (aws) => {
      const { id: KeyId } = await newKey(aws, { Description: "test-key" });
      const describe = () => aws.kms().describeKey({ KeyId });
      const before = await aws.answer("describe-key-before-rotation", describe(), { "<key-id:1>": KeyId });
      const old = before.KeyMetadata?.CurrentKeyMaterialId;
      await aws.kms().rotateKeyOnDemand({ KeyId });
      await aws.until(describe, ({ KeyMetadata }) => KeyMetadata?.CurrentKeyMaterialId !== old);
      await aws.answer("describe-key-after-rotation", describe());
    },
  },
];
