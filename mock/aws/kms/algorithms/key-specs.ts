/**
 * What each KMS key spec can do: its usages, and for each usage the algorithms, in the order that KMS lists them.
 *
 *   KEY_SPECS        what the service answers and checks
 *   KEY_KINDS        what the cryptography needs to know: curve, modulus, size
 *
 * Only SYMMETRIC_DEFAULT has a default usage. In the China Regions the real one is SM4; here it is AES-256 everywhere.
 *
 * Source: KMS Developer Guide, "Key spec reference"; recorded answers for the order of the lists.
 *
 * @module
 */

export type KeyUsage = "ENCRYPT_DECRYPT" | "SIGN_VERIFY" | "GENERATE_VERIFY_MAC" | "KEY_AGREEMENT";
export type EncryptionAlgorithm = "SYMMETRIC_DEFAULT" | "RSAES_OAEP_SHA_1" | "RSAES_OAEP_SHA_256" | "SM2PKE";
export type RsaSigningAlgorithm = `${"RSASSA_PKCS1_V1_5" | "RSASSA_PSS"}_SHA_${256 | 384 | 512}`;
export type SigningAlgorithm =
  | RsaSigningAlgorithm
  | `ECDSA_SHA_${256 | 384 | 512}`
  | "ED25519_SHA_512"
  | "ED25519_PH_SHA_512"
  | "SM2DSA"
  | "ML_DSA_SHAKE_256";
export type MacAlgorithm = `HMAC_SHA_${224 | 256 | 384 | 512}`;
export type KeyAgreementAlgorithm = "ECDH";
export type RsaKeySpec = "RSA_2048" | "RSA_3072" | "RSA_4096";
export type KeySpec =
  | "SYMMETRIC_DEFAULT"
  | RsaKeySpec
  | `HMAC_${224 | 256 | 384 | 512}`
  | `ECC_NIST_P${256 | 384 | 521}`
  | "ECC_SECG_P256K1"
  | "ECC_NIST_EDWARDS25519"
  | "SM2"
  | `ML_DSA_${44 | 65 | 87}`;

export interface KeySpecFacts {
  readonly usages: readonly KeyUsage[];
  /** Absent: CreateKey must name the usage. */
  readonly defaultUsage?: KeyUsage;
  readonly encryptionAlgorithms: readonly EncryptionAlgorithm[];
  readonly signingAlgorithms: readonly SigningAlgorithm[];
  readonly macAlgorithms: readonly MacAlgorithm[];
  readonly keyAgreementAlgorithms: readonly KeyAgreementAlgorithm[];
}

const NONE = {
  encryptionAlgorithms: [],
  signingAlgorithms: [],
  macAlgorithms: [],
  keyAgreementAlgorithms: [],
} as const;
const RSA: KeySpecFacts = {
  ...NONE,
  usages: ["ENCRYPT_DECRYPT", "SIGN_VERIFY"],
  encryptionAlgorithms: ["RSAES_OAEP_SHA_1", "RSAES_OAEP_SHA_256"],
  signingAlgorithms: [
    "RSASSA_PKCS1_V1_5_SHA_256",
    "RSASSA_PKCS1_V1_5_SHA_384",
    "RSASSA_PKCS1_V1_5_SHA_512",
    "RSASSA_PSS_SHA_256",
    "RSASSA_PSS_SHA_384",
    "RSASSA_PSS_SHA_512",
  ],
};
const ML_DSA: KeySpecFacts = { ...NONE, usages: ["SIGN_VERIFY"], signingAlgorithms: ["ML_DSA_SHAKE_256"] };

function nist(algorithm: SigningAlgorithm): KeySpecFacts {
  return {
    ...NONE,
    usages: ["SIGN_VERIFY", "KEY_AGREEMENT"],
    signingAlgorithms: [algorithm],
    keyAgreementAlgorithms: ["ECDH"],
  };
}

function hmac(algorithm: MacAlgorithm): KeySpecFacts {
  return { ...NONE, usages: ["GENERATE_VERIFY_MAC"], macAlgorithms: [algorithm] };
}

export const KEY_SPECS: Readonly<Record<KeySpec, KeySpecFacts>> = {
  SYMMETRIC_DEFAULT: {
    ...NONE,
    usages: ["ENCRYPT_DECRYPT"],
    defaultUsage: "ENCRYPT_DECRYPT",
    encryptionAlgorithms: ["SYMMETRIC_DEFAULT"],
  },
  RSA_2048: RSA,
  RSA_3072: RSA,
  RSA_4096: RSA,
  ECC_NIST_P256: nist("ECDSA_SHA_256"),
  ECC_NIST_P384: nist("ECDSA_SHA_384"),
  ECC_NIST_P521: nist("ECDSA_SHA_512"),
  ECC_SECG_P256K1: { ...NONE, usages: ["SIGN_VERIFY"], signingAlgorithms: ["ECDSA_SHA_256"] },
  ECC_NIST_EDWARDS25519: {
    ...NONE,
    usages: ["SIGN_VERIFY"],
    signingAlgorithms: ["ED25519_SHA_512", "ED25519_PH_SHA_512"],
  },
  HMAC_224: hmac("HMAC_SHA_224"),
  HMAC_256: hmac("HMAC_SHA_256"),
  HMAC_384: hmac("HMAC_SHA_384"),
  HMAC_512: hmac("HMAC_SHA_512"),
  SM2: {
    usages: ["ENCRYPT_DECRYPT", "SIGN_VERIFY", "KEY_AGREEMENT"],
    encryptionAlgorithms: ["SM2PKE"],
    signingAlgorithms: ["SM2DSA"],
    macAlgorithms: [],
    keyAgreementAlgorithms: ["ECDH"],
  },
  ML_DSA_44: ML_DSA,
  ML_DSA_65: ML_DSA,
  ML_DSA_87: ML_DSA,
};

export function isKeySpec(name: string): name is KeySpec {
  return Object.hasOwn(KEY_SPECS, name);
}

/** Whether keys of this spec are pairs, of which one half is public. */
export function isAsymmetric(spec: KeySpec): boolean {
  const { kind } = KEY_KINDS[spec];
  return kind !== "symmetric" && kind !== "hmac";
}

/** Members of KeyMetadata and of GetPublicKey's answer: the algorithms of one usage, and no others. */
export interface AlgorithmMembers {
  readonly EncryptionAlgorithms?: readonly EncryptionAlgorithm[];
  readonly SigningAlgorithms?: readonly SigningAlgorithm[];
  readonly MacAlgorithms?: readonly MacAlgorithm[];
  readonly KeyAgreementAlgorithms?: readonly KeyAgreementAlgorithm[];
}

export function algorithmMembers(spec: KeySpec, usage: KeyUsage): AlgorithmMembers {
  const facts = KEY_SPECS[spec];
  switch (usage) {
    case "ENCRYPT_DECRYPT":
      return { EncryptionAlgorithms: facts.encryptionAlgorithms };
    case "SIGN_VERIFY":
      return { SigningAlgorithms: facts.signingAlgorithms };
    case "GENERATE_VERIFY_MAC":
      return { MacAlgorithms: facts.macAlgorithms };
    case "KEY_AGREEMENT":
      return { KeyAgreementAlgorithms: facts.keyAgreementAlgorithms };
    default:
      throw usage satisfies never;
  }
}

/** `curve` is OpenSSL's name of it. */
export interface CurveKind {
  readonly kind: "ec" | "sm2";
  readonly curve: string;
}
/** What a key is made of. */
export type KeyKind =
  | { readonly kind: "symmetric" | "hmac"; readonly bytes: number }
  | { readonly kind: "rsa"; readonly modulusBits: number }
  | CurveKind
  | { readonly kind: "ed25519" }
  | { readonly kind: "ml-dsa"; readonly parameters: 44 | 65 | 87 };

export const KEY_KINDS: Readonly<Record<KeySpec, KeyKind>> = {
  SYMMETRIC_DEFAULT: { kind: "symmetric", bytes: 32 },
  RSA_2048: { kind: "rsa", modulusBits: 2048 },
  RSA_3072: { kind: "rsa", modulusBits: 3072 },
  RSA_4096: { kind: "rsa", modulusBits: 4096 },
  ECC_NIST_P256: { kind: "ec", curve: "prime256v1" },
  ECC_NIST_P384: { kind: "ec", curve: "secp384r1" },
  ECC_NIST_P521: { kind: "ec", curve: "secp521r1" },
  ECC_SECG_P256K1: { kind: "ec", curve: "secp256k1" },
  ECC_NIST_EDWARDS25519: { kind: "ed25519" },
  HMAC_224: { kind: "hmac", bytes: 28 },
  HMAC_256: { kind: "hmac", bytes: 32 },
  HMAC_384: { kind: "hmac", bytes: 48 },
  HMAC_512: { kind: "hmac", bytes: 64 },
  SM2: { kind: "sm2", curve: "SM2" },
  ML_DSA_44: { kind: "ml-dsa", parameters: 44 },
  ML_DSA_65: { kind: "ml-dsa", parameters: 65 },
  ML_DSA_87: { kind: "ml-dsa", parameters: 87 },
};
