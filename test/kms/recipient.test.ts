import { createHash, createPrivateKey, createPublicKey } from "node:crypto";
import { describe, expect, test } from "vitest";
import { openRecipientMessage, type RecipientKey } from "../../enclave/kms/recipient.ts";
import { fromHex, toHex } from "../../shared/bytes.ts";
import { readEnvelopedData } from "../../shared/cms/enveloped-data.ts";
import { isEncodingError, isKmsError } from "../../shared/errors/index.ts";
import { hasVectors, vector, vectorIndex } from "../vectors.ts";

const all = vectorIndex().kms_cms;
const withKeys = all.filter((entry) => entry.decrypts && entry.key_file && entry.plaintext_hex);

function keyOf(file: string): RecipientKey {
  const privateKey = createPrivateKey(Buffer.from(vector(file)));
  const publicKey = new Uint8Array(createPublicKey(privateKey).export({ type: "spki", format: "der" }));
  return { privateKey, publicKey };
}

function verdict(open: () => unknown): string {
  try {
    open();
    return "opened";
  } catch (error) {
    if (isKmsError(error) || isEncodingError(error)) return error.code;
    throw error;
  }
}

describe.skipIf(!hasVectors)("genuine KMS answers (needs the reference vectors)", () => {
  test("there are ten, three at least with keys", () => {
    expect(all.length).toBe(10);
    expect(withKeys.length).toBeGreaterThanOrEqual(3);
  });

  test.each(withKeys)("$id opens with its key", ({ file, key_file = "", plaintext_hex = "" }) => {
    expect(toHex(openRecipientMessage(vector(file), keyOf(key_file)))).toBe(plaintext_hex);
  });

  test("M24: a message for another key is refused with the one code", () => {
    const [first, second] = withKeys;
    const other = keyOf(second?.key_file ?? "");
    expect(verdict(() => openRecipientMessage(vector(first?.file ?? ""), other))).toBe("ERR_KMS_RECIPIENT_UNOPENABLE");
  });

  test("a recipient id of another key is refused although the key would open the message", () => {
    const { file, key_file = "" } = withKeys[0] ?? { file: "" };
    const key = keyOf(key_file);
    const message = vector(file);
    const ski = createHash("sha256").update(key.publicKey).digest();
    const at = Buffer.from(message).indexOf(ski);
    expect(at).toBeGreaterThan(0);
    const changed = Uint8Array.from(message);
    changed[at] = (changed[at] ?? 0) ^ 1;
    expect(verdict(() => openRecipientMessage(message, key))).toBe("opened");
    expect(verdict(() => openRecipientMessage(changed, key))).toBe("ERR_KMS_RECIPIENT_UNOPENABLE");
  });

  test("M20: every proper prefix, and every message with a byte behind it, is refused", () => {
    const message = vector(withKeys[0]?.file ?? "");
    for (let end = 0; end < message.length; end++) {
      expect(verdict(() => readEnvelopedData(message.subarray(0, end)))).toBe("ERR_ASN1_MALFORMED");
    }
    expect(verdict(() => readEnvelopedData(Uint8Array.from([...message, 0])))).toBe("ERR_ASN1_MALFORMED");
  });

  test("M02, M06, M08, M12, M13: one byte of the structure changed is refused", () => {
    const message = toHex(vector(withKeys[0]?.file ?? ""));
    const edits: Readonly<Record<string, readonly [string, string]>> = {
      "M01 contentType signedData": ["06092a864886f70d010703", "06092a864886f70d010702"],
      "M02 version 3": ["30800201023182", "30800201033182"],
      "M06 recipient version 0": ["3082016702010280", "3082016702010080"],
      "M07 rsaEncryption": ["303c06092a864886f70d010107", "303c06092a864886f70d010101"],
      "M08 OAEP hash SHA-384": ["a00f300d0609608648016503040201", "a00f300d0609608648016503040202"],
      "M08 MGF1 hash SHA-512": ["300d06096086480165030402010500048201", "300d06096086480165030402030500048201"],
      "M12 aes128-CBC": ["060960864801650304012a0410", "06096086480165030401020410"],
    };
    for (const [name, [from, to]] of Object.entries(edits)) {
      expect(message.split(from).length, name).toBe(2);
      expect(
        verdict(() => readEnvelopedData(fromHex(message.replace(from, to)))),
        name,
      ).toBe("ERR_ASN1_MALFORMED");
    }
  });
});

describe("hostile BER", () => {
  test.each([
    ["M23 10 000 nested indefinite sequences", Uint8Array.from({ length: 20_000 }, (_, i) => (i % 2 ? 0x80 : 0x30))],
    ["M14 10 000 one-byte segments", Uint8Array.from([0x30, 0x80, ...Array(10_000).fill([4, 1, 0]).flat(), 0, 0])],
    ["M22 a length of 2^32 - 1", Uint8Array.of(0x30, 0x84, 0xff, 0xff, 0xff, 0xff)],
    ["M22 a length of five bytes", Uint8Array.of(0x30, 0x85, 1, 0, 0, 0, 0)],
    ["M22 an indefinite primitive", Uint8Array.of(0x04, 0x80, 0, 0)],
    ["M22 the reserved length ff", Uint8Array.of(0x30, 0xff)],
    ["M14 more than 64 KiB", new Uint8Array(65_537)],
    ["empty", new Uint8Array(0)],
  ])("%s is refused", (_, message) => {
    expect(verdict(() => readEnvelopedData(message))).toBe("ERR_ASN1_MALFORMED");
  });
});
