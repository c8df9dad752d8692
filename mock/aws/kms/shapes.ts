/**
 * The inputs of the KMS operations offered here: members, limits and enumerations as AWS's model has them.
 *
 * Source: AWS service model kms/2014-11-01.
 *
 * @module
 */
import type { Json } from "../json.ts";
import type { EncryptionContext } from "./ciphertext.ts";
import type { Shape } from "./validate.ts";

export interface KeyInput {
  readonly KeyId: string;
}
export interface CreateKeyInput {
  readonly Policy?: string;
  readonly Description?: string;
  readonly KeyUsage?: string;
  readonly CustomerMasterKeySpec?: string;
  readonly KeySpec?: string;
  readonly Origin?: string;
  readonly CustomKeyStoreId?: string;
  readonly BypassPolicyLockoutSafetyCheck?: boolean;
  readonly Tags?: Json;
  readonly MultiRegion?: boolean;
  readonly XksKeyId?: string;
}
export interface DescribeKeyInput extends KeyInput {
  readonly GrantTokens?: readonly string[];
}
export interface GetKeyPolicyInput extends KeyInput {
  readonly PolicyName?: string;
}
export interface PutKeyPolicyInput extends GetKeyPolicyInput {
  readonly Policy: string;
  readonly BypassPolicyLockoutSafetyCheck?: boolean;
}
export interface RecipientInput {
  readonly KeyEncryptionAlgorithm?: string;
  readonly AttestationDocument?: Uint8Array;
}
interface CryptographicInput {
  readonly EncryptionContext?: EncryptionContext;
  readonly GrantTokens?: readonly string[];
  readonly DryRun?: boolean;
}
export interface EncryptInput extends CryptographicInput, KeyInput {
  readonly Plaintext: Uint8Array;
  readonly EncryptionAlgorithm?: string;
}
export interface DecryptInput extends CryptographicInput {
  readonly CiphertextBlob?: Uint8Array;
  readonly KeyId?: string;
  readonly EncryptionAlgorithm?: string;
  readonly Recipient?: RecipientInput;
  readonly DryRunModifiers?: Json;
}
export interface GenerateDataKeyInput extends CryptographicInput, KeyInput {
  readonly NumberOfBytes?: number;
  readonly KeySpec?: string;
  readonly Recipient?: RecipientInput;
}

const RSA_AND_ECC = "RSA_2048 RSA_3072 RSA_4096 ECC_NIST_P256 ECC_NIST_P384 ECC_NIST_P521 ECC_SECG_P256K1".split(" ");
const LEGACY_SPECS = [...RSA_AND_ECC, ..."SYMMETRIC_DEFAULT HMAC_224 HMAC_256 HMAC_384 HMAC_512 SM2".split(" ")];
const KEY_SPECS = [...LEGACY_SPECS, "ML_DSA_44", "ML_DSA_65", "ML_DSA_87", "ECC_NIST_EDWARDS25519"];
const ENCRYPTION_ALGORITHMS = ["SYMMETRIC_DEFAULT", "RSAES_OAEP_SHA_1", "RSAES_OAEP_SHA_256", "SM2PKE"];

const keyId = { kind: "string", min: 1, max: 2048 } as const;
const requiredKeyId = { ...keyId, required: true } as const;
const policy = { kind: "string", min: 1, max: 131_072, pattern: "[\\u0009\\u000A\\u000D\\u0020-\\u00FF]+" } as const;
const policyName = { kind: "string", min: 1, max: 128, pattern: "[\\w]+" } as const;
const grantTokens = { kind: "strings", maxItems: 10, min: 1, max: 8192 } as const;
const encryptionAlgorithm = { kind: "string", values: ENCRYPTION_ALGORITHMS } as const;
const cryptographic = {
  EncryptionContext: { kind: "map" },
  GrantTokens: grantTokens,
  DryRun: { kind: "boolean" },
} as const;
const recipient = {
  kind: "structure",
  members: {
    KeyEncryptionAlgorithm: { kind: "string", values: ["RSAES_OAEP_SHA_256"] },
    AttestationDocument: { kind: "blob", min: 1, max: 262_144 },
  },
} as const;

export const CREATE_KEY: Shape = {
  Policy: policy,
  Description: { kind: "string", min: 0, max: 8192 },
  KeyUsage: { kind: "string", values: ["SIGN_VERIFY", "ENCRYPT_DECRYPT", "GENERATE_VERIFY_MAC", "KEY_AGREEMENT"] },
  CustomerMasterKeySpec: { kind: "string", values: LEGACY_SPECS },
  KeySpec: { kind: "string", values: KEY_SPECS },
  Origin: { kind: "string", values: ["AWS_KMS", "EXTERNAL", "AWS_CLOUDHSM", "EXTERNAL_KEY_STORE"] },
  CustomKeyStoreId: { kind: "string", min: 1, max: 64 },
  BypassPolicyLockoutSafetyCheck: { kind: "boolean" },
  Tags: { kind: "list" },
  MultiRegion: { kind: "boolean" },
  XksKeyId: { kind: "string", min: 1, max: 128 },
};
export const KEY: Shape = { KeyId: requiredKeyId };
export const DESCRIBE_KEY: Shape = { KeyId: requiredKeyId, GrantTokens: grantTokens };
export const GET_KEY_POLICY: Shape = { KeyId: requiredKeyId, PolicyName: policyName };
export const PUT_KEY_POLICY: Shape = {
  KeyId: requiredKeyId,
  PolicyName: policyName,
  Policy: { ...policy, required: true },
  BypassPolicyLockoutSafetyCheck: { kind: "boolean" },
};
export const ENCRYPT: Shape = {
  KeyId: requiredKeyId,
  Plaintext: { kind: "blob", min: 1, max: 4096, required: true },
  EncryptionAlgorithm: encryptionAlgorithm,
  ...cryptographic,
};
export const DECRYPT: Shape = {
  CiphertextBlob: { kind: "blob", min: 1, max: 6144 },
  KeyId: keyId,
  EncryptionAlgorithm: encryptionAlgorithm,
  Recipient: recipient,
  DryRunModifiers: { kind: "list" },
  ...cryptographic,
};
export const GENERATE_DATA_KEY: Shape = {
  KeyId: requiredKeyId,
  NumberOfBytes: { kind: "integer", min: 1, max: 1024 },
  KeySpec: { kind: "string", values: ["AES_256", "AES_128"] },
  Recipient: recipient,
  ...cryptographic,
};
