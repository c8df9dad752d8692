/** Faults on demand: which calls they meet, how often, and that the enclave's own client survives every one. */
import {
  DecryptCommand,
  DescribeKeyCommand,
  EncryptCommand,
  GenerateDataKeyCommand,
  GenerateRandomCommand,
  type KMSServiceException,
  ListKeysCommand,
} from "@aws-sdk/client-kms";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { ANSWER_FAULTS } from "../../mock/aws/kms/faults/answer.ts";
import { FAULT_ANSWERS, type FaultAnswer, FaultQueue } from "../../mock/aws/kms/faults.ts";
import { isKmsError } from "../../shared/errors/index.ts";
import { type FaultBed, SECRET, startFaultBed } from "./faults-bed.ts";

let bed: FaultBed;
beforeAll(async () => {
  bed = await startFaultBed();
});
afterAll(() => bed[Symbol.asyncDispose]());

const decrypt = (client = bed.enclave) =>
  client.send(new DecryptCommand({ KeyId: bed.keyArn, CiphertextBlob: bed.blob }));
/** The answer as it comes, without the enclave's checks. */
const ask = () =>
  bed.admin.send(new DecryptCommand({ KeyId: bed.keyArn, CiphertextBlob: bed.blob, Recipient: bed.recipient }));

async function verdict(call: Promise<{ Plaintext?: Uint8Array | undefined }>): Promise<string> {
  return call.then(
    ({ Plaintext }) => Buffer.from(Plaintext ?? []).toString(),
    (error: unknown) => (isKmsError(error) ? error.code : (error as Error).name),
  );
}

describe("an enclave's client", () => {
  beforeEach(async () => {
    expect(await verdict(decrypt()), "an honest answer, of which M28 is a replay").toBe(SECRET);
  });

  /** What is not the one refusal of a message. M27 never gets past the SDK; M16 is for whoever uses the plaintext. */
  const special: Readonly<Record<string, string>> = {
    M16: `r${SECRET.slice(1)}`,
    ...{ M21: SECRET, "M18-primitive": SECRET, "M18-one-chunk": SECRET, "M18-three-chunks": SECRET },
    ...{ M25: "ERR_KMS_PLAINTEXT_IN_RESPONSE", plaintext: "ERR_KMS_PLAINTEXT_IN_RESPONSE" },
    ...{ "M26-no-message": "ERR_KMS_RECIPIENT_MISSING", "M26-plaintext-instead": "ERR_KMS_PLAINTEXT_IN_RESPONSE" },
    ...{ "M27-whitespace": "TypeError", "M27-url-alphabet": "TypeError", "M27-padding": "TypeError" },
    "foreign-key-id": "ERR_KMS_KEY_ID_MISMATCH",
  };
  test.each(ANSWER_FAULTS)(
    "%s from Decrypt: refused, or opened where it must be",
    async (answer) => {
      bed.play({ answer: answer as FaultAnswer });
      expect(await verdict(decrypt())).toBe(special[answer] ?? "ERR_KMS_RECIPIENT_UNOPENABLE");
    },
    60_000,
  );

  test("every row from M01 to M28 can be asked for", () => {
    const rows = Array.from({ length: 28 }, (_, index) => `M${String(index + 1).padStart(2, "0")}`);
    expect(rows.filter((row) => !FAULT_ANSWERS.includes(row as FaultAnswer))).toEqual([]);
    expect(new Set(FAULT_ANSWERS).size).toBe(FAULT_ANSWERS.length);
  });
});

describe("which answers", () => {
  test("M28: the message of the last honest answer; before there is one the fault waits", async () => {
    await using fresh = await startFaultBed();
    fresh.play({ answer: "M28", times: 2 });
    const request = { KeyId: fresh.keyArn, CiphertextBlob: fresh.blob, Recipient: fresh.recipient };
    const seen: string[] = [];
    for (let i = 0; i < 4; i++) {
      const { CiphertextForRecipient: message } = await fresh.admin.send(new DecryptCommand(request));
      seen.push(Buffer.from(message ?? []).toString("base64"));
    }
    expect(seen[1]).toBe(seen[0]);
    expect(seen[2]).toBe(seen[0]);
    expect(seen[3]).not.toBe(seen[0]);
  });

  test("a row's id plays its variants in turn", async () => {
    bed.play({ answer: "M02", times: 5 });
    const versions: (string | undefined)[] = [];
    for (let i = 0; i < 5; i++)
      versions.push(
        Buffer.from((await ask()).CiphertextForRecipient ?? [])
          .subarray(17, 21)
          .toString("hex"),
      );
    expect(versions).toEqual(["02010031", "02010331", "0202012c", "02010431", "02010031"]);
  });

  test("of `*` it spoils the next answer for a recipient, whatever the operation", async () => {
    bed.play({ operation: "*", answer: "M25" });
    const described = await bed.admin.send(new DescribeKeyCommand({ KeyId: bed.keyArn }));
    expect(described.KeyMetadata?.Arn).toBe(bed.keyArn);
    const random = { NumberOfBytes: 8, Recipient: bed.recipient };
    expect((await bed.admin.send(new GenerateRandomCommand(random))).Plaintext?.length).toBe(8);
    expect((await bed.admin.send(new GenerateRandomCommand(random))).Plaintext).toBeUndefined();
  });

  test("a fault waits for its operation, in the order they were asked for", async () => {
    bed.play({ operation: "GenerateDataKey", answer: "M26-no-message" });
    bed.play({ answer: "M25" });
    bed.play({ operation: "*", answer: "M26-plaintext-instead" });
    const first = await ask();
    expect([first.Plaintext?.length, first.CiphertextForRecipient === undefined]).toEqual([SECRET.length, false]);
    const input = { KeyId: bed.keyArn, KeySpec: "AES_256", Recipient: bed.recipient } as const;
    const key = await bed.admin.send(new GenerateDataKeyCommand(input));
    expect([key.Plaintext, key.CiphertextForRecipient]).toEqual([undefined, undefined]);
    const second = await ask();
    expect([second.Plaintext?.length, second.CiphertextForRecipient]).toEqual([SECRET.length, undefined]);
    expect((await ask()).Plaintext).toBeUndefined();
  });

  test("an answer that is not for a recipient is left alone", async () => {
    bed.play({ answer: "M26-no-message" });
    expect(await verdict(decrypt(bed.admin))).toBe(SECRET);
    expect((await ask()).CiphertextForRecipient).toBeUndefined();
  });
});

describe("a KMS that is busy or broken", () => {
  const refusals: readonly (readonly [FaultAnswer, string, number])[] = [
    ["throttle", "ThrottlingException", 400],
    ["internal-error", "KMSInternalException", 500],
    ["service-unavailable", "ServiceUnavailable", 503],
  ];
  test.each(refusals)("%s → %s, %i, on any operation", async (answer, name, status) => {
    const calls = [
      () => bed.admin.send(new ListKeysCommand({})),
      () => bed.admin.send(new EncryptCommand({ KeyId: bed.keyArn, Plaintext: Buffer.of(1) })),
    ];
    for (const call of calls) {
      bed.play({ operation: "*", answer, times: 2 });
      const refusal = await call().then(
        () => expect.unreachable(),
        (error: KMSServiceException) => error,
      );
      expect([refusal.name, refusal.$metadata.httpStatusCode, refusal.$metadata.attempts]).toEqual([name, status, 2]);
      await call();
    }
    expect(bed.aws.trail().some(({ event }) => event.errorCode === name)).toBe(true);
  });

  test("once is retried by the SDK", async () => {
    bed.play({ answer: "internal-error" });
    expect(await verdict(decrypt())).toBe(SECRET);
  });
});

describe("what can not be asked for", () => {
  const queue = new FaultQueue();
  test.each([
    ["an operation that is none", { operation: "Rejoice" }],
    ["a message from an operation that has none", { operation: "Encrypt" }],
    ["a fault that is none", { answer: "kindness" }],
    ["a row that is none", { answer: "M99" }],
    ["the beginning of a name", { answer: "M0" }],
    ["no times", { times: 0 }],
    ["half a time", { times: 1.5 }],
    ["latency without a time", { answer: "latency" }],
    ["a time without latency", { latencyMs: 5 }],
    ["latency beyond ten minutes", { answer: "latency", latencyMs: 600_001 }],
    ["fewer than no bytes", { answer: "connection-cut", afterBytes: -1 }],
    ["bytes without a cut", { answer: "throttle", afterBytes: 5 }],
    ["no bytes without a cut", { answer: "plaintext", afterBytes: 0 }],
    ["a foreign key from an answer that names none", { operation: "GenerateRandom", answer: "foreign-key-id" }],
    ["more than a million times", { times: 1_000_001 }],
    ["a member that nobody reads", { account: "111122223333" }],
  ])("%s → RangeError", (_why, change) => {
    const fault = { operation: "Decrypt", answer: "M04", times: 1, ...change };
    expect(() => queue.inject(fault as Parameters<FaultQueue["inject"]>[0])).toThrow(RangeError);
  });

  test("one more than a thousand that wait", () => {
    const full = new FaultQueue();
    for (let i = 0; i < 1_000; i++) full.inject({ operation: "*", answer: "throttle", times: 1 });
    expect(() => full.inject({ operation: "*", answer: "throttle", times: 1 })).toThrow(RangeError);
    full.clear();
    full.inject({ operation: "*", answer: "throttle", times: 1 });
  });

  test("a foreign key of `*` waits for an answer that names one", () => {
    const waiting = new FaultQueue();
    waiting.inject({ operation: "*", answer: "foreign-key-id", times: 1 });
    expect(waiting.forRecipient("GenerateRandom")).toBeUndefined();
    expect(waiting.forRecipient("Decrypt")).toBe("foreign-key-id");
  });

  test("what was asked for can be dropped", () => {
    queue.inject({ operation: "*", answer: "M04", times: 1 });
    queue.clear();
    expect(queue.forRecipient("Decrypt")).toBeUndefined();
  });
});
