/**
 * Each malformed message is what its row says and nothing else: OpenSSL's reading of it beside its reading of an
 * honest one, the cryptography where the outline is the same, and what the enclave's opener makes of it.
 */
import {
  constants,
  createDecipheriv,
  createHash,
  generateKeyPairSync,
  privateDecrypt,
  privateEncrypt,
} from "node:crypto";
import { readFileSync } from "node:fs";
import { beforeAll, describe, expect, test } from "vitest";
import { openRecipientMessage, type RecipientKey } from "../../enclave/kms/recipient.ts";
import { MESSAGE_FAULTS, malformedMessage } from "../../mock/aws/kms/faults/messages.ts";
import { toHex, utf8 } from "../../shared/bytes.ts";
import { isKmsError } from "../../shared/errors/index.ts";
import { openssl } from "./algorithms/openssl.ts";
import { changes, hasOpenssl, outline } from "./faults-outline.ts";

interface Case {
  readonly id: string;
  readonly why: string;
  /** Lines of the outline that differ from an honest message's. */
  readonly changes?: readonly string[];
  /** What `openssl cms -decrypt` makes of it, which is lenient: whoever skips this check opens the message. */
  readonly openssl: "opened" | "refused";
  readonly ours: "opened" | "refused";
}

const cases = JSON.parse(readFileSync(new URL("faults-messages.json", import.meta.url), "utf8")) as readonly Case[];
const SECRET = "secret of the enclave";
let key: RecipientKey;
let honest: readonly string[];

beforeAll(() => {
  const { privateKey, publicKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
  key = { privateKey, publicKey: new Uint8Array(publicKey.export({ format: "der", type: "spki" })) };
  honest = hasOpenssl ? outline(messageOf("M18-one-chunk")) : [];
});

function messageOf(id: string, secret = SECRET): Buffer {
  return Buffer.from(malformedMessage(id, { plaintext: utf8(secret), publicKey: key.publicKey }));
}

function openedByUs(message: Uint8Array): string {
  try {
    return Buffer.from(openRecipientMessage(message, key)).toString("latin1");
  } catch (error) {
    if (isKmsError(error)) return error.code;
    throw error;
  }
}

function openedByOpenssl(message: Uint8Array): string {
  const pem = utf8(key.privateKey.export({ type: "pkcs8", format: "pem" }).toString());
  try {
    const command = "cms -decrypt -inform DER -in message -inkey key -out out";
    return Buffer.from(openssl(command, { message, key: pem })).toString("latin1");
  } catch {
    return "refused"; // OpenSSL's status is the verdict
  }
}

describe("malformed messages", () => {
  test("every one has a case", () => {
    expect(cases.map(({ id }) => id)).toEqual([...MESSAGE_FAULTS.keys()]);
    expect(() => messageOf("M99")).toThrow(RangeError);
  });

  test.each(cases)("$id: $why → $ours", ({ id, ours }) => {
    const read = openedByUs(messageOf(id));
    if (ours === "refused") expect(read).toBe("ERR_KMS_RECIPIENT_UNOPENABLE");
    else expect(read).toBe(id === "M16" ? `r${SECRET.slice(1)}` : SECRET);
  });

  const outlined = cases.filter(({ changes }) => changes);
  test.skipIf(!hasOpenssl).each(outlined)(
    "$id differs from an honest message by what its case says (needs openssl)",
    ({ id, changes: expected, openssl: verdict }) => {
      const message = messageOf(id);
      expect(changes(honest, outline(message))).toEqual(expected);
      const opened = openedByOpenssl(message);
      if (verdict === "refused") expect(opened).not.toBe(SECRET);
      else expect(opened).toBe({ M16: `r${SECRET.slice(1)}`, "M14-10000-chunks": "\0".repeat(9_999) }[id] ?? SECRET);
    },
    60_000,
  );

  test("M14: 64 MiB are 64 MiB", () => {
    const message = messageOf("M14-64-mib");
    expect(message.length).toBe(67_108_864 + 449);
    expect(message.subarray(433, 439)).toEqual(Buffer.of(4, 0x84, 4, 0, 0, 0));
  });

  test("M22: lengths as they should not be", () => {
    const head = (id: string, bytes: number): string =>
      messageOf(id)
        .subarray(433, 433 + bytes)
        .toString("hex");
    expect(head("M18-one-chunk", 2)).toBe("0420");
    expect(head("M22-length-2-to-32", 7)).toBe("04850100000000");
    expect(head("M22-length-in-5-bytes", 7)).toBe("04850000000020");
    expect(head("M22-indefinite-primitive", 2)).toBe("0480");
    expect(head("M22-reserved-length", 2)).toBe("04ff");
  });

  test("M23: 10 000 sequences, each ended", () => {
    const message = messageOf("M23");
    expect(message.toString("hex")).toBe("3080".repeat(10_000) + "0000".repeat(10_000));
  });
});

/** At the offsets of a message that has the honest layout. */
const layout = (message: Buffer) => ({
  recipient: message.subarray(33, 65),
  encryptedKey: message.subarray(131, 387),
  iv: message.subarray(415, 431),
  ciphertext: message.subarray(435, -10),
});

function contentKeyOf(encryptedKey: Buffer, oaepHash = "sha256"): Buffer {
  return privateDecrypt({ key: key.privateKey, padding: constants.RSA_PKCS1_OAEP_PADDING, oaepHash }, encryptedKey);
}

function blocksOf(message: Buffer): Buffer {
  const { encryptedKey, iv, ciphertext } = layout(message);
  const cipher = createDecipheriv("aes-256-cbc", contentKeyOf(encryptedKey), iv).setAutoPadding(false);
  return Buffer.concat([cipher.update(ciphertext), cipher.final()]);
}

describe("where the outline says nothing", () => {
  test("M09: a number as large as the modulus", () => {
    const { n = "" } = key.privateKey.export({ format: "jwk" });
    const { encryptedKey } = layout(messageOf("M09-modulus"));
    expect(encryptedKey).toEqual(Buffer.from(n, "base64url"));
    const raw = { key: key.privateKey, padding: constants.RSA_NO_PADDING };
    expect(() => privateEncrypt(raw, encryptedKey)).toThrow();
  });

  test("M09: with the byte that is missing, without the byte that is too much, it is the key", () => {
    const longer = messageOf("M09-257-bytes").subarray(131, 388);
    expect(longer[0]).toBe(0);
    expect(contentKeyOf(longer.subarray(1)).length).toBe(32);
    expect(messageOf("M09-255-bytes").subarray(127, 131).toString("hex")).toMatch(/^0481ff/);
  });

  test("M09: the byte that is missing is never a zero, without which the number would be the same", () => {
    for (let made = 0; made < 1_500; made++) {
      const shorter = messageOf("M09-255-bytes").subarray(130, 385);
      expect(() => contentKeyOf(Buffer.concat([Buffer.of(0), shorter]))).toThrow();
    }
  });

  test.each([0, 16, 31, 33])("M10: a key of %i bytes arrives", (length) => {
    expect(contentKeyOf(layout(messageOf(`M10-${length}-byte-key`)).encryptedKey).length).toBe(length);
  });

  test.each(["M12-aes-128-cbc", "M12-integer-parameter"])("%s: only the name changed", (id) => {
    expect(blocksOf(messageOf(id)).subarray(0, SECRET.length).toString()).toBe(SECRET);
  });

  test("M12: without a cipher the secret is in clear", () => {
    expect(messageOf("M12-no-cipher").includes(SECRET)).toBe(true);
    expect(messageOf("M18-one-chunk").includes(SECRET)).toBe(false);
  });

  test.each(["short", SECRET, "exactly 16 bytes"])("M15: the padding of %j", (secret) => {
    const end = (id: string): string => blocksOf(messageOf(id, secret)).subarray(-17).toString("hex");
    expect(end("M15-padding-0")).toMatch(/00$/);
    expect(end("M15-padding-17")).toBe("11".repeat(17));
    expect(end("M15-padding-mismatched")).toMatch(/05050504$/);
  });

  test("M24: another key's, by name and by right", () => {
    const { recipient, encryptedKey } = layout(messageOf("M24"));
    expect(toHex(recipient)).not.toBe(createHash("sha256").update(key.publicKey).digest("hex"));
    expect(() => contentKeyOf(encryptedKey)).toThrow();
  });
});
