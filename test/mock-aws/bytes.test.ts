/** The bytes the emulator makes: recipient messages beside KMS's own, and ciphertexts bit by bit. */
import { createPrivateKey, createPublicKey, randomBytes } from "node:crypto";
import { describe, expect, test } from "vitest";
import { objectIdentifier, smallInteger } from "../../mock/aws/kms/ber.ts";
import { decryptBlob, encryptBlob, readMaterialIdentifier, serializeContext } from "../../mock/aws/kms/ciphertext.ts";
import { sealForRecipient } from "../../mock/aws/kms/recipient-message.ts";
import { fromHex, toHex, utf8 } from "../../shared/bytes.ts";
import { hasVectors, vector, vectorIndex } from "../vectors.ts";
import { rsaPair } from "./testbed.ts";

describe("recipient messages", () => {
  const genuine = vectorIndex().kms_cms.filter(({ decrypts, genuine_kms: isKms }) => isKms && decrypts === true);

  test.skipIf(!hasVectors)("there are genuine ones with keys (skipped without CLOISTER_VECTORS)", () => {
    expect(genuine.length).toBeGreaterThanOrEqual(3);
  });

  test.each(genuine)("$id: ours for the same key and plaintext differs in the random parts only", (entry) => {
    const real = vector(entry.file);
    const key = createPrivateKey(Buffer.from(vector(entry.key_file ?? expect.unreachable())));
    const spki = createPublicKey(key).export({ format: "der", type: "spki" });
    const ours = sealForRecipient(fromHex(entry.plaintext_hex ?? expect.unreachable()), {
      encryptTo: spki,
      nameAs: spki,
    });
    expect(ours.length).toBe(real.length);
    expect(toHex(masked(ours))).toBe(toHex(masked(real)));
  });

  /** Without encrypted key, IV and content; the subjectKeyIdentifier stays. */
  function masked(message: Uint8Array): Uint8Array {
    const contentAt = message[434] === 0x81 ? 436 : 435;
    return Uint8Array.from(message)
      .fill(0, 131, 387)
      .fill(0, 415, 431)
      .fill(0, contentAt, message.length - 10);
  }

  test("two messages share no random part", () => {
    const { spki } = rsaPair();
    const [a, b] = [0, 1].map(() => sealForRecipient(utf8("x"), { encryptTo: spki, nameAs: spki }));
    for (const [from, to] of [
      [131, 387],
      [415, 431],
      [435, 451],
    ] as const)
      expect(toHex(a?.subarray(from, to) ?? utf8(""))).not.toBe(toHex(b?.subarray(from, to) ?? utf8("")));
  });

  test("the writer writes what X.690 says", () => {
    expect(toHex(objectIdentifier("1.2.840.113549"))).toBe("06062a864886f70d");
    expect(() => smallInteger(128)).toThrow(RangeError);
    expect(() => smallInteger(-1)).toThrow(RangeError);
  });
});

describe("ciphertexts", () => {
  const key = { material: randomBytes(32), identifier: randomBytes(32) };
  const context = { b: "2", a: "1" };

  test.each([1, 2, 16, 20, 36, 37, 38, 100, 101, 128, 163, 164, 165, 255, 256, 1024, 4096])(
    "%i bytes come back",
    (size) => {
      const plaintext = Uint8Array.from(randomBytes(size));
      const blob = encryptBlob(key, plaintext, context);
      expect(readMaterialIdentifier(blob)).toEqual(Uint8Array.from(key.identifier));
      expect(decryptBlob(key, blob, { a: "1", b: "2" })).toEqual(plaintext);
    },
  );

  test("K32 no bit can be turned, no byte cut or added", () => {
    const blob = encryptBlob(key, utf8("plain"), context);
    const open = (changed: Uint8Array): unknown => {
      const identifier = readMaterialIdentifier(changed);
      return identifier && toHex(identifier) === toHex(key.identifier) ? decryptBlob(key, changed, context) : undefined;
    };
    expect(open(blob)).toEqual(utf8("plain"));
    for (let bit = 0; bit < blob.length * 8; bit++) {
      const changed = Uint8Array.from(blob);
      changed[bit >> 3] = (changed[bit >> 3] ?? 0) ^ (1 << (bit & 7));
      expect(open(changed), `bit ${bit}`).toBeUndefined();
    }
    for (let length = 0; length < blob.length; length++) expect(open(blob.subarray(0, length))).toBeUndefined();
    expect(open(Uint8Array.of(...blob, 0))).toBeUndefined();
  });

  test("another material opens nothing", () => {
    const blob = encryptBlob(key, utf8("plain"), context);
    expect(decryptBlob({ ...key, material: randomBytes(32) }, blob, context)).toBeUndefined();
  });

  test("two contexts never serialize alike", () => {
    const texts = [{}, { a: "" }, { "": "a" }, { a: "b", c: "d" }, { a: "bc", d: "" }, { ab: "c", d: "" }];
    expect(new Set(texts.map((pairs) => toHex(serializeContext(pairs)))).size).toBe(texts.length);
    // Sorted by bytes: U+FF5E sorts before U+1F600, whose UTF-16 form begins lower.
    const [first] = [serializeContext({ "\u{1f600}": "", "\uff5e": "" })];
    expect(toHex(first ?? utf8("")).startsWith("00000003efbd9e")).toBe(true);
  });
});
