/**
 * Row M29: whatever is wrong with a message, there is one error, after the same operations.
 *
 * The clock is not asked: Node promises no constant time. Counted are the operations with keys.
 */
import { generateKeyPairSync } from "node:crypto";
import { describe, expect, test, vi } from "vitest";
import { openOnce, openRecipientMessage } from "../../../enclave/kms/recipient.ts";
import { MESSAGE_FAULTS, malformedMessage } from "../../../mock/aws/kms/faults/messages.ts";
import { sealForRecipient } from "../../../mock/aws/kms/recipient-message.ts";
import { VirtualTime } from "./virtual-time.ts";

const { operations } = vi.hoisted(() => ({ operations: [] as string[] }));

vi.mock("node:crypto", async (importOriginal) => {
  const real = await importOriginal<typeof import("node:crypto")>();
  const privateDecrypt: typeof real.privateDecrypt = (key, bytes) => {
    operations.push(`RSA of ${bytes.byteLength} bytes`);
    return real.privateDecrypt(key, bytes);
  };
  const createDecipheriv = (algorithm: string, key: Uint8Array, iv: Uint8Array) => {
    operations.push(`${algorithm} with ${key.length} and ${iv.length} bytes`);
    return real.createDecipheriv(algorithm, key, iv);
  };
  return { ...real, privateDecrypt, createDecipheriv };
});

const pair = generateKeyPairSync("rsa", { modulusLength: 2048 });
const key = { privateKey: pair.privateKey, publicKey: pair.publicKey.export({ format: "der", type: "spki" }) };
const plaintext = Buffer.from("secret of the enclave");
const ONE_OF_EACH = ["RSA of 256 bytes", "aes-256-cbc with 32 and 16 bytes"];

/** All that can be seen of a refusal from outside, and what was done for it. */
function outcome(message: Uint8Array): string {
  operations.length = 0;
  try {
    openRecipientMessage(message, key);
    return "opened";
  } catch (error) {
    const { name, code, message: text, details, kind } = error as Error & Record<"code" | "details" | "kind", unknown>;
    const seen = { name, code, text, details, kind, cause: (error as Error).cause, keys: Object.keys(error as Error) };
    return JSON.stringify([seen, operations]);
  }
}

const honest = (): Uint8Array => sealForRecipient(plaintext, { encryptTo: key.publicKey, nameAs: key.publicKey });
const strangers = outcome(malformedMessage("M24", { plaintext, publicKey: key.publicKey }));

describe("M29: one error, after the same operations", () => {
  test("the measure sees an honest message's operations, and a refusal's", () => {
    expect(outcome(honest())).toBe("opened");
    expect(operations).toEqual(ONE_OF_EACH);
    expect(JSON.parse(strangers)).toEqual([
      expect.objectContaining({ code: "ERR_KMS_RECIPIENT_UNOPENABLE" }),
      ONE_OF_EACH,
    ]);
  });

  test.each([...MESSAGE_FAULTS.keys()])("M29: %s looks like all others, or opens", (fault) => {
    const seen = outcome(malformedMessage(fault, { plaintext, publicKey: key.publicKey }));
    const opens = ["M16", "M18-one-chunk", "M18-primitive", "M18-three-chunks", "M21"].includes(fault);
    expect(seen).toBe(opens ? "opened" : strangers);
  });

  test("M29: so do messages with a byte changed, cut short, or of nothing but chance", () => {
    const { random } = new VirtualTime(29);
    const below = (bound: number): number => Math.floor(random() * bound);
    const buckets = new Map<string, number>();
    const count = process.env["SLOW"] === "1" ? 10_000 : 1_000;
    for (let i = 0; i < count; i++) {
      const message = honest();
      if (i % 4 === 3) message.set(Uint8Array.from(message, () => below(256)));
      else message[below(message.length)] = below(256);
      const seen = outcome(i % 4 === 2 ? message.subarray(0, below(message.length)) : message);
      buckets.set(seen, (buckets.get(seen) ?? 0) + 1);
    }
    // A change of the initialisation vector, or of a byte to itself, leaves a message that opens.
    buckets.delete("opened");
    expect([...buckets.keys()]).toEqual([strangers]);
    expect(buckets.get(strangers)).toBeGreaterThan(0.8 * count);
  });

  test("M28: a replay is refused like all others", () => {
    const message = honest();
    expect(Buffer.from(openOnce(message, key))).toEqual(plaintext);
    expect(() => openOnce(message, key)).toThrow(expect.objectContaining({ code: "ERR_KMS_RECIPIENT_UNOPENABLE" }));
    const recut = message.slice();
    const iv = Buffer.from(message).indexOf(Buffer.from("60864801650304012a0410", "hex")) + 11;
    recut[iv] = (recut[iv] ?? 0) ^ 1;
    expect(Buffer.from(openRecipientMessage(recut, key)), "with another vector it is another message").not.toEqual(
      plaintext,
    );
    expect(() => openOnce(recut, key)).toThrow(expect.objectContaining({ code: "ERR_KMS_RECIPIENT_UNOPENABLE" }));
    expect(Buffer.from(openOnce(honest(), key))).toEqual(plaintext);
  });
});
