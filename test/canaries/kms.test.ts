/**
 * Attested KMS: calls that fail in every way, with canaries as credentials, as what KMS released, and in the enclave's RSA
 * key. What the SDK throws holds the request that it made; what callers get must not.
 */
import { generateKeyPairSync } from "node:crypto";
import { KMS } from "@aws-sdk/client-kms";
import { afterEach, describe, expect, test, vi } from "vitest";
import { attested } from "../../enclave/kms/attested.ts";
import { kmsFailure } from "../../enclave/kms/failures.ts";
import type { RecipientKey } from "../../enclave/kms/recipient.ts";
import { pinnedRole } from "../../enclave/kms/role.ts";
import { sealForRecipient } from "../../mock/aws/kms/recipient-message.ts";
import {
  type Asked,
  countingNsm,
  honest,
  KEY,
  REGION,
  type Reply,
  restless,
  startDouble,
} from "../enclave/kms/double.ts";
import { Hunt, plant, plantBytes } from "./hunt.ts";

const [secretKey, token, dataKey] = [plant("SigV4 secret"), plant("session token"), plant("data key")];
const beacon = plant("beacon");
const privateBytes = (key: RecipientKey): Buffer =>
  Buffer.from(key.privateKey.export({ format: "jwk" }).d ?? "", "base64url");
const makeKey = (): RecipientKey => {
  const { publicKey, privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
  return { privateKey, publicKey: new Uint8Array(publicKey.export({ type: "spki", format: "der" })) };
};
const [own, another] = [makeKey(), makeKey()];
const rsa = plantBytes("RSA private key", privateBytes(own).subarray(100, 132));
afterEach(() => void vi.restoreAllMocks());

const credentials = {
  ...{ accessKeyId: "ASIAEXAMPLEEXAMPLE00", secretAccessKey: secretKey.text, sessionToken: token.text },
  expiration: new Date("2099-01-01T00:00:00Z"),
};
const said = (status: number, body: object | string): Reply => ({
  status,
  body: typeof body === "string" ? body : JSON.stringify(body),
});
const released = Buffer.from(dataKey.bytes).toString("base64");
const sealedTo = (key: RecipientKey): Buffer =>
  Buffer.from(sealForRecipient(dataKey.bytes, { encryptTo: key.publicKey, nameAs: key.publicKey }));
const cut = (bytes: Buffer): string => bytes.subarray(0, -1).toString("base64");

/** What KMS answers, and the code that the call ends with. */
const ANSWERS: readonly [string, (asked: Asked, index: number) => Reply, string][] = [
  ["denies", () => said(400, { __type: "AccessDeniedException", message: beacon.text }), "ERR_KMS_ACCESS_DENIED"],
  ["refuses", () => said(400, { __type: "InvalidCiphertextException", message: beacon.text }), "ERR_KMS_REFUSED"],
  ["throttles", () => said(400, { __type: "ThrottlingException", message: beacon.text }), "ERR_KMS_REFUSED"],
  ["is at fault", () => said(500, { __type: "KMSInternalException", message: beacon.text }), "ERR_KMS_REFUSED"],
  ["hangs up", () => (socket) => void socket.destroy(), "ERR_KMS_UNREACHABLE"],
  [
    "answers JSON with the key in clear, and a fault",
    () => said(200, `{"Plaintext": ${released}}`),
    "ERR_KMS_UNREACHABLE",
  ],
  ["answers JSON that breaks off", () => said(200, `{"Plaintext":"${released}`), "ERR_KMS_UNREACHABLE"],
  ["answers no JSON at all", () => said(502, `<html>${released}</html>`), "ERR_KMS_UNREACHABLE"],
  ["answers the key in clear", (asked) => honest(asked, { Plaintext: released }), "ERR_KMS_PLAINTEXT_IN_RESPONSE"],
  [
    "answers in clear alone",
    (asked) => honest(asked, { Plaintext: released, CiphertextForRecipient: undefined }),
    "ERR_KMS_PLAINTEXT_IN_RESPONSE",
  ],
  [
    "seals to another key",
    (asked) => honest(asked, { CiphertextForRecipient: sealedTo(another).toString("base64") }),
    "ERR_KMS_RECIPIENT_UNOPENABLE",
  ],
  [
    "seals a message that breaks off",
    (asked) => honest(asked, { CiphertextForRecipient: cut(sealedTo(own)) }),
    "ERR_KMS_RECIPIENT_UNOPENABLE",
  ],
  [
    "answers for another KMS key",
    (asked) => honest(asked, { KeyId: "other", CiphertextForRecipient: sealedTo(own).toString("base64") }),
    "ERR_KMS_KEY_ID_MISMATCH",
  ],
  [
    "seals a key of another length",
    (asked) => honest(asked, { CiphertextForRecipient: sealedTo(own).toString("base64"), CiphertextBlob: "AAAA" }),
    "ERR_KMS_DATA_KEY_INVALID",
  ],
];

function client(port: number): KMS {
  const kms = new KMS({ region: REGION, endpoint: `http://127.0.0.1:${port}`, credentials: async () => credentials });
  kms.middlewareStack.use(attested({ nsm: countingNsm(), keys: { take: async () => own }, timing: restless() }));
  return kms;
}

const ask = (kms: KMS, code: string): Promise<unknown> =>
  code === "ERR_KMS_DATA_KEY_INVALID"
    ? kms.generateDataKey({ KeyId: KEY, KeySpec: "AES_128" })
    : kms.decrypt({ KeyId: KEY, CiphertextBlob: Uint8Array.of(1) });

describe("KMS, attested", () => {
  test.each(ANSWERS)("G06 G07: a KMS that %s", async (_, reply, code) => {
    await using double = await startDouble(reply);
    const hunt = new Hunt(secretKey, token, dataKey, rsa);
    const kms = client(double.port);
    const thrown = await hunt.noteOutcome("thrown by the SDK", ask(kms, code));
    const named = kmsFailure("Decrypt", thrown);
    expect(named.code).toBe(code);
    hunt.note("refusal", [named, named.toJSON(), beacon.text]);
    hunt.noteReport(named);
    kms.destroy();
    hunt.end({ refusal: beacon });
  });

  test("G06 G07: the client, its keys and its calls, where all goes well", async () => {
    await using double = await startDouble((asked) =>
      honest(asked, { CiphertextForRecipient: sealedTo(own).toString("base64") }),
    );
    const hunt = new Hunt(secretKey, dataKey, rsa);
    hunt.keepDiagnostics();
    const kms = client(double.port);
    const { Plaintext } = await kms.decrypt({ KeyId: KEY, CiphertextBlob: Uint8Array.of(1) });
    // The canaries have been where they could have leaked.
    expect(Buffer.from(Plaintext ?? [])).toEqual(Buffer.from(dataKey.bytes));
    hunt.note("objects", [own, kms.config.credentials, attested({ nsm: countingNsm() }), beacon.text]);
    kms.destroy();
    // The token is no secret of KMS's: it is in each request's head, which is under TLS outside of tests.
    hunt.end({ objects: beacon, diagnostics: token });
  });

  test("G06: credentials of another role, and an STS that fails", async () => {
    const hunt = new Hunt(secretKey, token);
    const expectedRoleArn = "arn:aws:iam::111122223333:role/enclave";
    const provide = (callerArn: () => Promise<string>) => pinnedRole({ credentials, expectedRoleArn, callerArn });
    const other = `arn:aws:sts::111122223333:assumed-role/${beacon.text}/x`;
    const mismatch = await hunt.noteOutcome("refusal", provide(async () => other)());
    expect(mismatch).toMatchObject({ code: "ERR_KMS_ROLE_MISMATCH" });
    await using double = await startDouble(() => said(403, `<Error>${beacon.text}</Error>`));
    const kms = new KMS({
      ...{ region: REGION, endpoint: `http://127.0.0.1:${double.port}`, maxAttempts: 1 },
      credentials: provide(() => Promise.reject(new Error("STS was not reached"))),
    });
    await hunt.noteOutcome("failed", ask(kms, ""));
    kms.destroy();
    hunt.end({ refusal: beacon });
  });
});
