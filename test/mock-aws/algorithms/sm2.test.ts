import { sm2 } from "sm-crypto-v2";
import { beforeAll, describe, expect, test } from "vitest";
import { readScalar } from "../../../mock/aws/kms/algorithms/der.ts";
import {
  checkImported,
  decryptAsymmetric,
  deriveSharedSecret,
  encryptAsymmetric,
  generateKeyMaterial,
  publicKeyOf,
  sign,
  verify,
} from "../../../mock/aws/kms/algorithms/index.ts";
import { isSm2Signature, sm2Decrypt, sm2Digest } from "../../../mock/aws/kms/algorithms/sm2.ts";
import { element, TAG } from "../../../mock/aws/kms/ber.ts";
import { concat, fromHex, toHex, utf8 } from "../../../shared/bytes.ts";
import { openssl, verdict } from "./openssl.ts";

const DISTINGUISHING_ID = "-sigopt distid:1234567812345678";
const MESSAGE = utf8("message digest");
const spec = "SM2";
let material: Uint8Array;

beforeAll(async () => {
  material = await generateKeyMaterial(spec);
});

/** The examples of GB/T 32918.5-2017, annexes A and C. */
const example = {
  scalar: fromHex("3945208f7b2144b13f36e38ac6d39f95889393692860b51a42fb81ef4df7c5b8"),
  point: fromHex(
    "0409f9df311e5421a150dd7d161e4bc5c672179fad1833fc076bb08ff356f35020" +
      "ccea490ce26775a52dc6ea718cc1aa600aed05fbf35e084a6632f6072da9ad13",
  ),
};
const digest = fromHex("f0b43e94ba45accaace692ed534382eb17e6ab5a19ce7b31f4486fdfc0d28640");
const r = "f5a03b0648d2c4630eeac513e1bb81a15944da3827d5b74143ac7eaceee720b3";
const s = "b1b6aa29df212fd8763182bc0d421ca1bb9038fd1f7f42d4840b69c485bbc1aa";
const ORDER = "fffffffeffffffffffffffffffffffff7203df6b21c6052b53bbf40939d54123";
const x = "04ebfc718e8d1798620432268e77feb6415e2ede0e073c0f4f640ecd2e149a73";
const y = "e858f9d81e5430a57b36daab8f950a3c64e6ee6a63094d99283aff767e124df0";
const hash = "59983c18f809e262923c53aec295d30383b54e39d609d160afcb1908d0bd8766";
const cipher = "21886ca989ca9c7d58087307ca93092d651efa";

function integer(hex: string): Uint8Array {
  return element(TAG.integer, fromHex(/^[89a-f]/.test(hex) ? `00${hex}` : hex));
}

function ciphertextOf(...[first, second, third, fourth]: readonly [string, string, string, string]): Uint8Array {
  const octets = [third, fourth].map((hex) => element(TAG.octetString, fromHex(hex)));
  return element(TAG.sequence, integer(first), integer(second), ...octets);
}

describe("the standard's examples", () => {
  test("the digest has Z of the distinguishing ID before the message", () => {
    expect(toHex(sm2Digest(example.point, MESSAGE))).toBe(toHex(digest));
  });

  test("the signature is valid, and not with numbers out of range", () => {
    const valid = (first: string, second: string): boolean =>
      isSm2Signature(example, { digest, signature: element(TAG.sequence, integer(first), integer(second)) });
    expect(valid(r, s)).toBe(true);
    for (const outside of ["00", ORDER, "01".padStart(66, "0"), `01${"00".repeat(32)}`]) {
      expect(valid(outside, s)).toBe(false);
      expect(valid(r, outside)).toBe(false);
    }
    expect(valid(s, r)).toBe(false);
  });

  test("the ciphertext opens", () => {
    const opened = sm2Decrypt(example, ciphertextOf(x, y, hash, cipher));
    expect(new TextDecoder().decode(opened)).toBe("encryption standard");
  });

  test("a point off the curve is refused before it is used", () => {
    const off = `${y.slice(0, -1)}1`;
    expect(() => sm2Decrypt(example, ciphertextOf(x, off, hash, cipher))).toThrow();
    expect(() => sm2Decrypt(example, ciphertextOf(x, y, hash.slice(2), cipher))).toThrow();
    expect(() => sm2Decrypt(example, ciphertextOf(x, y, hash, ""))).toThrow();
    expect(() => sm2Decrypt(example, concat(ciphertextOf(x, y, hash, cipher), Uint8Array.of(0)))).toThrow();
  });
});

describe("SM2 and OpenSSL", () => {
  test("each verifies the other's signature, under KMS's distinguishing ID", () => {
    const raw = { spec, material, algorithm: "SM2DSA", messageType: "RAW", message: MESSAGE } as const;
    const signature = sign(raw);
    const files = { key: publicKeyOf(spec, material), message: MESSAGE, signature };
    const check = `dgst -sm3 -verify key -keyform DER ${DISTINGUISHING_ID} -signature signature message`;
    expect(new TextDecoder().decode(openssl(check, files))).toContain("Verified OK");
    const make = `dgst -sm3 -sign key -keyform DER ${DISTINGUISHING_ID} -out out message`;
    verify({ ...raw, signature: openssl(make, { key: material, message: MESSAGE }) });
    const ofAnotherId = openssl(make.replace("1234567812345678", "somebody"), { key: material, message: MESSAGE });
    expect(verdict(() => verify({ ...raw, signature: ofAnotherId }))).toBe("KMSInvalidSignatureException");
  });

  test("RAW and DIGEST stand for each other", () => {
    const message = sm2Digest(publicKeyOf(spec, material).slice(-65), MESSAGE);
    const asDigest = { spec, material, algorithm: "SM2DSA", messageType: "DIGEST", message } as const;
    verify({ ...asDigest, messageType: "RAW", message: MESSAGE, signature: sign(asDigest) });
  });

  test("each opens the other's ciphertext", () => {
    for (let i = 0; i < 8; i++) {
      const plaintext = utf8("x".repeat(i + 1));
      const request = { spec, material, algorithm: "SM2PKE" } as const;
      const ciphertext = encryptAsymmetric({ ...request, plaintext });
      expect(decryptAsymmetric({ ...request, ciphertext })).toEqual(plaintext);
      if (i < 6) continue; // two of them by the command line are enough
      const opened = openssl("pkeyutl -decrypt -inkey key -keyform DER -in data", { key: material, data: ciphertext });
      expect(opened).toEqual(plaintext);
      const files = { key: publicKeyOf(spec, material), data: plaintext };
      const theirs = openssl("pkeyutl -encrypt -pubin -inkey key -keyform DER -in data", files);
      expect(decryptAsymmetric({ ...request, ciphertext: theirs })).toEqual(plaintext);
    }
  });

  test("1,024 bytes fit, one more is refused; what was changed does not open", () => {
    const request = { spec, material, algorithm: "SM2PKE" } as const;
    const ciphertext = encryptAsymmetric({ ...request, plaintext: new Uint8Array(1024) });
    expect(decryptAsymmetric({ ...request, ciphertext })).toHaveLength(1024);
    expect(() => encryptAsymmetric({ ...request, plaintext: new Uint8Array(1025) })).toThrow(
      "Algorithm SM2PKE and key spec SM2 cannot encrypt data larger than 1024 bytes.",
    );
    for (const at of [0, 8, 60, 90, ciphertext.length - 1]) {
      const bad = ciphertext.map((byte, index) => (index === at ? byte ^ 1 : byte));
      expect(verdict(() => decryptAsymmetric({ ...request, ciphertext: bad }))).toBe("InvalidCiphertextException");
    }
  });

  test("two keys agree, and a P-256 key is not on the curve", async () => {
    const peer = await generateKeyMaterial(spec);
    const ours = deriveSharedSecret({ spec, material, publicKey: publicKeyOf(spec, peer) });
    expect(ours).toEqual(deriveSharedSecret({ spec, material: peer, publicKey: publicKeyOf(spec, material) }));
    expect(ours).toHaveLength(32);
    const scalars = [material, peer].map((key) => BigInt(`0x${toHex(readScalar(key))}`));
    const product = ((scalars[0] ?? 0n) * (scalars[1] ?? 0n)) % BigInt(`0x${ORDER}`);
    // d1 · d2 · G, computed as a public key.
    const point = sm2.getPublicKeyFromPrivateKey(product.toString(16).padStart(64, "0"));
    expect(toHex(ours)).toBe(point.slice(2, 66));
    const foreign = publicKeyOf("ECC_NIST_P256", await generateKeyMaterial("ECC_NIST_P256"));
    expect(verdict(() => deriveSharedSecret({ spec, material, publicKey: foreign }))).toBe("ValidationException");
  });

  test("a key of the curve is imported as it is, one of another is not", async () => {
    expect(checkImported(spec, material)).toEqual(material);
    const other = await generateKeyMaterial("ECC_NIST_P256");
    expect(verdict(() => checkImported(spec, other))).toBe("IncorrectKeyMaterialException");
    expect(verdict(() => checkImported("ECC_NIST_P256", material))).toBe("IncorrectKeyMaterialException");
  });
});
