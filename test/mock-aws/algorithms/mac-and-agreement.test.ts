import { createHmac } from "node:crypto";
import { beforeAll, describe, expect, test } from "vitest";
import { writePrivateKeyInfo } from "../../../mock/aws/kms/algorithms/der.ts";
import {
  deriveSharedSecret,
  generateKeyMaterial,
  generateMac,
  KEY_SPECS,
  publicKeyOf,
  verifyMac,
} from "../../../mock/aws/kms/algorithms/index.ts";
import { element, objectIdentifier, smallInteger, TAG } from "../../../mock/aws/kms/ber.ts";
import { fromHex, toHex, utf8 } from "../../../shared/bytes.ts";
import { hasVectors, vector } from "../../vectors.ts";
import { openssl, verdict } from "./openssl.ts";

describe.each([224, 256, 384, 512] as const)("HMAC_%i", (bits) => {
  const request = {
    spec: `HMAC_${bits}`,
    algorithm: `HMAC_SHA_${bits}`,
    material: new Uint8Array(bits / 8).fill(3),
    message: utf8("some important message"),
  } as const;

  test("is OpenSSL's HMAC in full length", () => {
    const mac = generateMac(request);
    const command = `dgst -sha${bits} -mac HMAC -macopt hexkey:${toHex(request.material)} -binary message`;
    expect(mac).toEqual(openssl(command, { message: request.message }));
    expect(toHex(mac)).toBe(createHmac(`sha${bits}`, request.material).update(request.message).digest("hex"));
    expect(mac).toHaveLength(bits / 8);
    verifyMac({ ...request, mac });
  });

  test("what was changed or cut is not the MAC", () => {
    const mac = generateMac(request);
    for (const bad of [
      mac.map((byte, index) => (index === 0 ? byte ^ 1 : byte)),
      mac.subarray(1),
      mac.subarray(0, -1),
      Uint8Array.of(...mac, 0),
      new Uint8Array(),
    ])
      expect(verdict(() => verifyMac({ ...request, mac: bad }))).toBe("KMSInvalidMacException");
    expect(verdict(() => verifyMac({ ...request, mac, message: utf8("another") }))).toBe("KMSInvalidMacException");
  });

  test("another hash's algorithm is refused in AWS's words", () => {
    const algorithm = bits === 512 ? "HMAC_SHA_256" : "HMAC_SHA_512";
    expect(verdict(() => generateMac({ ...request, algorithm }))).toBe("InvalidKeyUsageException");
    expect(verdict(() => verifyMac({ ...request, algorithm, mac: utf8("x") }))).toBe("InvalidKeyUsageException");
    expect(() => generateMac({ ...request, algorithm })).toThrow(
      `Algorithm ${algorithm} is incompatible with key spec HMAC_${bits}.`,
    );
  });
});

const CURVES = ["ECC_NIST_P256", "ECC_NIST_P384", "ECC_NIST_P521"] as const;

describe.each(CURVES)("ECDH with %s", (spec) => {
  let material: Uint8Array;
  let peer: Uint8Array;
  beforeAll(async () => {
    material = await generateKeyMaterial(spec);
    peer = await generateKeyMaterial(spec);
  });

  test("both sides and OpenSSL get one secret", () => {
    const publicKey = publicKeyOf(spec, peer);
    const secret = deriveSharedSecret({ spec, material, publicKey });
    expect(secret).toEqual(deriveSharedSecret({ spec, material: peer, publicKey: publicKeyOf(spec, material) }));
    const command = "pkeyutl -derive -inkey key -keyform DER -peerkey peer -peerform DER";
    expect(secret).toEqual(openssl(command, { key: material, peer: publicKey }));
    expect(secret).toHaveLength({ ECC_NIST_P256: 32, ECC_NIST_P384: 48, ECC_NIST_P521: 66 }[spec]);
  });

  test("a public key that is none, or of another curve, is refused without a text", async () => {
    const publicKey = publicKeyOf(spec, peer);
    const others = await Promise.all(
      (["ECC_SECG_P256K1", "SM2", "ECC_NIST_EDWARDS25519", "RSA_2048"] as const)
        .concat(...CURVES.filter((curve) => curve !== spec).map((curve) => [curve] as never[]))
        .map(async (other) => publicKeyOf(other, await generateKeyMaterial(other))),
    );
    const offCurve = publicKey.map((byte, index) => (index === publicKey.length - 1 ? byte ^ 1 : byte));
    for (const bad of [
      ...others,
      offCurve,
      publicKey.subarray(0, -1),
      Uint8Array.of(...publicKey, 0),
      publicKey.subarray(-65),
      utf8("InvalidPublicKey"),
      new Uint8Array(),
      peer,
    ]) {
      expect(verdict(() => deriveSharedSecret({ spec, material, publicKey: bad }))).toBe("ValidationException");
      expect(() => deriveSharedSecret({ spec, material, publicKey: bad })).toThrow(/^$/);
    }
  });
});

test("keys that agree with nobody say so", async () => {
  const unfit = (["ECC_SECG_P256K1", "ECC_NIST_EDWARDS25519", "HMAC_256"] as const).filter(
    (spec) => KEY_SPECS[spec].keyAgreementAlgorithms.length === 0,
  );
  expect(unfit).toHaveLength(3);
  for (const spec of unfit) {
    const material = await generateKeyMaterial(spec);
    const request = { spec, material, publicKey: new Uint8Array() };
    expect(verdict(() => deriveSharedSecret(request))).toBe("InvalidKeyUsageException");
  }
});

test.skipIf(!hasVectors)("Wycheproof's P-384 key agreements (skipped without CLOISTER_VECTORS)", () => {
  const file = "conformance/wycheproof/ecdh_secp384r1_test.json";
  const { testGroups } = JSON.parse(new TextDecoder().decode(vector(file))) as {
    testGroups: readonly {
      tests: readonly { tcId: number; public: string; private: string; shared: string; result: string }[];
    }[];
  };
  const curve = [objectIdentifier("1.2.840.10045.2.1"), objectIdentifier("1.3.132.0.34")];
  const algorithm = element(TAG.sequence, ...curve);
  const wrong: string[] = [];
  let accepted = 0;
  for (const { tcId, public: spki, private: scalar, shared, result } of testGroups.flatMap(({ tests }) => tests)) {
    const digits = fromHex(scalar.padStart(96, "0").slice(-96));
    const key = element(TAG.sequence, smallInteger(1), element(TAG.octetString, digits));
    const material = writePrivateKeyInfo({ algorithm, key });
    const request = { spec: "ECC_NIST_P384", material, publicKey: fromHex(spki) } as const;
    let secret = "";
    const said = verdict(() => {
      secret = toHex(deriveSharedSecret(request));
    });
    const isRight = said === "accepted" ? result !== "invalid" && secret === shared : result !== "valid";
    if (!isRight) wrong.push(`${tcId} ${result} ${said}`);
    if (said === "accepted") accepted++;
  }
  expect(wrong).toEqual([]);
  expect(accepted).toBeGreaterThan(500);
});
