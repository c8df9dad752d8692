/**
 * Sign, Verify, GenerateMac, VerifyMac, DeriveSharedSecret.
 *
 *   shape → authorization → usage → key state → algorithm, message and signature → dry run
 *
 * Source: KMS API Reference.
 *
 * @module
 */
import type {
  DeriveSharedSecretCommandInput,
  DeriveSharedSecretCommandOutput,
  GenerateMacCommandInput,
  GenerateMacCommandOutput,
  SignCommandInput,
  SignCommandOutput,
  VerifyCommandInput,
  VerifyCommandOutput,
  VerifyMacCommandInput,
  VerifyMacCommandOutput,
} from "@aws-sdk/client-kms";
import {
  verifyMac as checkMac,
  verify as checkSignature,
  generateMac as computeMac,
  deriveSharedSecret as derive,
  type KeyUsage,
  sign as makeSignature,
} from "../algorithms/index.ts";
import { currentMaterial } from "../key-cipher.ts";
import { UNUSABLE } from "../key-state.ts";
import { handOver, readRecipient } from "../recipient-answer.ts";
import { type AuthorizationOptions, endDryRun, type KmsRequest } from "../request.ts";
import type { KeyRow } from "../rows.ts";
import type { Answer, Valid } from "./operation.ts";

interface UsableKey {
  readonly key: KeyRow;
  readonly material: Uint8Array;
}

export function sign(request: KmsRequest, input: Valid<SignCommandInput>): Answer<SignCommandOutput> {
  const { Message: message, MessageType: messageType = "RAW", SigningAlgorithm: algorithm } = input;
  const { key, material } = usable(request, input, {
    usage: "SIGN_VERIFY",
    keys: { MessageType: messageType, SigningAlgorithm: algorithm },
  });
  const signature = makeSignature({ spec: key.spec, material, algorithm, messageType, message });
  endDryRun(input);
  return { KeyId: key.arn, Signature: signature, SigningAlgorithm: algorithm };
}

export function verify(request: KmsRequest, input: Valid<VerifyCommandInput>): Answer<VerifyCommandOutput> {
  const { Message: message, MessageType: messageType = "RAW", SigningAlgorithm: algorithm } = input;
  const { key, material } = usable(request, input, {
    usage: "SIGN_VERIFY",
    keys: { MessageType: messageType, SigningAlgorithm: algorithm },
  });
  checkSignature({ spec: key.spec, material, algorithm, messageType, message, signature: input.Signature });
  endDryRun(input);
  return { KeyId: key.arn, SignatureValid: true, SigningAlgorithm: algorithm };
}

export function generateMac(
  request: KmsRequest,
  input: Valid<GenerateMacCommandInput>,
): Answer<GenerateMacCommandOutput> {
  const { Message: message, MacAlgorithm: algorithm } = input;
  const { key, material } = usable(request, input, {
    usage: "GENERATE_VERIFY_MAC",
    keys: { MacAlgorithm: algorithm },
  });
  const mac = computeMac({ spec: key.spec, material, algorithm, message });
  endDryRun(input);
  return { Mac: mac, MacAlgorithm: algorithm, KeyId: key.arn };
}

export function verifyMac(request: KmsRequest, input: Valid<VerifyMacCommandInput>): Answer<VerifyMacCommandOutput> {
  const { Message: message, MacAlgorithm: algorithm, Mac: mac } = input;
  const { key, material } = usable(request, input, {
    usage: "GENERATE_VERIFY_MAC",
    keys: { MacAlgorithm: algorithm },
  });
  checkMac({ spec: key.spec, material, algorithm, message, mac });
  endDryRun(input);
  return { KeyId: key.arn, MacValid: true, MacAlgorithm: algorithm };
}

export async function deriveSharedSecret(
  request: KmsRequest,
  input: Valid<DeriveSharedSecretCommandInput>,
): Promise<Answer<DeriveSharedSecretCommandOutput>> {
  const { KeyAgreementAlgorithm: algorithm, PublicKey: publicKey } = input;
  const recipient = await readRecipient(request, input.Recipient);
  const { key, material } = usable(request, input, {
    usage: "KEY_AGREEMENT",
    claims: recipient?.claims,
    keys: { KeyAgreementAlgorithm: algorithm },
  });
  const plaintext = derive({ spec: key.spec, material, publicKey });
  endDryRun(input);
  return {
    KeyId: key.arn,
    ...handOver(request, "DeriveSharedSecret", { key, plaintext, recipient, member: "SharedSecret" }),
    KeyAgreementAlgorithm: algorithm,
    KeyOrigin: key.origin,
  };
}

interface Use extends Pick<AuthorizationOptions, "claims" | "keys"> {
  readonly usage: KeyUsage;
}

function usable(
  request: KmsRequest,
  {
    KeyId: keyId,
    GrantTokens: grantTokens,
  }: { readonly KeyId: string; readonly GrantTokens?: readonly string[] | undefined },
  { usage, ...facts }: Use,
): UsableKey {
  const named = request.keyOrAlias(keyId);
  request.authorize(request.call.operation, named, { grantTokens, ...facts });
  request.assertUsage(named.key, usage);
  request.assertState(named, UNUSABLE);
  return { key: named.key, material: currentMaterial(named).bytes };
}
