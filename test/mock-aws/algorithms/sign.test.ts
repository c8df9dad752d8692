import { createHash } from "node:crypto";
import { beforeAll, describe, expect, test } from "vitest";
import {
  generateKeyMaterial,
  KEY_SPECS,
  type KeySpec,
  type MessageType,
  publicKeyOf,
  type SigningAlgorithm,
  sign,
  type VerifyRequest,
  verify,
} from "../../../mock/aws/kms/algorithms/index.ts";
import { utf8 } from "../../../shared/bytes.ts";
import { openssl, verdict } from "./openssl.ts";

const MESSAGE = utf8("attack at dawn");
const keys = new Map<KeySpec, Uint8Array>();
const HASHED = (["RSA_2048", "ECC_NIST_P256", "ECC_NIST_P384", "ECC_NIST_P521", "ECC_SECG_P256K1"] as const).flatMap(
  (spec) => KEY_SPECS[spec].signingAlgorithms.map((algorithm) => ({ spec, algorithm })),
);
const ALL = [
  ...HASHED,
  { spec: "ECC_NIST_EDWARDS25519", algorithm: "ED25519_SHA_512" },
  { spec: "ECC_NIST_EDWARDS25519", algorithm: "ED25519_PH_SHA_512" },
  { spec: "SM2", algorithm: "SM2DSA" },
  { spec: "ML_DSA_44", algorithm: "ML_DSA_SHAKE_256" },
  { spec: "ML_DSA_65", algorithm: "ML_DSA_SHAKE_256" },
  { spec: "ML_DSA_87", algorithm: "ML_DSA_SHAKE_256" },
] as const;
/** Which message types an algorithm takes, and the length of what is not RAW. */
const TAKES: Readonly<Record<string, readonly [MessageType, number][]>> = {
  ED25519_SHA_512: [["RAW", 0]],
  ED25519_PH_SHA_512: [["DIGEST", 64]],
  SM2DSA: [
    ["RAW", 0],
    ["DIGEST", 32],
  ],
  ML_DSA_SHAKE_256: [
    ["RAW", 0],
    ["EXTERNAL_MU", 64],
  ],
};

function takes(algorithm: SigningAlgorithm): readonly [MessageType, number][] {
  return (
    TAKES[algorithm] ??
    [["RAW", 0] as const, ["DIGEST", Number(algorithm.slice(-3)) / 8] as const].map(
      ([type, length]) => [type, length] as [MessageType, number],
    )
  );
}

function keyOf(spec: KeySpec): Uint8Array {
  return keys.get(spec) ?? new Uint8Array();
}

function hashName(algorithm: SigningAlgorithm): "sha256" | "sha384" | "sha512" {
  return `sha${algorithm.slice(-3)}` as "sha256";
}

function digestOf(algorithm: SigningAlgorithm): Uint8Array {
  return new Uint8Array(createHash(hashName(algorithm)).update(MESSAGE).digest());
}

beforeAll(async () => {
  for (const { spec } of ALL) if (!keys.has(spec)) keys.set(spec, await generateKeyMaterial(spec));
});

describe.each(HASHED)("$spec $algorithm", ({ spec, algorithm }) => {
  const raw = { spec, algorithm, messageType: "RAW", message: MESSAGE } as const;
  const digest = { spec, algorithm, messageType: "DIGEST", message: digestOf(algorithm) } as const;

  test("a message and its digest are signed alike", () => {
    const material = keyOf(spec);
    verify({ ...digest, material, signature: sign({ ...raw, material }) });
    verify({ ...raw, material, signature: sign({ ...digest, material }) });
  });

  test("OpenSSL verifies ours, made of the message and of the digest", () => {
    const material = keyOf(spec);
    const hash = hashName(algorithm);
    const options = algorithm.includes("PSS") ? " -sigopt rsa_padding_mode:pss -sigopt rsa_pss_saltlen:digest" : "";
    for (const signed of [raw, digest]) {
      const files = { message: MESSAGE, key: publicKeyOf(spec, material), signature: sign({ ...signed, material }) };
      const said = openssl(`dgst -${hash} -verify key -keyform DER${options} -signature signature message`, files);
      expect(new TextDecoder().decode(said)).toContain("Verified OK");
    }
  });

  test("we verify OpenSSL's, of the message and of the digest", () => {
    const material = keyOf(spec);
    const hash = hashName(algorithm);
    const options = algorithm.includes("PSS") ? " -sigopt rsa_padding_mode:pss -sigopt rsa_pss_saltlen:digest" : "";
    const command = `dgst -${hash} -sign key -keyform DER${options} -out out message`;
    const signature = openssl(command, { message: MESSAGE, key: material });
    verify({ ...raw, material, signature });
    verify({ ...digest, material, signature });
  });
});

describe.each(ALL)("$spec $algorithm", ({ spec, algorithm }) => {
  const cases = takes(algorithm).map(([messageType, length]) => ({
    ...{ spec, algorithm, messageType },
    message: messageType === "RAW" ? MESSAGE : new Uint8Array(length).fill(7),
  }));

  test("what was changed is not the signature", () => {
    for (const request of cases) {
      const material = keyOf(spec);
      const good: VerifyRequest = { ...request, material, signature: sign({ ...request, material }) };
      const { signature, message } = good;
      verify(good);
      const flipped = (bytes: Uint8Array, at: number) => bytes.map((byte, index) => (index === at ? byte ^ 1 : byte));
      for (const bad of [
        { ...good, message: flipped(message, 0) },
        ...[0, signature.length >> 1, signature.length - 1].map((at) => ({
          ...good,
          signature: flipped(signature, at),
        })),
        { ...good, signature: signature.subarray(1) },
        { ...good, signature: signature.subarray(0, -1) },
        { ...good, signature: Uint8Array.of(...signature, 0) },
        { ...good, signature: Uint8Array.of(0, ...signature) },
        { ...good, signature: new Uint8Array(signature.length) },
        { ...good, signature: new Uint8Array(signature.length).fill(0xff) },
        { ...good, signature: Uint8Array.of(0) },
      ])
        expect(verdict(() => verify(bad))).toBe("KMSInvalidSignatureException");
    }
  });

  test("a digest one byte short or long is refused", () => {
    for (const request of cases.filter(({ messageType }) => messageType !== "RAW"))
      for (const message of [request.message.subarray(1), Uint8Array.of(...request.message, 0)]) {
        const bad = { ...request, material: keyOf(spec), message };
        expect(() => sign(bad)).toThrow(`Digest is invalid length for algorithm ${algorithm}.`);
        expect(verdict(() => sign(bad))).toBe("ValidationException");
        expect(verdict(() => verify({ ...bad, signature: Uint8Array.of(1) }))).toBe("ValidationException");
      }
  });

  test("other message types are refused", () => {
    const others = (["RAW", "DIGEST", "EXTERNAL_MU"] as const).filter(
      (type) => !takes(algorithm).some(([taken]) => taken === type),
    );
    expect(others).not.toEqual([]);
    for (const messageType of others) {
      const bad = { spec, algorithm, messageType, material: keyOf(spec), message: new Uint8Array(64) };
      expect(verdict(() => sign(bad))).toBe("ValidationException");
    }
  });

  test("another spec's algorithm is refused before anything else", () => {
    const foreign = algorithm === "SM2DSA" ? "ML_DSA_SHAKE_256" : "SM2DSA";
    const bad = { spec, algorithm: foreign, messageType: "DIGEST", material: keyOf(spec), message: MESSAGE } as const;
    expect(() => sign(bad)).toThrow(`Algorithm ${foreign} is incompatible with key spec ${spec}.`);
    expect(verdict(() => sign(bad))).toBe("InvalidKeyUsageException");
    expect(verdict(() => verify({ ...bad, signature: Uint8Array.of(1) }))).toBe("InvalidKeyUsageException");
  });
});

describe("RSASSA-PSS", () => {
  const request = { spec: "RSA_2048", algorithm: "RSASSA_PSS_SHA_256" } as const;

  test.each([20, 31, 33, 0])("a salt of %i bytes is not the digest's length", (saltLength) => {
    const material = keyOf("RSA_2048");
    const options = `-sigopt rsa_padding_mode:pss -sigopt rsa_pss_saltlen:${saltLength}`;
    const command = `dgst -sha256 -sign key -keyform DER ${options} -out out message`;
    const signature = openssl(command, { message: MESSAGE, key: material });
    const raw = { ...request, material, signature, messageType: "RAW", message: MESSAGE } as const;
    expect(verdict(() => verify(raw))).toBe("KMSInvalidSignatureException");
    const digest = { ...raw, messageType: "DIGEST", message: digestOf(request.algorithm) } as const;
    expect(verdict(() => verify(digest))).toBe("KMSInvalidSignatureException");
  });

  test("a signature without its leading zero is none", () => {
    const material = keyOf("RSA_2048");
    const signed = { ...request, material, messageType: "DIGEST", message: digestOf(request.algorithm) } as const;
    let signature = sign(signed);
    while (signature[0] !== 0) signature = sign(signed);
    verify({ ...signed, signature });
    const shorter = { ...signed, signature: signature.subarray(1) };
    expect(verdict(() => verify(shorter))).toBe("KMSInvalidSignatureException");
    const raw = { ...shorter, messageType: "RAW", message: MESSAGE } as const;
    expect(verdict(() => verify(raw))).toBe("KMSInvalidSignatureException");
  });

  test("is not RSASSA-PKCS1-v1_5, and neither is one hash another", () => {
    const material = keyOf("RSA_2048");
    const message = digestOf(request.algorithm);
    const signed = { ...request, material, messageType: "DIGEST", message } as const;
    const signature = sign(signed);
    const pkcs1 = { ...signed, signature, algorithm: "RSASSA_PKCS1_V1_5_SHA_256" } as const;
    expect(verdict(() => verify(pkcs1))).toBe("KMSInvalidSignatureException");
    const longer = { ...signed, signature, algorithm: "RSASSA_PSS_SHA_512", message: new Uint8Array(64) } as const;
    expect(verdict(() => verify(longer))).toBe("KMSInvalidSignatureException");
  });
});
