/**
 * The operations that use keys: Encrypt, Decrypt, GenerateDataKey; the last two for a recipient, if one is named.
 *
 *   shape → attestation (ValidationException) → authorization → key state → ciphertext → dry run
 *
 * The order is inferred: AWS documents none, and only the first two steps have been seen from outside.
 *
 * Source: KMS API Reference; KMS Developer Guide, "Encryption context", "Cryptographic attestation".
 *
 * @module
 */
import { randomBytes } from "node:crypto";
import { AwsFault, validationFault } from "../fault.ts";
import type { JsonObject } from "../json.ts";
import type { RequestFacts } from "./access.ts";
import { decryptBlob, type EncryptionContext, encryptBlob, serializeContext } from "./ciphertext.ts";
import { recipientKeysUnder, spoiledMembers } from "./faults.ts";
import type { KmsKey } from "./keys.ts";
import { type Recipient, recipientEventData, verifyRecipient } from "./recipient.ts";
import { sealForRecipient } from "./recipient-message.ts";
import type { KmsRequest } from "./request.ts";
import type { DecryptInput, EncryptInput, GenerateDataKeyInput, RecipientInput } from "./shapes.ts";

const CONTEXT_MAX_BYTES = 8192;

export function encrypt(request: KmsRequest, input: EncryptInput): JsonObject {
  const { KeyId: keyId, EncryptionContext: context = {}, EncryptionAlgorithm: algorithm, DryRun: dryRun } = input;
  request.audit.requestParameters = { keyId, encryptionAlgorithm: "SYMMETRIC_DEFAULT", ...contextParameter(context) };
  checkCommon(request, algorithm, context, input.GrantTokens);
  const key = request.resolve(keyId);
  request.authorize("Encrypt", key, factsOf(context, undefined));
  request.assertEnabled(key);
  const blob = encryptBlob(key.material, input.Plaintext, context);
  endDryRun(dryRun);
  return { CiphertextBlob: base64(blob), KeyId: key.arn, EncryptionAlgorithm: "SYMMETRIC_DEFAULT" };
}

export async function decrypt(request: KmsRequest, input: DecryptInput): Promise<JsonObject> {
  const { KeyId: keyId, CiphertextBlob: blob, EncryptionContext: context = {}, Recipient: named } = input;
  request.audit.requestParameters = {
    encryptionAlgorithm: "SYMMETRIC_DEFAULT",
    ...(keyId === undefined ? {} : { keyId }),
    ...contextParameter(context),
  };
  request.faults.throttle("Decrypt");
  checkCommon(request, input.EncryptionAlgorithm, context, input.GrantTokens);
  if (input.DryRunModifiers !== undefined) throw validationFault("this mock KMS has no DryRunModifiers");
  if (!blob) throw validationFault("CiphertextBlob is required.");
  const recipient = await recipientOf(request, named);
  const maker = request.keys.ofCiphertext(blob, request.call.region);
  if (keyId === undefined && !maker) throw invalidCiphertext();
  const key = keyId === undefined && maker ? request.use(maker) : request.resolve(keyId ?? "");
  request.authorize("Decrypt", key, factsOf(context, recipient));
  request.assertEnabled(key);
  const plaintext = openBlob(key, maker, blob, context);
  endDryRun(input.DryRun);
  return {
    KeyId: key.arn,
    EncryptionAlgorithm: "SYMMETRIC_DEFAULT",
    KeyMaterialId: key.materialId,
    ...handOver(request, "Decrypt", key, plaintext, recipient),
  };
}

export async function generateDataKey(request: KmsRequest, input: GenerateDataKeyInput): Promise<JsonObject> {
  const { KeyId: keyId, NumberOfBytes: count, KeySpec: keySpec, EncryptionContext: context = {} } = input;
  request.audit.requestParameters = {
    keyId,
    ...(count === undefined ? {} : { numberOfBytes: count }),
    ...(keySpec === undefined ? {} : { keySpec }),
    ...contextParameter(context),
  };
  request.faults.throttle("GenerateDataKey");
  checkCommon(request, undefined, context, input.GrantTokens);
  if ((count === undefined) === (keySpec === undefined))
    throw validationFault("Please specify either number of bytes or key spec.");
  const recipient = await recipientOf(request, input.Recipient);
  const key = request.resolve(keyId);
  request.authorize("GenerateDataKey", key, factsOf(context, recipient));
  request.assertEnabled(key);
  const plaintext = randomBytes(count ?? (keySpec === "AES_128" ? 16 : 32));
  const blob = encryptBlob(key.material, plaintext, context);
  endDryRun(input.DryRun);
  return {
    CiphertextBlob: base64(blob),
    KeyId: key.arn,
    KeyMaterialId: key.materialId,
    ...handOver(request, "GenerateDataKey", key, plaintext, recipient),
  };
}

function checkCommon(
  request: KmsRequest,
  algorithm: string | undefined,
  context: EncryptionContext,
  grantTokens: readonly string[] | undefined,
): void {
  request.refuseGrantTokens(grantTokens);
  if (algorithm !== undefined && algorithm !== "SYMMETRIC_DEFAULT")
    throw new AwsFault(
      "InvalidKeyUsageException",
      `Algorithm ${algorithm} is incompatible with key spec SYMMETRIC_DEFAULT.`,
    );
  if (serializeContext(context).length > CONTEXT_MAX_BYTES)
    throw validationFault(`the encryption context has more than ${CONTEXT_MAX_BYTES} bytes`);
}

async function recipientOf(request: KmsRequest, input: RecipientInput | undefined): Promise<Recipient | undefined> {
  if (!input) return undefined;
  const { recipientRules, call, audit } = request;
  const recipient = await verifyRecipient(input, recipientRules, call.now, audit);
  audit.additionalEventData = { recipient: recipientEventData(recipient.claims) };
  return recipient;
}

function openBlob(key: KmsKey, maker: KmsKey | undefined, blob: Uint8Array, context: EncryptionContext): Uint8Array {
  if (maker && maker !== key)
    throw new AwsFault(
      "IncorrectKeyException",
      "The key ID in the request does not identify a CMK that can perform this operation.",
    );
  const plaintext = maker && decryptBlob(key.material, blob, context);
  if (!plaintext) throw invalidCiphertext();
  return plaintext;
}

/** To a recipient only its message; `Plaintext` then is not in the answer at all. */
function handOver(
  request: KmsRequest,
  operation: "Decrypt" | "GenerateDataKey",
  key: KmsKey,
  plaintext: Uint8Array,
  recipient: Recipient | undefined,
): JsonObject {
  if (!recipient) return { Plaintext: base64(plaintext) };
  const fault = request.faults.forRecipient(operation);
  const message = sealForRecipient(plaintext, recipientKeysUnder(fault, recipient.publicKey));
  return { CiphertextForRecipient: base64(message), ...spoiledMembers(fault, key, plaintext) };
}

/** A dry run that would have succeeded fails all the same, in KMS's way. */
function endDryRun(dryRun: boolean | undefined): void {
  if (dryRun)
    throw new AwsFault("DryRunOperationException", "The request would have succeeded, but the DryRun option is set.");
}

function factsOf(encryptionContext: EncryptionContext, recipient: Recipient | undefined): RequestFacts {
  return { encryptionContext, isCryptographic: true, ...(recipient ? { claims: recipient.claims } : {}) };
}

function contextParameter(encryptionContext: EncryptionContext): JsonObject {
  return Object.keys(encryptionContext).length > 0 ? { encryptionContext } : {};
}

function invalidCiphertext(): AwsFault {
  return new AwsFault("InvalidCiphertextException");
}

function base64(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("base64");
}
