/**
 * GenerateDataKey, GenerateDataKeyPair, both without plaintext, and GenerateRandom.
 *
 * Source: KMS API Reference; KMS Developer Guide, "Data keys", "Data key pairs".
 *
 * @module
 */
import { randomBytes } from "node:crypto";
import type {
  DataKeyPairSpec,
  GenerateDataKeyCommandInput,
  GenerateDataKeyCommandOutput,
  GenerateDataKeyPairCommandInput,
  GenerateDataKeyPairCommandOutput,
  GenerateDataKeyPairWithoutPlaintextCommandInput,
  GenerateDataKeyPairWithoutPlaintextCommandOutput,
  GenerateDataKeyWithoutPlaintextCommandInput,
  GenerateDataKeyWithoutPlaintextCommandOutput,
  GenerateRandomCommandInput,
  GenerateRandomCommandOutput,
  RecipientInfo,
} from "@aws-sdk/client-kms";
import { AwsFault, validationFault } from "../../fault.ts";
import { generateKeyMaterial, type KeySpec, publicKeyOf } from "../algorithms/index.ts";
import { sealWith } from "../key-cipher.ts";
import { UNUSABLE } from "../key-state.ts";
import type { Recipient } from "../recipient.ts";
import { handOver, readRecipient } from "../recipient-answer.ts";
import { type AuthorizationOptions, endDryRun, type KmsRequest, type NamedKey } from "../request.ts";
import type { KeyRow } from "../rows.ts";
import type { Answer, Valid } from "./operation.ts";

interface GenerationInput {
  readonly KeyId: string;
  readonly EncryptionContext?: Record<string, string> | undefined;
  readonly GrantTokens?: readonly string[] | undefined;
  readonly DryRun?: boolean | undefined;
}

interface Sealed {
  readonly named: NamedKey;
  readonly blob: Uint8Array;
  /** Member of the answer that names the material. */
  readonly material: { readonly KeyMaterialId?: string };
}

export async function generateDataKey(
  request: KmsRequest,
  input: Valid<GenerateDataKeyCommandInput>,
): Promise<Answer<GenerateDataKeyCommandOutput>> {
  const plaintext = newDataKey(input);
  const recipient = await readRecipient(request, input.Recipient);
  const { named, blob, material } = await seal(request, input, { action: "GenerateDataKey", plaintext, recipient });
  return {
    CiphertextBlob: blob,
    KeyId: named.key.arn,
    ...handOver(request, "GenerateDataKey", { key: named.key, plaintext, recipient, member: "Plaintext" }),
    ...material,
  };
}

export async function generateDataKeyWithoutPlaintext(
  request: KmsRequest,
  input: Valid<GenerateDataKeyWithoutPlaintextCommandInput>,
): Promise<Answer<GenerateDataKeyWithoutPlaintextCommandOutput>> {
  const plaintext = newDataKey(input);
  const { named, blob, material } = await seal(request, input, {
    action: "GenerateDataKeyWithoutPlaintext",
    plaintext,
  });
  plaintext.fill(0);
  return { CiphertextBlob: blob, KeyId: named.key.arn, ...material };
}

export async function generateDataKeyPair(
  request: KmsRequest,
  input: Valid<GenerateDataKeyPairCommandInput>,
): Promise<Answer<GenerateDataKeyPairCommandOutput>> {
  const { plaintext, recipient, key, ...answer } = await newPair(
    request,
    input,
    "GenerateDataKeyPair",
    input.Recipient,
  );
  return {
    ...answer,
    ...handOver(request, "GenerateDataKeyPair", { key, plaintext, recipient, member: "PrivateKeyPlaintext" }),
  };
}

export async function generateDataKeyPairWithoutPlaintext(
  request: KmsRequest,
  input: Valid<GenerateDataKeyPairWithoutPlaintextCommandInput>,
): Promise<Answer<GenerateDataKeyPairWithoutPlaintextCommandOutput>> {
  const {
    plaintext,
    recipient: _,
    key: __,
    ...answer
  } = await newPair(request, input, "GenerateDataKeyPairWithoutPlaintext");
  plaintext.fill(0);
  return answer;
}

export async function generateRandom(
  request: KmsRequest,
  input: Valid<GenerateRandomCommandInput>,
): Promise<Answer<GenerateRandomCommandOutput>> {
  const { NumberOfBytes: count, CustomKeyStoreId: keyStoreId } = input;
  if (count === undefined) throw validationFault("NumberOfBytes is required.");
  const recipient = await readRecipient(request, input.Recipient);
  request.authorizeByIdentity("GenerateRandom", "*", { claims: recipient?.claims });
  const plaintext =
    keyStoreId === undefined
      ? randomBytes(count)
      : await request.state.keyStores.random(request, { keyStoreId, count });
  return handOver(request, "GenerateRandom", { plaintext: Uint8Array.from(plaintext), recipient, member: "Plaintext" });
}

function newDataKey({
  NumberOfBytes: count,
  KeySpec: spec,
}: Pick<GenerateDataKeyCommandInput, "NumberOfBytes" | "KeySpec">): Uint8Array {
  if ((count === undefined) === (spec === undefined))
    throw validationFault("Please specify either number of bytes or key spec.");
  return Uint8Array.from(randomBytes(count ?? (spec === "AES_128" ? 16 : 32)));
}

interface Pair extends Omit<Answer<GenerateDataKeyPairWithoutPlaintextCommandOutput>, "KeyMaterialId"> {
  readonly plaintext: Uint8Array;
  readonly recipient: Recipient | undefined;
  readonly key: KeyRow;
}

async function newPair(
  request: KmsRequest,
  input: Valid<GenerateDataKeyPairCommandInput>,
  action: string,
  recipientInput?: RecipientInfo,
): Promise<Pair> {
  // The SDK knows specs that the model here, and so validation, does not.
  const spec = input.KeyPairSpec as KeySpec & DataKeyPairSpec;
  const recipient = await readRecipient(request, recipientInput);
  const named = authorizeGeneration(request, input, action, {
    claims: recipient?.claims,
    keys: { DataKeyPairSpec: spec },
  });
  if (named.key.keyStore)
    throw new AwsFault(
      "UnsupportedOperationException",
      `${named.key.arn} is in a custom key store, which makes no data key pairs.`,
    );
  const plaintext = await (request.state.keyPairs.take(spec) ?? generateKeyMaterial(spec));
  const publicKey = publicKeyOf(spec, plaintext);
  const { blob, material } = await sealUnder(request, named, { plaintext, context: input.EncryptionContext });
  endDryRun(input);
  return {
    ...{ plaintext, recipient, key: named.key },
    PrivateKeyCiphertextBlob: blob,
    PublicKey: publicKey,
    KeyId: named.key.arn,
    KeyPairSpec: spec,
    ...material,
  };
}

interface Sealing {
  readonly action: string;
  readonly plaintext: Uint8Array;
  readonly recipient?: Recipient | undefined;
}

async function seal(
  request: KmsRequest,
  input: GenerationInput,
  { action, plaintext, recipient }: Sealing,
): Promise<Sealed> {
  const named = authorizeGeneration(request, input, action, { claims: recipient?.claims });
  const sealed = await sealUnder(request, named, { plaintext, context: input.EncryptionContext });
  endDryRun(input);
  return sealed;
}

function authorizeGeneration(
  request: KmsRequest,
  input: GenerationInput,
  action: string,
  { claims, keys = {} }: Pick<AuthorizationOptions, "claims" | "keys">,
): NamedKey {
  const named = request.keyOrAlias(input.KeyId);
  request.authorize(action, named, {
    encryptionContext: input.EncryptionContext,
    grantTokens: input.GrantTokens,
    claims,
    keys: { EncryptionAlgorithm: "SYMMETRIC_DEFAULT", ...keys },
  });
  const { key } = named;
  if (key.usage === "ENCRYPT_DECRYPT" && key.spec !== "SYMMETRIC_DEFAULT")
    throw new AwsFault(
      "InvalidKeyUsageException",
      `${key.arn} key spec is ${key.spec} which is not valid for ${action}.`,
    );
  request.assertUsage(key, "ENCRYPT_DECRYPT");
  request.assertState(named, UNUSABLE);
  return named;
}

async function sealUnder(
  request: KmsRequest,
  named: NamedKey,
  { plaintext, context }: { readonly plaintext: Uint8Array; readonly context: Record<string, string> | undefined },
): Promise<Sealed> {
  const blob = await sealWith(request, named, { algorithm: "SYMMETRIC_DEFAULT", context, plaintext });
  const { currentMaterialId: id } = named.family;
  return { named, blob, material: id === undefined || named.key.keyStore ? {} : { KeyMaterialId: id } };
}
