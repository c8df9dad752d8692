import { createHash } from "node:crypto";
import { describe, expect, test } from "vitest";
import { generateKeyMaterial, isKeySpec, KEY_SPECS, publicKeyOf } from "../../../mock/aws/kms/algorithms/index.ts";
import { keyObjects } from "../../../mock/aws/kms/algorithms/key-objects.ts";
import { MaterialCache } from "../../../mock/aws/kms/algorithms/material-cache.ts";
import { mlDsaMaterial, readMlDsaSeed } from "../../../mock/aws/kms/algorithms/ml-dsa.ts";
import { toHex } from "../../../shared/bytes.ts";
import { openssl } from "./openssl.ts";
import { SECRET_SIZES } from "./secret-sizes.ts";

// The larger RSA keys are made where they are needed.
const OPENSSL_KNOWS = ["RSA_2048", "ECC_NIST_P256", "ECC_NIST_P384", "ECC_NIST_P521", "ECC_SECG_P256K1", "SM2"]
  .concat("ECC_NIST_EDWARDS25519")
  .filter(isKeySpec);

describe("generateKeyMaterial", () => {
  test.each(SECRET_SIZES)("%s is %i random bytes", async (spec, length) => {
    const [one, other] = await Promise.all([generateKeyMaterial(spec), generateKeyMaterial(spec)]);
    expect(one).toHaveLength(length);
    expect(one).not.toEqual(other);
    expect(() => publicKeyOf(spec, one)).toThrow(TypeError);
  });

  test.each(OPENSSL_KNOWS)("OpenSSL reads %s and makes the same public key of it", async (spec) => {
    const material = await generateKeyMaterial(spec);
    const theirs = openssl("pkey -inform DER -in key -pubout -outform DER -out out", { key: material });
    expect(toHex(publicKeyOf(spec, material))).toBe(toHex(theirs));
    expect(new TextDecoder().decode(openssl("pkey -inform DER -in key -check -noout", { key: material }))).toContain(
      "is valid",
    );
  });

  test("every spec is made by some test", () => {
    const rest = Object.keys(KEY_SPECS).filter((spec) => !OPENSSL_KNOWS.some((known) => known === spec));
    expect(rest.filter((spec) => !/^(SYMMETRIC|HMAC|ML_DSA|RSA_[34])/.test(spec))).toEqual([]);
  });
});

describe("ML-DSA keys", () => {
  const seed = Uint8Array.from({ length: 32 }, (_, index) => index);

  // RFC 9881 appendix C.1 has this seed; the public keys' digests are those of OpenSSL 3.5.
  test.each([
    [44, "R", "837832708c5236d951581f1fddf2b79991b3424a0486d16da1ddad0fd69701be"],
    [65, "S", "b8b62131bfbe84433efb2273d7f5b87f7a22854a2cfd366fc2aead86d837c52d"],
    [87, "T", "07e57c4f14dbad1267f621ec3777b4e2e6c4fbc4c22fbb87510ff8e0b3c6a642"],
  ] as const)("the example of RFC 9881 for ML-DSA-%i", (parameters, arc, digest) => {
    const material = mlDsaMaterial(parameters, seed);
    expect(Buffer.from(material).toString("base64")).toBe(
      `MDQCAQAwCwYJYIZIAWUDBAM${arc}BCKAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f`,
    );
    expect(
      createHash("sha256")
        .update(publicKeyOf(`ML_DSA_${parameters}`, material))
        .digest("hex"),
    ).toBe(digest);
    expect(readMlDsaSeed(material, parameters)).toEqual(seed);
  });

  test("a new key is another each time, and 54 bytes of PKCS#8", async () => {
    const [one, other] = await Promise.all([generateKeyMaterial("ML_DSA_44"), generateKeyMaterial("ML_DSA_44")]);
    expect(one).toHaveLength(54);
    expect(one).not.toEqual(other);
  });
});

describe("what is kept of parsed material", () => {
  test("one parse for the same bytes, at another place or not", () => {
    let parses = 0;
    const cache = new MaterialCache((material) => ({ parses: ++parses, length: material.length }));
    expect(cache.get(Uint8Array.of(1, 2))).toBe(cache.get(Uint8Array.of(1, 2)));
    cache.get(Uint8Array.of(1, 3));
    expect(parses).toBe(2);
  });

  test("the one used longest ago makes room", () => {
    const parsed: number[] = [];
    const cache = new MaterialCache(([first = 0]) => parsed.push(first), 2);
    for (const first of [1, 2, 1, 3, 1, 2]) cache.get(Uint8Array.of(first));
    expect(parsed).toEqual([1, 2, 3, 2]);
    expect(cache.size).toBe(2);
  });

  test("a refusal is not kept", () => {
    const cache = new MaterialCache(() => {
      throw new RangeError("no");
    });
    expect(() => cache.get(Uint8Array.of(1))).toThrow(RangeError);
    expect(cache.size).toBe(0);
  });

  test("OpenSSL's keys are", async () => {
    const material = await generateKeyMaterial("ECC_NIST_P256");
    expect(keyObjects(material)).toBe(keyObjects(material.slice()));
  });
});
