/**
 * ML-DSA keys and signatures: material is PKCS#8 with the 32-byte seed, from which everything else follows.
 *
 * Signing is hedged, with an empty context. `mu` is the 64-byte message representative that EXTERNAL_MU carries.
 * Node 20's OpenSSL has no ML-DSA, so a library serves on every Node.
 *
 * Source: FIPS 204 §5.2, §6.2; RFC 9881 §4 (public keys), §6 (private keys: seed, or seed and expanded key).
 *
 * @module
 */
import { randomBytes } from "node:crypto";
import { ml_dsa44, ml_dsa65, ml_dsa87 } from "@noble/post-quantum/ml-dsa.js";
import { equalBytes } from "../../../../shared/bytes.ts";
import { DerReader, TAG } from "../../../../shared/der/reader.ts";
import { element } from "../ber.ts";
import { bareAlgorithm, readPrivateKeyInfo, writePrivateKeyInfo, writePublicKeyInfo } from "./der.ts";
import { MaterialCache } from "./material-cache.ts";

export type MlDsaParameters = 44 | 65 | 87;

const SEED_BYTES = 32;
/** `[0]` implicit, primitive. */
const SEED_TAG = 0x80;
const LIBRARY = { 44: ml_dsa44, 65: ml_dsa65, 87: ml_dsa87 } as const;
const ALGORITHM = {
  44: bareAlgorithm("2.16.840.1.101.3.4.3.17"),
  65: bareAlgorithm("2.16.840.1.101.3.4.3.18"),
  87: bareAlgorithm("2.16.840.1.101.3.4.3.19"),
} as const;

interface ExpandedKey {
  readonly secretKey: Uint8Array;
  readonly publicKey: Uint8Array;
}

const expandedKeys: Readonly<Record<MlDsaParameters, MaterialCache<ExpandedKey>>> = {
  44: new MaterialCache((material) => expand(44, readMlDsaSeed(material, 44))),
  65: new MaterialCache((material) => expand(65, readMlDsaSeed(material, 65))),
  87: new MaterialCache((material) => expand(87, readMlDsaSeed(material, 87))),
};

function expand(parameters: MlDsaParameters, seed: Uint8Array): ExpandedKey {
  return LIBRARY[parameters].keygen(seed);
}

export function newMlDsaMaterial(parameters: MlDsaParameters): Uint8Array {
  return mlDsaMaterial(parameters, randomBytes(SEED_BYTES));
}

export function mlDsaMaterial(parameters: MlDsaParameters, seed: Uint8Array): Uint8Array {
  return writePrivateKeyInfo({ algorithm: ALGORITHM[parameters], key: element(SEED_TAG, seed) });
}

/**
 * The seed in a PKCS#8 key: alone, or beside an expanded key that must then follow from it.
 *
 * @throws {EncodingError} another structure, another parameter set, an expanded key alone
 */
export function readMlDsaSeed(pkcs8: Uint8Array, parameters: MlDsaParameters): Uint8Array {
  const { algorithm, key } = readPrivateKeyInfo(pkcs8);
  const choice = new DerReader(key);
  if (!equalBytes(algorithm, ALGORITHM[parameters])) throw choice.malformed(`not an ML-DSA-${parameters} key`);
  const isBoth = choice.nextTag === TAG.sequence;
  const fields = isBoth ? choice.enter(TAG.sequence) : choice;
  const seed = fields.read(isBoth ? TAG.octetString : SEED_TAG).content;
  if (seed.length !== SEED_BYTES) throw fields.malformed("the seed has 32 bytes");
  if (isBoth && !equalBytes(fields.read(TAG.octetString).content, expand(parameters, seed).secretKey))
    throw fields.malformed("the expanded key does not follow from the seed");
  fields.end();
  choice.end();
  return Uint8Array.from(seed);
}

export function mlDsaPublicKey(parameters: MlDsaParameters, material: Uint8Array): Uint8Array {
  return writePublicKeyInfo({
    algorithm: ALGORITHM[parameters],
    key: expandedKeys[parameters].get(material).publicKey,
  });
}

/** What is signed: a message, or the representative that stands for it and the public key. */
export type MlDsaInput = { readonly message: Uint8Array } | { readonly mu: Uint8Array };

export function mlDsaSign(parameters: MlDsaParameters, input: MlDsaInput & { material: Uint8Array }): Uint8Array {
  const { secretKey } = expandedKeys[parameters].get(input.material);
  if ("mu" in input) return LIBRARY[parameters].internal.sign(input.mu, secretKey, { externalMu: true });
  return LIBRARY[parameters].sign(input.message, secretKey);
}

export function isMlDsaSignature(
  parameters: MlDsaParameters,
  input: MlDsaInput & { material: Uint8Array; signature: Uint8Array },
): boolean {
  const { signature } = input;
  const library = LIBRARY[parameters];
  const { publicKey } = expandedKeys[parameters].get(input.material);
  if ("mu" in input) return library.internal.verify(signature, input.mu, publicKey, { externalMu: true });
  return library.verify(signature, input.message, publicKey);
}
