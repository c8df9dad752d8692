/**
 * What a client makes of answers that are none, or none to its question: over HTTP, from a KMS that this test plays.
 */
import { describe, expect, test } from "vitest";
import { createRecipientKeys } from "../../../enclave/kms/recipient-keys.ts";
import {
  type Asked,
  attestedClient,
  decrypt,
  honest,
  OTHER_KEY,
  type Reply,
  refusal,
  SECRET,
  sharedKeys,
  startDouble,
  verdict,
} from "./double.ts";

async function answeredWith(reply: (asked: Asked, index: number) => Reply): Promise<[verdict: string, asked: number]> {
  await using double = await startDouble(reply);
  return [await verdict(decrypt(attestedClient(double))), double.asked.length];
}

test("an honest answer is opened", async () => {
  expect(await answeredWith((asked) => honest(asked))).toEqual([SECRET, 1]);
});

describe("K35: an answer about another key, or by another algorithm, is refused before it is opened", () => {
  test.each<[string, object, string]>([
    ["another key", { KeyId: OTHER_KEY }, "ERR_KMS_KEY_ID_MISMATCH"],
    ["the key's id alone", { KeyId: OTHER_KEY.slice(-36) }, "ERR_KMS_KEY_ID_MISMATCH"],
    ["no key", { KeyId: undefined }, "ERR_KMS_KEY_ID_MISMATCH"],
    ["an empty name", { KeyId: "" }, "ERR_KMS_KEY_ID_MISMATCH"],
    ["another algorithm", { EncryptionAlgorithm: "RSAES_OAEP_SHA_256" }, "ERR_KMS_ALGORITHM_MISMATCH"],
    ["no algorithm", { EncryptionAlgorithm: undefined }, "ERR_KMS_ALGORITHM_MISMATCH"],
  ])("K35: %s", async (_, changes, wanted) => {
    expect(await answeredWith((asked) => honest(asked, changes))).toEqual([wanted, 1]);
  });
});

describe("K36: an answer to another request, or an error in disguise", () => {
  const error = (__type: unknown): object => ({ __type, message: "no", CiphertextForRecipient: undefined });

  test.each<[string, (asked: Asked) => Reply, string]>([
    [
      "status 200 with an error for a body",
      (asked) => honest(asked, error("AccessDeniedException")),
      "ERR_KMS_RECIPIENT_MISSING",
    ],
    ["status 200 and nothing", () => ({ status: 200, body: "" }), "ERR_KMS_RECIPIENT_MISSING"],
    ["status 200 and an empty object", () => ({ status: 200, body: "{}" }), "ERR_KMS_RECIPIENT_MISSING"],
    ["status 200 and null", () => ({ status: 200, body: "null" }), "ERR_KMS_RECIPIENT_MISSING"],
    ["status 200 and no JSON", () => ({ status: 200, body: "<html>" }), "ERR_KMS_UNREACHABLE"],
    ["an honest answer under status 400", (asked) => honest(asked, {}, 400), "ERR_KMS_REFUSED"],
    ["an honest answer under status 301", (asked) => honest(asked, {}, 301), "ERR_KMS_REFUSED"],
    ["a message in place of an error's name", (asked) => honest(asked, { __type: "" }, 403), "ERR_KMS_REFUSED"],
  ])("K36: %s is refused", async (_, reply, wanted) => {
    expect(await answeredWith(reply)).toEqual([wanted, 1]);
  });

  test.each(["__proto__", "constructor", "toString", "com.evil#Success:http://evil", "", 7, null, undefined, {}, []])(
    "K36: an error called %j is an error",
    async (name) => {
      expect((await answeredWith(() => refusal(400, name)))[0]).toMatch(/^ERR_KMS_(REFUSED|UNREACHABLE)$/);
      expect(Object.prototype).not.toHaveProperty("message");
    },
  );

  test("K36: the answer to another enclave's request does not open", async () => {
    const others: Asked[] = [];
    await using other = await startDouble((asked) => {
      others.push(asked);
      return honest(asked);
    });
    expect(await decrypt(attestedClient(other, { keys: createRecipientKeys({ poolSize: 1 }) }))).toBe(SECRET);
    const swapped = await answeredWith((asked) => honest({ ...asked, document: others[0]?.document }));
    expect(swapped).toEqual(["ERR_KMS_RECIPIENT_UNOPENABLE", 1]);
  });

  test("K36, M28: the answer to an earlier request of the same key does not open a second time", async () => {
    let earlier: Reply | undefined;
    await using double = await startDouble((asked) => {
      earlier ??= honest(asked);
      return earlier;
    });
    const kms = attestedClient(double, { keys: sharedKeys });
    expect(await verdict(decrypt(kms))).toBe(SECRET);
    expect(await verdict(decrypt(kms))).toBe("ERR_KMS_RECIPIENT_UNOPENABLE");
    expect(await verdict(decrypt(attestedClient(double))), "by another client of the same keys").toBe(
      "ERR_KMS_RECIPIENT_UNOPENABLE",
    );
  });
});

test("K33: a key that is not named by its ARN is a promise that is rejected, and nothing is sent", async () => {
  await using double = await startDouble((asked) => honest(asked));
  const call = attestedClient(double).decrypt({ KeyId: "alias/a", CiphertextBlob: Uint8Array.of(1) });
  await expect(call).rejects.toMatchObject({ code: "ERR_KMS_KEY_ID_NOT_ARN" });
  expect(double.asked.length).toBe(0);
});

describe("K38: a redirect is not followed", () => {
  test.each([301, 302, 303, 307, 308])("K38: %i to another host", async (status) => {
    await using other = await startDouble((asked) => honest(asked));
    const location = { location: `http://127.0.0.1:${other.port}/` };
    const [outcome, asked] = await answeredWith(() => ({ status, body: "", headers: location }));
    expect(outcome).toMatch(/^ERR_KMS_(REFUSED|UNREACHABLE)$/);
    expect([asked, other.asked.length]).toEqual([1, 0]);
  });
});
