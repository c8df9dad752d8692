/**
 * Encrypt, Decrypt, ReEncrypt; Decrypt for a recipient, if one is named.
 *
 *   shape → attestation (ValidationException) → authorization → another key's ciphertext → usage → key state →
 *   ciphertext → dry run
 *
 * The order is mostly inferred: AWS documents none. Seen from outside: attestation before authorization, and
 * IncorrectKeyException before usage.
 *
 * Source: KMS API Reference; KMS Developer Guide, "Encryption context", "Cryptographic attestation".
 *
 * @module
 */
import type {
  DecryptCommandInput,
  DecryptCommandOutput,
  EncryptCommandInput,
  EncryptCommandOutput,
  EncryptionAlgorithmSpec,
  ReEncryptCommandInput,
  ReEncryptCommandOutput,
} from "@aws-sdk/client-kms";
import { AwsFault, validationFault } from "../../fault.ts";
import { KEY_OF_CIPHERTEXT } from "../authorization.ts";
import { readMaterialIdentifier } from "../ciphertext.ts";
import { type CipherQuestion, invalidCiphertext, openWith, sealWith } from "../key-cipher.ts";
import { UNUSABLE } from "../key-state.ts";
import type { Recipient } from "../recipient.ts";
import { handOver, readRecipient } from "../recipient-answer.ts";
import { endDryRun, type KmsRequest, type NamedKey } from "../request.ts";
import type { Answer, Valid } from "./operation.ts";

export async function encrypt(
  request: KmsRequest,
  input: Valid<EncryptCommandInput>,
): Promise<Answer<EncryptCommandOutput>> {
  const { EncryptionAlgorithm: algorithm = "SYMMETRIC_DEFAULT", EncryptionContext: context } = input;
  request.audit.requestParameters = { encryptionAlgorithm: algorithm, ...request.audit.requestParameters };
  const named = request.keyOrAlias(input.KeyId);
  const question = { algorithm, context };
  authorizeCipher(request, "Encrypt", named, { grantTokens: input.GrantTokens, ...question });
  assertUsable(request, named);
  const blob = await sealWith(request, named, { plaintext: input.Plaintext, ...question });
  endDryRun(input);
  return { CiphertextBlob: blob, KeyId: named.key.arn, EncryptionAlgorithm: algorithm };
}

export async function decrypt(
  request: KmsRequest,
  input: Valid<DecryptCommandInput>,
): Promise<Answer<DecryptCommandOutput>> {
  const { EncryptionAlgorithm: algorithm = "SYMMETRIC_DEFAULT", EncryptionContext: context } = input;
  request.audit.requestParameters = { encryptionAlgorithm: algorithm, ...request.audit.requestParameters };
  const blob = ciphertextOf(input);
  const recipient = await readRecipient(request, input.Recipient);
  const { named, isAnothers } = ownerOf(request, { keyId: input.KeyId, blob, algorithm, action: "Decrypt" });
  const question = { algorithm, context };
  authorizeCipher(request, "Decrypt", named, { recipient, grantTokens: input.GrantTokens, ...question });
  if (isAnothers) throw incorrectKey();
  assertUsable(request, named);
  if (!blob) {
    endDryRun(input);
    throw new TypeError("only a dry run comes without a ciphertext");
  }
  const opened = await openWith(request, named, { blob, ...question });
  endDryRun(input);
  return {
    KeyId: named.key.arn,
    EncryptionAlgorithm: algorithm,
    ...handOver(request, "Decrypt", { key: named.key, plaintext: opened.plaintext, recipient, member: "Plaintext" }),
    ...(opened.materialId === undefined ? {} : { KeyMaterialId: opened.materialId }),
  };
}

export async function reEncrypt(
  request: KmsRequest,
  input: Valid<ReEncryptCommandInput>,
): Promise<Answer<ReEncryptCommandOutput>> {
  const { SourceEncryptionAlgorithm: from = "SYMMETRIC_DEFAULT", GrantTokens: grantTokens } = input;
  const { DestinationEncryptionAlgorithm: to = "SYMMETRIC_DEFAULT" } = input;
  const shown = { sourceEncryptionAlgorithm: from, destinationEncryptionAlgorithm: to };
  request.audit.requestParameters = { ...request.audit.requestParameters, ...shown };
  const blob = ciphertextOf(input);
  const asked = { keyId: input.SourceKeyId, blob, algorithm: from, action: "ReEncryptFrom" };
  const { named: source, isAnothers } = ownerOf(request, asked);
  const destination = request.keyOrAlias(input.DestinationKeyId, "ReEncryptTo");
  const onSameKey = { ReEncryptOnSameKey: source.key.arn === destination.key.arn };
  const opening = { algorithm: from, context: input.SourceEncryptionContext };
  const sealing = { algorithm: to, context: input.DestinationEncryptionContext };
  authorizeCipher(request, "ReEncryptFrom", source, { ...opening, grantTokens, keys: onSameKey });
  authorizeCipher(request, "ReEncryptTo", destination, { ...sealing, grantTokens, keys: onSameKey });
  if (isAnothers) throw incorrectKey();
  for (const named of [source, destination]) assertUsable(request, named);
  if (!blob) {
    endDryRun(input);
    throw new TypeError("only a dry run comes without a ciphertext");
  }
  const opened = await openWith(request, source, { ...opening, blob });
  const sealed = await sealWith(request, destination, { ...sealing, plaintext: opened.plaintext });
  opened.plaintext.fill(0);
  endDryRun(input);
  const { currentMaterialId } = destination.family;
  const isSymmetric = destination.key.spec === "SYMMETRIC_DEFAULT";
  return {
    CiphertextBlob: sealed,
    SourceKeyId: source.key.arn,
    KeyId: destination.key.arn,
    SourceEncryptionAlgorithm: from,
    DestinationEncryptionAlgorithm: to,
    ...(opened.materialId === undefined ? {} : { SourceKeyMaterialId: opened.materialId }),
    ...(isSymmetric && currentMaterialId !== undefined ? { DestinationKeyMaterialId: currentMaterialId } : {}),
  };
}

interface CipherAuthorization extends CipherQuestion {
  readonly recipient?: Recipient | undefined;
  readonly grantTokens?: readonly string[] | undefined;
  readonly keys?: Readonly<Record<string, boolean>>;
}

function authorizeCipher(
  request: KmsRequest,
  action: string,
  named: NamedKey,
  { algorithm, context, recipient, grantTokens, keys = {} }: CipherAuthorization,
): void {
  request.authorize(action, named, {
    encryptionContext: context,
    claims: recipient?.claims,
    grantTokens,
    keys: { EncryptionAlgorithm: algorithm, ...keys },
  });
}

function assertUsable(request: KmsRequest, named: NamedKey): void {
  request.assertUsage(named.key, "ENCRYPT_DECRYPT");
  request.assertState(named, UNUSABLE);
}

interface CiphertextInput {
  readonly CiphertextBlob?: Uint8Array | undefined;
  readonly DryRun?: boolean | undefined;
  readonly DryRunModifiers?: readonly string[] | undefined;
}

/** A dry run may do without. */
function ciphertextOf({
  CiphertextBlob: blob,
  DryRun: dryRun,
  DryRunModifiers: modifiers,
}: CiphertextInput): Uint8Array | undefined {
  const ignores = modifiers?.includes("IGNORE_CIPHERTEXT") ?? false;
  if (ignores && !dryRun) throw validationFault("DryRunModifiers is only valid when DryRun is true.");
  if (!blob && !ignores) throw validationFault("CiphertextBlob is required.");
  return ignores ? undefined : blob;
}

interface CiphertextKey {
  readonly keyId: string | undefined;
  readonly blob: Uint8Array | undefined;
  readonly algorithm: EncryptionAlgorithmSpec;
  readonly action: string;
}

interface CiphertextOwner {
  readonly named: NamedKey;
  /** Whether the bytes stand for another key than the one that is named. */
  readonly isAnothers: boolean;
}

/** The key that is named; for a symmetric ciphertext without a name, the one that its bytes stand for. */
function ownerOf(request: KmsRequest, { keyId, blob, algorithm, action }: CiphertextKey): CiphertextOwner {
  const identifier = blob && algorithm === "SYMMETRIC_DEFAULT" ? readMaterialIdentifier(blob) : undefined;
  const maker = identifier && request.keys.ofCiphertext(identifier, request.scope.region, request.now);
  if (keyId !== undefined) {
    const named = request.keyOrAlias(keyId, action);
    return { named, isAnothers: maker !== undefined && maker.situation.key.arn !== named.key.arn };
  }
  if (algorithm !== "SYMMETRIC_DEFAULT" || !blob) throw validationFault("KeyId is required.");
  if (!maker) throw invalidCiphertext();
  return { named: { shownAs: KEY_OF_CIPHERTEXT, ...request.use(maker.situation) }, isAnothers: false };
}

function incorrectKey(): AwsFault {
  return new AwsFault(
    "IncorrectKeyException",
    "The key ID in the request does not identify a CMK that can perform this operation.",
  );
}
