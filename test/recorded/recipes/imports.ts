/**
 * Imported key material: a key's states around it, and use in between.
 *
 * @module
 */
import { generateKeyPairSync, randomBytes } from "node:crypto";
import type { CreateKeyRequest, KeySpec, MacAlgorithmSpec, SigningAlgorithmSpec } from "@aws-sdk/client-kms";
import { utf8 } from "../../../shared/bytes.ts";
import type { Recipe, Session } from "../session.ts";
import { kms } from "./names.ts";
import { newKey } from "./new-key.ts";
import { importLasting, OAEP_2048, type Wrapping, wrapped } from "./wrapping.ts";

const Message = utf8("test sign verify 123 !%$@ 1234567890");
const OAEP_4096: Wrapping = { ...OAEP_2048, WrappingKeySpec: "RSA_4096" };
const SHA_1: Wrapping = { ...OAEP_2048, WrappingAlgorithm: "RSAES_OAEP_SHA_1" };

const CURVES = {
  ECC_NIST_P256: { namedCurve: "prime256v1", algorithm: "ECDSA_SHA_256", wrapping: SHA_1 },
  ECC_NIST_P384: { namedCurve: "secp384r1", algorithm: "ECDSA_SHA_384", wrapping: SHA_1 },
  ECC_NIST_P521: { namedCurve: "secp521r1", algorithm: "ECDSA_SHA_512", wrapping: OAEP_4096 },
  ECC_SECG_P256K1: { namedCurve: "secp256k1", algorithm: "ECDSA_SHA_256", wrapping: SHA_1 },
} as const;

function ecPrivateKey(namedCurve: string): Uint8Array {
  const encoding = { privateKeyEncoding: { format: "der", type: "pkcs8" } } as const;
  const { privateKey } = generateKeyPairSync("ec", {
    namedCurve,
    publicKeyEncoding: { format: "der", type: "spki" },
    ...encoding,
  });
  return privateKey;
}

function rsaPrivateKey(modulusLength: number): Uint8Array {
  return generateKeyPairSync("rsa", { modulusLength }).privateKey.export({ format: "der", type: "pkcs8" });
}

/** Describes, imports, describes, uses, deletes the material, describes. */
interface Life {
  readonly key: CreateKeyRequest;
  readonly material: () => Uint8Array;
  readonly wrapping?: Wrapping;
  /** The names of the descriptions before, between and after; as most recordings have them if absent. */
  readonly names?: readonly [string, string, string];
  readonly created?: string;
  readonly use?: (aws: Session, KeyId: string) => Promise<void>;
}

const NAMES = ["describe-key-before-import", "describe-key-after-import", "describe-key-after-deleted-import"] as const;

function life({ key, material, wrapping = OAEP_2048, names = NAMES, created, use }: Life) {
  return async (aws: Session): Promise<void> => {
    const { id: KeyId, metadata } = await newKey(aws, { Origin: "EXTERNAL", ...key });
    const captures = { "<key-id:1>": KeyId };
    if (created !== undefined) aws.note(created, metadata, captures);
    const [before, between, after] = names;
    await aws.answer(before, aws.kms().describeKey({ KeyId }), captures);
    await importLasting(aws, { KeyId, material: material(), wrapping });
    await aws.answer(between, aws.kms().describeKey({ KeyId }), captures);
    await use?.(aws, KeyId);
    await aws.kms().deleteImportedKeyMaterial({ KeyId });
    await aws.answer(after, aws.kms().describeKey({ KeyId }), captures);
  };
}

const curveRecipes = Object.entries(CURVES).map(
  ([spec, { namedCurve, algorithm, wrapping }]): Recipe => ({
    id: kms(`import_key_ecc_keys[${spec}]`),
    run: life({
      key: { KeySpec: spec as KeySpec, KeyUsage: "SIGN_VERIFY", Description: "test ecc key import" },
      material: () => ecPrivateKey(namedCurve),
      wrapping,
      use: async (aws, KeyId) => {
        const asked = {
          KeyId,
          Message,
          MessageType: "RAW",
          SigningAlgorithm: algorithm as SigningAlgorithmSpec,
        } as const;
        const { Signature } = await aws.answer("sign-result", aws.kms().sign(asked));
        await aws.answer("verify-result", aws.kms().verify({ ...asked, Signature }));
      },
    }),
  }),
);

const macRecipes = ([224, 256, 384, 512] as const).map(
  (bits): Recipe => ({
    id: kms(`import_key_hmac_keys[HMAC_${bits}]`),
    run: life({
      key: { KeySpec: `HMAC_${bits}`, KeyUsage: "GENERATE_VERIFY_MAC", Description: "test import hmac key" },
      material: () => randomBytes(bits / 8),
      wrapping: OAEP_4096,
      use: async (aws, KeyId) => {
        const asked = { KeyId, Message, MacAlgorithm: `HMAC_SHA_${bits}` as MacAlgorithmSpec };
        const { Mac } = await aws.answer("generate-mac-response", aws.kms().generateMac(asked));
        await aws.answer("verify-mac-response", aws.kms().verifyMac({ ...asked, Mac }));
      },
    }),
  }),
);

async function symmetricLife(aws: Session): Promise<void> {
  const { id: KeyId, metadata } = await newKey(aws, { Origin: "EXTERNAL" });
  const client = aws.kms();
  aws.note("created-key", metadata, { "<key-id:1>": KeyId });
  const encrypt = () => client.encrypt({ KeyId, Plaintext: Message });
  await aws.refusal("encrypt-before-import-error", encrypt());
  await aws.answer("describe-key-before-import", client.describeKey({ KeyId }));
  // Neither an expiration model nor a date: the model defaults to one that wants a date.
  const undated = await wrapped(aws, { KeyId, material: randomBytes(32) });
  await aws.refusal("import-expiring-key-without-valid-to", client.importKeyMaterial(undated));
  await client.importKeyMaterial({ ...undated, ExpirationModel: "KEY_MATERIAL_DOES_NOT_EXPIRE" });
  await aws.answer("describe-key-after-import", client.describeKey({ KeyId }));
  const { CiphertextBlob } = await encrypt();
  await client.decrypt({ KeyId, CiphertextBlob });
  await client.deleteImportedKeyMaterial({ KeyId });
  await aws.answer("describe-key-after-deleted-import", client.describeKey({ KeyId }));
  await aws.refusal("encrypt-after-delete-error", encrypt());
}

/** GetParametersForImport of a key that KMS made. */
function refusedParameters(test: string, answer: string, WrappingKeySpec: "RSA_2048" | "RSA_4096"): Recipe {
  return {
    id: kms(test),
    run: async (aws) => {
      const { id: KeyId, arn } = await newKey(aws);
      const call = aws.kms().getParametersForImport({ KeyId, ...OAEP_2048, WrappingKeySpec });
      await aws.refusal(answer, call, { "<key-arn>": arn });
    },
  };
}

export const importRecipes: readonly Recipe[] = [
  { id: kms("import_key_symmetric"), run: symmetricLife },
  {
    id: kms("import_key_asymmetric"),
    run: life({
      key: { KeySpec: "ECC_NIST_P256", KeyUsage: "SIGN_VERIFY" },
      material: () => ecPrivateKey("prime256v1"),
      created: "created-key",
    }),
  },
  {
    id: kms("import_key_rsa_aes_wrap_sha256"),
    run: life({
      key: { KeySpec: "RSA_4096", KeyUsage: "ENCRYPT_DECRYPT", Description: "test-key" },
      material: () => rsaPrivateKey(4096),
      wrapping: { WrappingAlgorithm: "RSA_AES_KEY_WRAP_SHA_256", WrappingKeySpec: "RSA_4096" },
      // The second is a description too, whatever its name says.
      names: ["describe-before-import", "import-key-material-response", "describe-key-after-deleted-import"],
    }),
  },
  ...curveRecipes,
  ...macRecipes,
  refusedParameters("get_parameters_for_import", "response-error", "RSA_4096"),
  refusedParameters(
    "get_parameters_for_import_raises_for_non_external_kms_keys",
    "get-import-parameters-error",
    "RSA_2048",
  ),
];
