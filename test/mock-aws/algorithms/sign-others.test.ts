import { createHash } from "node:crypto";
import { ed25519, ed25519ph } from "@noble/curves/ed25519.js";
import { beforeAll, describe, expect, test } from "vitest";
import { isEcdsaSignature } from "../../../mock/aws/kms/algorithms/ecdsa-digest.ts";
import { generateKeyMaterial, publicKeyOf, sign, verify } from "../../../mock/aws/kms/algorithms/index.ts";
import { fromHex, utf8 } from "../../../shared/bytes.ts";
import { hasVectors, vector } from "../../vectors.ts";
import { openssl } from "./openssl.ts";

const MESSAGE = utf8("attack at dawn");

describe("ML-DSA", () => {
  test.each([44, 65, 87] as const)("the representative of a message stands for it (ML-DSA-%i)", async (parameters) => {
    const spec = `ML_DSA_${parameters}` as const;
    const material = await generateKeyMaterial(spec);
    const publicKey = publicKeyOf(spec, material).subarray(22);
    const shake = (...parts: readonly Uint8Array[]): Uint8Array => {
      const hash = createHash("shake256", { outputLength: 64 });
      for (const part of parts) hash.update(part);
      return new Uint8Array(hash.digest());
    };
    // FIPS 204 §6.2: tr, then the message with the empty context's two zero bytes before it.
    const mu = shake(shake(publicKey), Uint8Array.of(0, 0), MESSAGE);
    const raw = { spec, material, algorithm: "ML_DSA_SHAKE_256", messageType: "RAW", message: MESSAGE } as const;
    const external = { ...raw, messageType: "EXTERNAL_MU", message: mu } as const;
    verify({ ...raw, signature: sign(external) });
    verify({ ...external, signature: sign(raw) });
    expect(sign(raw)).not.toEqual(sign(raw));
  });
});

describe("ECDSA over digests that others signed (skipped without CLOISTER_VECTORS)", () => {
  interface Group {
    readonly publicKey: { readonly uncompressed: string };
    readonly tests: readonly { tcId: number; comment: string; msg: string; sig: string; result: string }[];
  }
  const file = "conformance/wycheproof/ecdsa_secp384r1_sha384_test.json";

  test.skipIf(!hasVectors)("Wycheproof's P-384 signatures, good and bad", () => {
    const { testGroups } = JSON.parse(new TextDecoder().decode(vector(file))) as { testGroups: readonly Group[] };
    const wrong: string[] = [];
    let count = 0;
    for (const { publicKey, tests } of testGroups)
      for (const { tcId, msg, sig, result } of tests) {
        const digest = new Uint8Array(createHash("sha384").update(fromHex(msg)).digest());
        const point = fromHex(publicKey.uncompressed);
        const accepted = isEcdsaSignature("ECC_NIST_P384", { point, digest, signature: fromHex(sig) });
        if (accepted !== (result === "valid")) wrong.push(`${tcId} ${result}`);
        count++;
      }
    expect(wrong).toEqual([]);
    expect(count).toBe(504);
  });
});

describe("Ed25519 with and without the prehash", () => {
  const spec = "ECC_NIST_EDWARDS25519";
  let material: Uint8Array;
  beforeAll(async () => {
    material = await generateKeyMaterial(spec);
  });

  test("the library has RFC 8032 §7.3's example", () => {
    const secret = fromHex("833fe62409237b9d62ec77587520911e9a759cec1d19755b7da901b96dca3d42");
    const expected =
      "98a70222f0b8121aa9d30f813d683f809e462b469c7ff87639499bb94e6dae41" +
      "31f85042463c2a355a2003d062adf5aaa10b8c61e636062aaad11c2a26083406";
    expect(Buffer.from(ed25519ph.sign(utf8("abc"), secret)).toString("hex")).toBe(expected);
  });

  test("the digest that comes is hashed once more, under Ed25519ph's own prefix", () => {
    const digest = new Uint8Array(createHash("sha512").update(MESSAGE).digest());
    const publicKey = publicKeyOf(spec, material).slice(-32);
    const signature = sign({ spec, material, algorithm: "ED25519_PH_SHA_512", messageType: "DIGEST", message: digest });
    expect(ed25519ph.verify(signature, digest, publicKey)).toBe(true);
    expect(ed25519ph.verify(signature, MESSAGE, publicKey)).toBe(false);
    expect(ed25519.verify(signature, digest, publicKey)).toBe(false);
  });

  test("OpenSSL verifies the one without", () => {
    const signature = sign({ spec, material, algorithm: "ED25519_SHA_512", messageType: "RAW", message: MESSAGE });
    const files = { key: publicKeyOf(spec, material), message: MESSAGE, signature };
    const command = "pkeyutl -verify -pubin -inkey key -keyform DER -rawin -in message -sigfile signature";
    expect(new TextDecoder().decode(openssl(command, files))).toContain("Verified Successfully");
  });
});
