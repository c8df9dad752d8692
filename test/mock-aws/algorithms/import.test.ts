import { constants, createCipheriv, generateKeyPairSync, publicEncrypt, randomBytes } from "node:crypto";
import { ml_dsa44 } from "@noble/post-quantum/ml-dsa.js";
import { beforeAll, describe, expect, test } from "vitest";
import { writePrivateKeyInfo } from "../../../mock/aws/kms/algorithms/der.ts";
import { unwrapPadded } from "../../../mock/aws/kms/algorithms/import.ts";
import {
  assertWrapping,
  checkImported,
  encryptAsymmetric,
  generateKeyMaterial,
  isAsymmetric,
  type KeySpec,
  newWrappingKey,
  publicKeyOf,
  unwrapKeyMaterial,
  WRAPPING_ALGORITHMS,
  type WrappingAlgorithm,
  type WrappingKey,
} from "../../../mock/aws/kms/algorithms/index.ts";
import { mlDsaMaterial, readMlDsaSeed } from "../../../mock/aws/kms/algorithms/ml-dsa.ts";
import { element, objectIdentifier, smallInteger, TAG } from "../../../mock/aws/kms/ber.ts";
import { concat, fromHex, utf8 } from "../../../shared/bytes.ts";
import { openssl, verdict } from "./openssl.ts";
import { SECRET_SIZES } from "./secret-sizes.ts";

let key: WrappingKey;
beforeAll(async () => {
  key = await newWrappingKey("RSA_2048");
});

/** What a customer does with the public key, per step 3 of the Developer Guide. */
function wrap(algorithm: WrappingAlgorithm, material: Uint8Array, aesKeyBytes = 32): Uint8Array {
  const hash = algorithm.endsWith("_1") ? "sha1" : "sha256";
  const options = `-pkeyopt rsa_padding_mode:oaep -pkeyopt rsa_oaep_md:${hash} -pkeyopt rsa_mgf1_md:${hash}`;
  const underRsa = (data: Uint8Array): Uint8Array =>
    openssl(`pkeyutl -encrypt -pubin -inkey key -keyform DER ${options} -in data`, { key: key.publicKey, data });
  if (algorithm.startsWith("RSAES")) return underRsa(material);
  const aesKey = randomBytes(aesKeyBytes);
  const cipher = createCipheriv(`id-aes${aesKeyBytes * 8}-wrap-pad`, aesKey, fromHex("a65959a6"));
  return concat(underRsa(aesKey), cipher.update(material), cipher.final());
}

describe("unwrapKeyMaterial", () => {
  const rsa = WRAPPING_ALGORITHMS.filter((algorithm) => algorithm !== "SM2PKE");

  test.each(rsa)("%s opens what OpenSSL wrapped, and nothing that was changed", (algorithm) => {
    const material = randomBytes(32);
    const wrapped = wrap(algorithm, material);
    expect(unwrapKeyMaterial({ algorithm, privateKey: key.privateKey, wrapped })).toEqual(new Uint8Array(material));
    for (const bad of [
      ...[0, 255, wrapped.length - 1].map((at) => wrapped.map((byte, i) => (i === at ? byte ^ 1 : byte))),
      wrapped.subarray(1),
      wrapped.subarray(0, -1),
      wrapped.subarray(0, 255),
      Uint8Array.of(...wrapped, 0),
      concat(wrapped, new Uint8Array(8)),
      new Uint8Array(),
    ]) {
      const request = { algorithm, privateKey: key.privateKey, wrapped: bad };
      expect(verdict(() => unwrapKeyMaterial(request))).toBe("InvalidCiphertextException");
    }
  });

  test("an RSA key goes through AES key wrap, with nothing behind RSA or a shorter AES key it does not", () => {
    const algorithm = "RSA_AES_KEY_WRAP_SHA_256";
    const { privateKey } = key;
    const wrapped = wrap(algorithm, privateKey);
    expect(unwrapKeyMaterial({ algorithm, privateKey, wrapped })).toEqual(privateKey);
    for (const bad of [wrapped.subarray(0, 256), wrap(algorithm, privateKey, 16)])
      expect(verdict(() => unwrapKeyMaterial({ algorithm, privateKey, wrapped: bad }))).toBe(
        "InvalidCiphertextException",
      );
  });

  test("SM2PKE opens with an SM2 wrapping key", async () => {
    const sm2 = await newWrappingKey("SM2");
    const plaintext = utf8("0123456789abcdef0123456789abcdef");
    const wrapped = encryptAsymmetric({ spec: "SM2", material: sm2.privateKey, algorithm: "SM2PKE", plaintext });
    const unwrapped = unwrapKeyMaterial({ algorithm: "SM2PKE", privateKey: sm2.privateKey, wrapped });
    expect(unwrapped).toEqual(plaintext);
  });

  test("RSAES-PKCS1-v1_5 is no way in under another name", () => {
    const padded = { key: Buffer.from(key.publicKey), format: "der", type: "spki" } as const;
    const wrapped = publicEncrypt({ ...padded, padding: constants.RSA_PKCS1_PADDING }, randomBytes(32));
    for (const algorithm of rsa)
      expect(verdict(() => unwrapKeyMaterial({ algorithm, privateKey: key.privateKey, wrapped }))).toBe(
        "InvalidCiphertextException",
      );
  });
});

describe("AES key wrap with padding", () => {
  const kek = fromHex("5840df6e29b02af1ab493b705bf16ea1ae8338f4dcc176a8");

  test.each([
    [
      "20 bytes",
      "c37b7e6492584340bed12207808941155068f738",
      "138bdeaa9b8fa7fc61f97742e72248ee5ae6ae5360d1ae6a5f54f373fa543b6a",
    ],
    ["7 bytes", "466f7250617369", "afbeb0f07dfbf5419200f2ccb50bb24f"],
  ])("RFC 5649 §6: %s", (_size, data, wrapped) => {
    expect(unwrapPadded(kek, fromHex(wrapped))).toEqual(fromHex(data));
    const changed = fromHex(wrapped).map((byte, index) => (index === 9 ? byte ^ 1 : byte));
    expect(unwrapPadded(kek, changed)).toBeUndefined();
  });

  test.each([0, 8, 15, 17])("%i bytes are none", (length) => {
    expect(unwrapPadded(kek, new Uint8Array(length))).toBeUndefined();
  });
});

describe("GetParametersForImport's choice", () => {
  test.each([
    ["RSAES_PKCS1_V1_5", "RSA_2048", "UnsupportedOperationException"],
    ["SM2PKE", "RSA_2048", "ValidationException"],
    ["RSAES_OAEP_SHA_256", "SM2", "ValidationException"],
    ["SM2PKE", "SM2", "accepted"],
    ["RSAES_OAEP_SHA_1", "RSA_4096", "accepted"],
    ["RSA_AES_KEY_WRAP_SHA_256", "RSA_3072", "accepted"],
  ] as const)("%s with %s: %s", (algorithm, spec, expected) => {
    expect(verdict(() => assertWrapping(algorithm, spec))).toBe(expected);
  });

  test("a pool can make the key", async () => {
    const asked: KeySpec[] = [];
    const generate = async (spec: KeySpec): Promise<Uint8Array> => {
      asked.push(spec);
      return key.privateKey;
    };
    expect(await newWrappingKey("RSA_4096", generate)).toEqual(key);
    expect(asked).toEqual(["RSA_4096"]);
  });
});

describe("checkImported", () => {
  const refused = (spec: KeySpec, bytes: Uint8Array): void =>
    expect(verdict(() => checkImported(spec, bytes))).toBe("IncorrectKeyMaterialException");

  test.each(SECRET_SIZES)("%s has %i bytes, no fewer and no more", (spec, length) => {
    expect(checkImported(spec, new Uint8Array(length).fill(1))).toEqual(new Uint8Array(length).fill(1));
    for (const other of [0, length - 1, length + 1, 2 * length]) refused(spec, new Uint8Array(other));
  });

  const PAIRS = ["ECC_NIST_P256", "ECC_NIST_P384", "ECC_NIST_P521", "ECC_SECG_P256K1", "ECC_NIST_EDWARDS25519"]
    .concat("ML_DSA_44", "ML_DSA_65", "ML_DSA_87", "RSA_2048")
    .map((spec) => spec as KeySpec);

  test("each kind of pair is taken for its own spec and for no other", async () => {
    const materials = await Promise.all(
      PAIRS.map(async (spec) => ({ spec, material: await generateKeyMaterial(spec) })),
    );
    for (const { spec, material } of materials) {
      expect(isAsymmetric(spec)).toBe(true);
      expect(checkImported(spec, material)).toEqual(material);
      for (const other of PAIRS.concat("RSA_3072", "SM2", "SYMMETRIC_DEFAULT"))
        if (other !== spec) refused(other, material);
      refused(spec, material.subarray(0, -1));
      refused(spec, Uint8Array.of(...material, 0));
      refused(spec, publicKeyOf(spec, material));
    }
    refused("ECC_NIST_P256", new Uint8Array());
    refused("ECC_NIST_P256", new Uint8Array(32));
  });

  test("a curve's key without its public half becomes the one with it", () => {
    const { privateKey } = generateKeyPairSync("ec", { namedCurve: "prime256v1" });
    const whole = new Uint8Array(privateKey.export({ format: "der", type: "pkcs8" }));
    const scalar = Buffer.from(privateKey.export({ format: "jwk" }).d ?? "", "base64url");
    const names = [objectIdentifier("1.2.840.10045.2.1"), objectIdentifier("1.2.840.10045.3.1.7")];
    const bare = element(TAG.sequence, smallInteger(1), element(TAG.octetString, scalar));
    const imported = writePrivateKeyInfo({ algorithm: element(TAG.sequence, ...names), key: bare });
    expect(checkImported("ECC_NIST_P256", imported)).toEqual(whole);
  });

  test("a curve written out in parameters is not the named one", () => {
    const written = openssl("ecparam -name prime256v1 -genkey -noout -param_enc explicit -outform PEM");
    const command = "pkcs8 -topk8 -nocrypt -in key -outform DER -out out";
    refused("ECC_NIST_P256", openssl(command, { key: written }));
    const named = openssl("ecparam -name prime256v1 -genkey -noout -outform PEM");
    const material = openssl(command, { key: named });
    expect(checkImported("ECC_NIST_P256", material)).toEqual(material);
  });

  test("halves that do not belong together are refused", () => {
    const [one, other] = [1, 2].map(() => {
      const pair = generateKeyPairSync("ec", { namedCurve: "prime256v1" });
      return new Uint8Array(pair.privateKey.export({ format: "der", type: "pkcs8" }));
    });
    const point = other?.subarray(-64) ?? new Uint8Array();
    refused("ECC_NIST_P256", concat(one?.subarray(0, -64) ?? new Uint8Array(), point));
  });

  test("PKCS#1, PEM, RSA-PSS keys, encrypted keys and a small exponent are refused", () => {
    const { privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
    const pss = generateKeyPairSync("rsa-pss", { modulusLength: 2048 }).privateKey;
    const three = generateKeyPairSync("rsa", { modulusLength: 2048, publicExponent: 3 }).privateKey;
    const sealed = { format: "der", type: "pkcs8", cipher: "aes-256-cbc", passphrase: "open" } as const;
    for (const bytes of [
      privateKey.export({ format: "der", type: "pkcs1" }),
      Buffer.from(privateKey.export({ format: "pem", type: "pkcs8" })),
      privateKey.export(sealed),
      pss.export({ format: "der", type: "pkcs8" }),
      three.export({ format: "der", type: "pkcs8" }),
    ])
      refused("RSA_2048", bytes);
    const plain = new Uint8Array(privateKey.export({ format: "der", type: "pkcs8" }));
    expect(checkImported("RSA_2048", plain)).toEqual(plain);
  });

  test("an ML-DSA key with seed and expanded key is its seed; alone or wrong, the expanded key is refused", () => {
    const seed = new Uint8Array(32).fill(5);
    const material = mlDsaMaterial(44, seed);
    const { secretKey } = ml_dsa44.keygen(seed);
    const algorithm = element(TAG.sequence, objectIdentifier("2.16.840.1.101.3.4.3.17"));
    const both = (expanded: Uint8Array): Uint8Array =>
      writePrivateKeyInfo({
        algorithm,
        key: element(TAG.sequence, element(TAG.octetString, seed), element(TAG.octetString, expanded)),
      });
    expect(checkImported("ML_DSA_44", both(secretKey))).toEqual(material);
    expect(readMlDsaSeed(both(secretKey), 44)).toEqual(seed);
    refused("ML_DSA_44", both(secretKey.map((byte, index) => (index === 99 ? byte ^ 1 : byte))));
    refused("ML_DSA_44", writePrivateKeyInfo({ algorithm, key: element(TAG.octetString, secretKey) }));
    refused("ML_DSA_44", mlDsaMaterial(44, new Uint8Array(31)));
    refused("ML_DSA_65", material);
  });
});
