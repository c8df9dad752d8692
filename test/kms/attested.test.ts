/**
 * The unmodified AWS SDK with our plugin, against the emulated KMS, which checks everything that KMS does.
 */
import { Agent } from "node:https";
import { KMS } from "@aws-sdk/client-kms";
import { NodeHttpHandler } from "@smithy/node-http-handler";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { attested } from "../../enclave/kms/attested.ts";
import { kmsFailure } from "../../enclave/kms/failures.ts";
import { createRecipientKeys } from "../../enclave/kms/recipient-keys.ts";
import {
  createMockNsm,
  type Fault,
  type MockAws,
  type MockNsm,
  newCredentials,
  startMockAws,
} from "../../mock/testing.ts";
import { toHex, utf8 } from "../../shared/bytes.ts";
import { open, seal } from "../../shared/envelope/sealed.ts";
import { isToolkitError } from "../../shared/errors/index.ts";
import { attestedKeyPolicy } from "../../shared/policy/key-policy.ts";

const OWNER = "111122223333";
const OPERATOR = "777788889999";
const REGION = "eu-central-1";
const pcr = (byte: number): Uint8Array => new Uint8Array(48).fill(byte);
const image = { pcr0: pcr(1), pcr1: pcr(2), pcr2: pcr(3) };
const context = { dataset: "test" };

let aws: MockAws;
let genuine: MockNsm;
let keyArn: string;
let otherKeyArn: string;
const sessions = { admin: newCredentials(), sealer: newCredentials(), enclave: newCredentials() };
const keys = createRecipientKeys();
let agent: Agent;

const allow = (Action: string) => ({
  Version: "2012-10-17" as const,
  Statement: [{ Effect: "Allow" as const, Action, Resource: "*" }],
});
const role = (name: string, session: (typeof sessions)["admin"]) => ({
  type: "role" as const,
  name,
  identityPolicies: [allow("kms:*")],
  credentials: [session],
});

function plain(credentials: (typeof sessions)["admin"]): KMS {
  const requestHandler = new NodeHttpHandler({ httpsAgent: agent });
  return new KMS({ region: REGION, endpoint: aws.url, credentials, maxAttempts: 1, requestHandler });
}

function attestedBy(nsm: MockNsm): KMS {
  const kms = plain(sessions.enclave);
  kms.middlewareStack.use(attested({ nsm: nsm.device, keys }));
  return kms;
}

async function verdict(attempt: () => Promise<unknown>): Promise<string> {
  try {
    await attempt();
    return "answered";
  } catch (error) {
    const failure = kmsFailure("Decrypt", error);
    return isToolkitError(error) ? error.code : failure.code;
  }
}

beforeAll(async () => {
  genuine = await createMockNsm({ measurements: image });
  aws = await startMockAws({
    regions: [REGION],
    attestationRoots: [genuine.rootCertificate],
    accounts: [
      { accountId: OWNER, principals: [role("admin", sessions.admin), role("sealer", sessions.sealer)] },
      { accountId: OPERATOR, principals: [role("enclave", sessions.enclave)] },
    ],
  });
  agent = new Agent({ ca: aws.caCertificatePem, keepAlive: true });
  const policy = attestedKeyPolicy({
    administrator: `arn:aws:iam::${OWNER}:role/admin`,
    sealer: `arn:aws:iam::${OWNER}:role/sealer`,
    enclaveRole: `arn:aws:iam::${OPERATOR}:role/enclave`,
    image: { pcr0: toHex(image.pcr0), pcr1: toHex(image.pcr1), pcr2: toHex(image.pcr2) },
  });
  const create = async (): Promise<string> =>
    (await plain(sessions.admin).createKey({ Policy: JSON.stringify(policy) })).KeyMetadata?.Arn ?? "";
  [keyArn, otherKeyArn] = [await create(), await create()];
});

afterAll(async () => {
  agent.destroy();
  await aws.close();
});

describe("an attested client", () => {
  let message: Uint8Array;
  const openWith = (kms: KMS) => () => open(message, { kms, keyArn, context, dataset: "test" });

  beforeAll(async () => {
    message = await seal(utf8("secret"), { kms: plain(sessions.sealer), keyArn, context });
  });

  test("opens what was sealed, and the caller sees Plaintext where the SDK puts it", async () => {
    expect(await openWith(attestedBy(genuine))()).toEqual(utf8("secret"));
    const { CiphertextBlob } = await plain(sessions.sealer).generateDataKey({ KeyId: keyArn, KeySpec: "AES_256" });
    const { Plaintext, ...rest } = await attestedBy(genuine).decrypt({ KeyId: keyArn, CiphertextBlob });
    expect(Plaintext?.length).toBe(32);
    expect(rest).not.toHaveProperty("CiphertextForRecipient");
  });

  test("leaves operations that return no secret alone", async () => {
    expect(await verdict(() => attestedBy(genuine).describeKey({ KeyId: keyArn }))).toBe("ERR_KMS_ACCESS_DENIED");
  });

  test("without attestation the same role gets nothing", async () => {
    expect(await verdict(openWith(plain(sessions.enclave)))).toBe("ERR_KMS_ACCESS_DENIED");
  });

  test.each([
    ["PCR0", { ...image, pcr0: pcr(9) }],
    ["PCR1", { ...image, pcr1: pcr(9) }],
    ["PCR2", { ...image, pcr2: pcr(9) }],
  ])("an image that differs in %s gets nothing", async (_, measurements) => {
    const other = await createMockNsm({ measurements });
    aws.setAttestationRoots([genuine.rootCertificate, other.rootCertificate]);
    expect(await verdict(openWith(attestedBy(other)))).toBe("ERR_KMS_ACCESS_DENIED");
  });

  test("an enclave under a root that KMS does not trust gets nothing", async () => {
    aws.setAttestationRoots([genuine.rootCertificate]);
    const foreign = await createMockNsm({ measurements: image });
    expect(await verdict(openWith(attestedBy(foreign)))).toBe("ERR_KMS_REFUSED");
  });

  test.each<[Fault["answer"], string]>([
    ["plaintext", "ERR_KMS_PLAINTEXT_IN_RESPONSE"],
    ["foreign-key-id", "ERR_KMS_KEY_ID_MISMATCH"],
    ["cms-for-another-key", "ERR_KMS_RECIPIENT_UNOPENABLE"],
    ["cms-foreign-recipient-id", "ERR_KMS_RECIPIENT_UNOPENABLE"],
  ])("M25, K35: an answer with %s is refused", async (answer, wanted) => {
    aws.injectFault({ operation: "Decrypt", answer, times: 1 });
    expect(await verdict(openWith(attestedBy(genuine)))).toBe(wanted);
    expect(await verdict(openWith(attestedBy(genuine)))).toBe("answered");
  });

  test.each([
    ["an alias", "alias/a"],
    ["a bare id", "1234abcd-12ab-34cd-56ef-1234567890ab"],
    ["nothing", undefined],
  ])("K33: a key named by %s is refused before anything is sent", async (_, KeyId) => {
    const before = aws.trail().length;
    const call = () => attestedBy(genuine).decrypt({ ...(KeyId && { KeyId }), CiphertextBlob: Uint8Array.of(1) });
    expect(await verdict(call)).toBe("ERR_KMS_KEY_ID_NOT_ARN");
    expect(aws.trail().length).toBe(before);
  });

  test("M28: with keys for one use, each call carries a key pair of its own", async () => {
    const seen = new Set<string>();
    const single = createRecipientKeys({ maxUses: 1 });
    const noting = {
      take: async () => {
        const key = await single.take();
        seen.add(toHex(key.publicKey));
        return key;
      },
    };
    const kms = plain(sessions.enclave);
    kms.middlewareStack.use(attested({ nsm: genuine.device, keys: noting }));
    await openWith(kms)();
    await openWith(kms)();
    expect(seen.size).toBe(2);
  });
});

describe("K35: an answer that is honest in form only", () => {
  /** A client whose KMS is this function: what a broken or hostile one could say. */
  const saying = (change: (output: Record<string, unknown>) => void): KMS => {
    const kms = attestedBy(genuine);
    kms.middlewareStack.add(
      (next) => async (args) => {
        const answered = await next(args);
        change(answered.output as unknown as Record<string, unknown>);
        return answered;
      },
      { step: "initialize", priority: "low", name: "tamper" },
    );
    return kms;
  };
  const dataKey = () => plain(sessions.sealer).generateDataKey({ KeyId: keyArn, KeySpec: "AES_256" });
  const decrypting = async (kms: KMS) => {
    const { CiphertextBlob } = await dataKey();
    return () => kms.decrypt({ KeyId: keyArn, CiphertextBlob });
  };

  test.each<[string, (output: Record<string, unknown>) => void, string]>([
    [
      "another algorithm",
      (output) => (output["EncryptionAlgorithm"] = "RSAES_OAEP_SHA_1"),
      "ERR_KMS_ALGORITHM_MISMATCH",
    ],
    ["no algorithm", (output) => delete output["EncryptionAlgorithm"], "ERR_KMS_ALGORITHM_MISMATCH"],
    ["no key id", (output) => delete output["KeyId"], "ERR_KMS_KEY_ID_MISMATCH"],
    ["no message", (output) => delete output["CiphertextForRecipient"], "ERR_KMS_RECIPIENT_MISSING"],
    [
      "an empty message",
      (output) => (output["CiphertextForRecipient"] = new Uint8Array(0)),
      "ERR_KMS_RECIPIENT_MISSING",
    ],
    ["plaintext as text", (output) => (output["Plaintext"] = "secret"), "ERR_KMS_PLAINTEXT_IN_RESPONSE"],
    ["nothing changed", () => undefined, "answered"],
    ["an empty Plaintext", (output) => (output["Plaintext"] = new Uint8Array(0)), "answered"],
  ])("Decrypt with %s", async (_, change, wanted) => {
    expect(await verdict(await decrypting(saying(change)))).toBe(wanted);
  });

  test("a call without a name is not made", async () => {
    const kms = attestedBy(genuine);
    kms.middlewareStack.add(
      (next, context) => (args) => {
        context.commandName = "";
        return next(args);
      },
      { step: "initialize", priority: "high", name: "nameless" },
    );
    const { CiphertextBlob } = await dataKey();
    await expect(kms.decrypt({ KeyId: keyArn, CiphertextBlob })).rejects.toThrow(TypeError);
  });
});

describe("a sealed message", () => {
  let message: Uint8Array;
  const openAs =
    (bytes: Uint8Array, changes: object = {}) =>
    () =>
      open(bytes, { kms: attestedBy(genuine), keyArn, context, dataset: "test", ...changes });

  beforeAll(async () => {
    message = await seal(utf8("secret ".repeat(100)), { kms: plain(sessions.sealer), keyArn, context });
  });

  test("with one bit changed anywhere is refused, and never with plaintext", async () => {
    for (const at of [0, 1, 5, 60, message.length >> 1, message.length - 30, message.length - 1]) {
      const changed = message.with(at, (message[at] ?? 0) ^ 1);
      expect(await verdict(openAs(changed)), `byte ${at}`).toMatch(/^ERR_DATA_NOT_OPENED$|^ERR_KMS_REFUSED$/);
    }
  });

  test("cut short, with a byte behind it, or empty is refused", async () => {
    for (const bytes of [message.slice(0, -1), Uint8Array.from([...message, 0]), new Uint8Array(0)]) {
      expect(await verdict(openAs(bytes))).toBe("ERR_DATA_NOT_OPENED");
    }
  });

  test("under another context is refused", async () => {
    expect(await verdict(openAs(message, { context: { dataset: "other" } }))).toBe("ERR_DATA_NOT_OPENED");
  });

  test("without a context can be neither made nor opened", async () => {
    await expect(seal(utf8("x"), { kms: plain(sessions.sealer), keyArn, context: {} })).rejects.toThrow(RangeError);
    await expect(openAs(message, { context: {} })()).rejects.toThrow(RangeError);
  });

  test("under another key than the one named is refused", async () => {
    expect(await verdict(openAs(message, { keyArn: otherKeyArn }))).toBe("ERR_DATA_NOT_OPENED");
  });
});

describe("attestedKeyPolicy", () => {
  const arn = `arn:aws:iam::${OWNER}:role/a`;
  const hex = toHex(pcr(1));
  const complete = { administrator: arn, sealer: arn, enclaveRole: arn, image: { pcr0: hex, pcr1: hex, pcr2: hex } };

  test.each([
    ["everybody", { enclaveRole: "*" }],
    ["an account", { enclaveRole: `arn:aws:iam::${OWNER}:root` }],
    ["an account as administrator", { administrator: `arn:aws:iam::${OWNER}:root` }],
    ["a wildcard", { sealer: `arn:aws:iam::${OWNER}:role/*` }],
    ["a debug-mode register", { image: { ...complete.image, pcr1: "0".repeat(96) } }],
    ["a register in capitals", { image: { ...complete.image, pcr2: "A".repeat(96) } }],
    ["a short register", { image: { ...complete.image, pcr0: "ab" } }],
  ])("names one role, and measurements only: %s", (_, changes) => {
    expect(() => attestedKeyPolicy({ ...complete, ...changes })).toThrow(TypeError);
  });

  test("denies each register on its own", () => {
    const denies = attestedKeyPolicy(complete).Statement.filter(
      ({ Effect, Condition }) => Effect === "Deny" && Condition,
    );
    expect(denies.map(({ Condition }) => Object.keys(Condition?.["StringNotEqualsIgnoreCase"] ?? {}))).toEqual([
      ["kms:RecipientAttestation:PCR0"],
      ["kms:RecipientAttestation:PCR1"],
      ["kms:RecipientAttestation:PCR2"],
    ]);
  });
});

describe("a KMS that is not there", () => {
  test("is a refusal of kind unreachable, exit code 5", async () => {
    const requestHandler = new NodeHttpHandler({ connectionTimeout: 1_000 });
    const kms = new KMS({
      region: REGION,
      endpoint: "https://127.0.0.1:1",
      credentials: sessions.enclave,
      maxAttempts: 1,
      requestHandler,
    });
    const failure = await kms
      .describeKey({ KeyId: keyArn })
      .catch((error: unknown) => kmsFailure("DescribeKey", error));
    expect(failure).toMatchObject({ code: "ERR_KMS_UNREACHABLE", kind: "unreachable" });
  });
});
