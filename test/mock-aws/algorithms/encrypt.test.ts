import { beforeAll, describe, expect, test } from "vitest";
import {
  checkImported,
  decryptAsymmetric,
  encryptAsymmetric,
  generateKeyMaterial,
  type KeySpec,
  publicKeyOf,
} from "../../../mock/aws/kms/algorithms/index.ts";
import { fromHex, toHex, utf8 } from "../../../shared/bytes.ts";
import { hasVectors, vector } from "../../vectors.ts";
import { openssl, verdict } from "./openssl.ts";

const RSA = ["RSA_2048", "RSA_3072", "RSA_4096"] as const;
const keys = new Map<KeySpec, Uint8Array>();

beforeAll(async () => {
  await Promise.all(RSA.map(async (spec) => keys.set(spec, await generateKeyMaterial(spec))));
}, 60_000);

function keyOf(spec: KeySpec): Uint8Array {
  return keys.get(spec) ?? new Uint8Array();
}

function changed(bytes: Uint8Array): readonly Uint8Array[] {
  return [
    bytes.map((byte, index) => (index === bytes.length - 1 ? byte ^ 1 : byte)),
    bytes.subarray(1),
    bytes.subarray(0, -1),
    Uint8Array.of(...bytes, 0),
    Uint8Array.of(0, ...bytes),
    new Uint8Array(bytes.length),
    new Uint8Array(bytes.length).fill(0xff),
    Uint8Array.of(1),
  ];
}

describe.each([
  ["RSA_2048", "RSAES_OAEP_SHA_1", 214],
  ["RSA_2048", "RSAES_OAEP_SHA_256", 190],
  ["RSA_3072", "RSAES_OAEP_SHA_1", 342],
  ["RSA_3072", "RSAES_OAEP_SHA_256", 318],
  ["RSA_4096", "RSAES_OAEP_SHA_1", 470],
  ["RSA_4096", "RSAES_OAEP_SHA_256", 446],
] as const)("%s %s", (spec, algorithm, max) => {
  test(`${max} bytes fit, one more is refused in AWS's words`, () => {
    const request = { spec, algorithm, material: keyOf(spec) };
    const plaintext = new Uint8Array(max).fill(9);
    const ciphertext = encryptAsymmetric({ ...request, plaintext });
    expect(decryptAsymmetric({ ...request, ciphertext })).toEqual(plaintext);
    const tooLarge = { ...request, plaintext: new Uint8Array(max + 1) };
    expect(verdict(() => encryptAsymmetric(tooLarge))).toBe("ValidationException");
    expect(() => encryptAsymmetric(tooLarge)).toThrow(
      `Algorithm ${algorithm} and key spec ${spec} cannot encrypt data larger than ${max} bytes.`,
    );
  });
});

describe.each(["RSAES_OAEP_SHA_1", "RSAES_OAEP_SHA_256"] as const)("%s", (algorithm) => {
  const spec = "RSA_2048";
  const hash = algorithm === "RSAES_OAEP_SHA_1" ? "sha1" : "sha256";
  const options = `-pkeyopt rsa_padding_mode:oaep -pkeyopt rsa_oaep_md:${hash} -pkeyopt rsa_mgf1_md:${hash}`;

  test("OpenSSL opens ours, and we open OpenSSL's", () => {
    const material = keyOf(spec);
    const plaintext = utf8("the same");
    const ours = encryptAsymmetric({ spec, material, algorithm, plaintext });
    const opened = openssl(`pkeyutl -decrypt -inkey key -keyform DER ${options} -in data`, {
      key: material,
      data: ours,
    });
    expect(opened).toEqual(plaintext);
    const files = { key: publicKeyOf(spec, material), data: plaintext };
    const theirs = openssl(`pkeyutl -encrypt -pubin -inkey key -keyform DER ${options} -in data`, files);
    expect(decryptAsymmetric({ spec, material, algorithm, ciphertext: theirs })).toEqual(plaintext);
  });

  test("what was changed does not open, and says nothing", () => {
    const request = { spec, algorithm, material: keyOf(spec) } as const;
    const ciphertext = encryptAsymmetric({ ...request, plaintext: utf8("secret") });
    for (const bad of changed(ciphertext)) {
      expect(verdict(() => decryptAsymmetric({ ...request, ciphertext: bad }))).toBe("InvalidCiphertextException");
      expect(() => decryptAsymmetric({ ...request, ciphertext: bad })).toThrow(/^$/);
    }
    const other = algorithm === "RSAES_OAEP_SHA_1" ? "RSAES_OAEP_SHA_256" : "RSAES_OAEP_SHA_1";
    const mixed = { ...request, algorithm: other, ciphertext } as const;
    expect(verdict(() => decryptAsymmetric(mixed))).toBe("InvalidCiphertextException");
  });

  test("a ciphertext without its leading zero is another length, so not the ciphertext", () => {
    const request = { spec, algorithm, material: keyOf(spec) } as const;
    let ciphertext = encryptAsymmetric({ ...request, plaintext: utf8("x") });
    while (ciphertext[0] !== 0) ciphertext = encryptAsymmetric({ ...request, plaintext: utf8("x") });
    expect(decryptAsymmetric({ ...request, ciphertext })).toEqual(utf8("x"));
    const shorter = { ...request, ciphertext: ciphertext.subarray(1) };
    expect(verdict(() => decryptAsymmetric(shorter))).toBe("InvalidCiphertextException");
  });

  test.skipIf(!hasVectors)("Wycheproof's ciphertexts, good and bad (skipped without CLOISTER_VECTORS)", () => {
    const file = `conformance/wycheproof/rsa_oaep_2048_${hash}_mgf1${hash}_test.json`;
    const { testGroups } = JSON.parse(new TextDecoder().decode(vector(file))) as {
      testGroups: readonly {
        privateKeyPkcs8: string;
        tests: readonly { tcId: number; msg: string; ct: string; label: string; result: string }[];
      }[];
    };
    const wrong: number[] = [];
    let accepted = 0;
    for (const { privateKeyPkcs8, tests } of testGroups) {
      const material = checkImported(spec, fromHex(privateKeyPkcs8));
      for (const { tcId, msg, ct, label, result } of tests) {
        const ciphertext = fromHex(ct);
        let opened: string | undefined;
        const said = verdict(() => {
          opened = toHex(decryptAsymmetric({ spec, material, algorithm, ciphertext }));
        });
        // KMS has no labels.
        const expected = result !== "invalid" && label === "" ? "accepted" : "InvalidCiphertextException";
        if (said !== expected || (said === "accepted" && opened !== msg)) wrong.push(tcId);
        if (said === "accepted") accepted++;
      }
    }
    expect(wrong).toEqual([]);
    expect(accepted).toBe(10);
  });
});

test("algorithms of other specs are refused", () => {
  const request = { spec: "RSA_2048", material: keyOf("RSA_2048") } as const;
  for (const algorithm of ["SYMMETRIC_DEFAULT", "SM2PKE"] as const) {
    const ask = { ...request, algorithm, plaintext: utf8("x") };
    expect(verdict(() => encryptAsymmetric(ask))).toBe("InvalidKeyUsageException");
    expect(() => encryptAsymmetric(ask)).toThrow(`Algorithm ${algorithm} is incompatible with key spec RSA_2048.`);
    const open = { ...request, algorithm, ciphertext: utf8("x") };
    expect(verdict(() => decryptAsymmetric(open))).toBe("InvalidKeyUsageException");
  }
});

test("material that is no key is our mistake, not a bad ciphertext", () => {
  const request = { spec: "RSA_2048", algorithm: "RSAES_OAEP_SHA_256", material: utf8("no key") } as const;
  expect(() => verdict(() => decryptAsymmetric({ ...request, ciphertext: new Uint8Array(256) }))).toThrow();
});
