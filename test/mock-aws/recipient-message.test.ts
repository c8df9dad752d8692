/**
 * The messages that the emulator emits, byte by byte as KMS writes them, read by others than who wrote them: OpenSSL,
 * the rules of AWS's C SDK, and the enclave's opener. Genuine messages go through the same.
 */
import { createHash, createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { openRecipientMessage } from "../../enclave/kms/recipient.ts";
import { sealForRecipient } from "../../mock/aws/kms/recipient-message.ts";
import { toHex, utf8 } from "../../shared/bytes.ts";
import { hasVectors, vector, vectorIndex } from "../vectors.ts";
import { openssl } from "./algorithms/openssl.ts";
import { hasOpenssl, outline } from "./faults-outline.ts";

const { privateKey, publicKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
const spki = new Uint8Array(publicKey.export({ format: "der", type: "spki" }));
const sealed = (plaintext: Uint8Array): Buffer =>
  Buffer.from(sealForRecipient(plaintext, { encryptTo: spki, nameAs: spki }));

function openedByOpenssl(message: Uint8Array, key: KeyObject): Uint8Array {
  const pem = utf8(key.export({ type: "pkcs8", format: "pem" }).toString());
  return openssl("cms -decrypt -inform DER -in message -inkey key -out out", { message, key: pem });
}

/** Around 32 bytes of secret, what is random left out: KMS's own bytes. */
const HEAD = "308006092a864886f70d010703a080308002010231" + "82016b308201670201028020";
const OAEP =
  "303c06092a864886f70d010107302fa00f300d06096086480165030402010500" +
  "a11c301a06092a864886f70d010108300d0609608648016503040201050004820100";
const CONTENT = "308006092a864886f70d010701301d060960864801650304012a0410";

describe("what the emulator emits", () => {
  test("the bytes of KMS, but for what is random", () => {
    const message = sealed(new Uint8Array(32)).toString("hex");
    const random = { ski: 64, key: 512, iv: 32, ciphertext: 96 };
    const parts = [
      ...[HEAD, `[0-9a-f]{${random.ski}}`, OAEP, `[0-9a-f]{${random.key}}`, CONTENT, `[0-9a-f]{${random.iv}}`],
      ...["a0800430", `[0-9a-f]{${random.ciphertext}}`, "00000000000000000000"],
    ];
    expect(message).toMatch(new RegExp(`^${parts.join("")}$`));
    expect(message.slice(HEAD.length, HEAD.length + 64)).toBe(createHash("sha256").update(spki).digest("hex"));
  });

  test.each([
    [12, 461],
    [15, 461],
    [16, 477],
    [32, 493],
    [64, 525],
  ])("%i bytes of secret are a message of %i bytes, as KMS's are", (length, size) => {
    expect(sealed(new Uint8Array(length)).length).toBe(size);
  });

  test.skipIf(!hasOpenssl)("the C SDK's rules hold, as OpenSSL reads it (needs openssl)", () => {
    const lines = outline(sealed(new Uint8Array(32)));
    expect(lines).toEqual([
      ...["0 SEQUENCE open", "1 OBJECT pkcs7-envelopedData", "1 cont [ 0 ] open"],
      ...["2 SEQUENCE open", "3 INTEGER 02", "3 SET"],
      ...["4 SEQUENCE", "5 INTEGER 02", "5 cont [ 0 ] 32"],
      ...["5 SEQUENCE", "6 OBJECT rsaesOaep", "6 SEQUENCE"],
      ...["7 cont [ 0 ]", "8 SEQUENCE", "9 OBJECT sha256", "9 NULL 0"],
      ...["7 cont [ 1 ]", "8 SEQUENCE", "9 OBJECT mgf1", "9 SEQUENCE", "10 OBJECT sha256", "10 NULL 0"],
      ...["5 OCTET STRING 256", "3 SEQUENCE open", "4 OBJECT pkcs7-data"],
      ...["4 SEQUENCE", "5 OBJECT aes-256-cbc", "5 OCTET STRING 16", "4 cont [ 0 ] open", "5 OCTET STRING 48"],
      ...["5 EOC 0", "4 EOC 0", "3 EOC 0", "2 EOC 0", "1 EOC 0"],
    ]);
  });

  const lengths = [0, 1, 12, 15, 16, 17, 32, 127, 128, 160, 1_024, 4_096];
  test.each(lengths)("the enclave's opener opens %i bytes", (length) => {
    const secret = new Uint8Array(length).fill(7);
    expect(openRecipientMessage(sealed(secret), { privateKey, publicKey: spki })).toEqual(secret);
  });

  test.skipIf(!hasOpenssl).each(lengths)("openssl cms -decrypt opens %i bytes (needs openssl)", (length) => {
    const secret = new Uint8Array(length).fill(7);
    expect(openedByOpenssl(sealed(secret), privateKey)).toEqual(secret);
  });

  test("nothing of one message is in another", () => {
    const [first, second] = [sealed(new Uint8Array(32)), sealed(new Uint8Array(32))];
    const random = [
      [131, 387],
      [415, 431],
      [435, 483],
    ] as const;
    for (const [start, end] of random) expect(first.subarray(start, end)).not.toEqual(second.subarray(start, end));
  });
});

const genuine = vectorIndex().kms_cms.filter(({ key_file }) => key_file);

describe.skipIf(!hasVectors)("messages of KMS whose keys are known (needs the reference vectors)", () => {
  const keyOf = (file = ""): KeyObject => createPrivateKey(Buffer.from(vector(file)));

  test("there are four", () => {
    expect(genuine.length).toBe(4);
  });

  test.each(genuine)("$id opens with the enclave's opener", ({ file, key_file, plaintext_hex }) => {
    const key = keyOf(key_file);
    const own = new Uint8Array(createPublicKey(key).export({ format: "der", type: "spki" }));
    const opened = openRecipientMessage(vector(file), { privateKey: key, publicKey: own });
    expect(toHex(opened)).toBe(plaintext_hex);
  });

  test.skipIf(!hasOpenssl).each(genuine)(
    "$id opens with OpenSSL (needs openssl)",
    ({ file, key_file, plaintext_hex }) => {
      expect(toHex(openedByOpenssl(vector(file), keyOf(key_file)))).toBe(plaintext_hex);
    },
  );

  test.skipIf(!hasOpenssl).each(genuine)(
    "$id has the outline of ours (needs openssl)",
    ({ file, plaintext_hex = "" }) => {
      expect(outline(sealed(new Uint8Array(plaintext_hex.length / 2)))).toEqual(outline(vector(file)));
    },
  );
});

describe("K45: who writes and who reads share no parser", () => {
  test("nothing of the emulator's messages comes from the opener's folder, nor the other way", () => {
    const folder = fileURLToPath(new URL("../../mock/aws/kms", import.meta.url));
    const files = [
      "ber.ts",
      "recipient-message.ts",
      "recipient-answer.ts",
      ...readdirSync(`${folder}/faults`).map((name) => `faults/${name}`),
    ];
    expect(files.length).toBeGreaterThan(8);
    for (const file of files)
      expect(readFileSync(`${folder}/${file}`, "utf8"), file).not.toMatch(/shared\/(cms|der)\//);
    for (const file of ["ber.ts", "enveloped-data.ts"])
      expect(readFileSync(new URL(`../../shared/cms/${file}`, import.meta.url), "utf8"), file).not.toMatch(/mock\//);
  });
});
