/**
 * Decides whether a request's attestation document is one, before any policy is asked.
 *
 *   1. shape       both members of Recipient are there
 *   2. authentic   the project's verifier: bytes, signature, chain, a trusted root, certificate times
 *   3. age         not from the future beyond a tolerance, not older than the setting
 *   4. key         public_key is the DER of an RSA-2048 SubjectPublicKeyInfo
 *
 * Every refusal is a ValidationException. AWS documents neither its text nor a maximum age, so no client should depend
 * on either. No register is judged here, and a debug document passes: PCR conditions in policies decide. Nonce and
 * user_data are ignored, and a document may come again while it is young, as with KMS.
 *
 * Source: KMS Developer Guide, "Cryptographic attestation"; aws-nitro-enclaves-sdk-c docs/kms-apis.
 *
 * @module
 */
import { createPublicKey, type KeyObject } from "node:crypto";
import type { RecipientInfo } from "@aws-sdk/client-kms";
import type { Claims } from "../../../shared/attestation/document.ts";
import { equalBytes, toHex } from "../../../shared/bytes.ts";
import { isAttestationError } from "../../../shared/errors/index.ts";
import { type AwsFault, validationFault } from "../fault.ts";
import type { JsonObject } from "../json.ts";
import type { AttestationOutcome, Audit } from "../trail.ts";

/** What KMS takes from an authentic document. */
export type AttestedClaims = Pick<Claims, "kind" | "moduleId" | "timestamp" | "pcrs" | "publicKey">;

/** Parses and authenticates a document; rejects with `AttestationError`. */
export type VerifyDocument = (document: Uint8Array, now: Date) => Promise<AttestedClaims>;

export interface RecipientRules {
  readonly verifyDocument: VerifyDocument;
  /** Oldest document that is accepted, in milliseconds. */
  readonly maxDocumentAgeMs: number;
  /**
   * How far a document may be ahead of this clock, in milliseconds; nothing if absent. A document that a slower clock
   * has not come to yet is not forged: it only lives so much longer.
   */
  readonly maxDocumentFutureMs?: number;
  /** The time of those who bring documents, at a time of the emulator; the same if absent. */
  readonly clientTime?: (now: Date) => Date;
}

export interface Recipient {
  readonly claims: AttestedClaims;
  /** DER SubjectPublicKeyInfo, RSA-2048. */
  readonly publicKey: Uint8Array;
}

const FAILED = "Failed to verify the attestation document";

/** @throws {AwsFault} `ValidationException` */
export async function verifyRecipient(
  input: RecipientInfo,
  { verifyDocument, maxDocumentAgeMs, maxDocumentFutureMs = 0 }: RecipientRules,
  now: Date,
  audit: Audit,
): Promise<Recipient> {
  const { AttestationDocument: document, KeyEncryptionAlgorithm: algorithm } = input;
  if (!document) throw validationFault("Recipient requires AttestationDocument.");
  if (algorithm === undefined) throw validationFault("Recipient requires KeyEncryptionAlgorithm.");
  let claims: AttestedClaims;
  try {
    claims = await verifyDocument(document, now);
  } catch (error) {
    if (!isAttestationError(error)) throw error;
    throw refuse(audit, error.code, error.message);
  }
  const ageMs = now.getTime() - claims.timestamp.getTime();
  if (ageMs < -maxDocumentFutureMs)
    throw refuse(audit, "ERR_ATTESTATION_TIMESTAMP", `made ${-ageMs} ms after this clock's time`);
  if (ageMs > maxDocumentAgeMs)
    throw refuse(audit, "ERR_ATTESTATION_STALE", `${ageMs} ms old, at most ${maxDocumentAgeMs} ms are accepted`);
  const { publicKey } = claims;
  if (!publicKey || !isRsa2048(publicKey))
    throw refuse(
      audit,
      "ERR_ATTESTATION_PUBLIC_KEY_MISMATCH",
      "public_key must be RSA-2048 as DER SubjectPublicKeyInfo",
    );
  audit.attestation = outcomeOf(claims);
  return { claims, publicKey };
}

function refuse(audit: Audit, code: string, reason: string): AwsFault {
  audit.attestation = { kind: "refused", code, reason };
  return validationFault(FAILED);
}

function isRsa2048(der: Uint8Array): boolean {
  let key: KeyObject;
  try {
    key = createPublicKey({ key: Buffer.from(der), format: "der", type: "spki" });
  } catch {
    return false; // not a key at all: the caller refuses it like a key of another kind
  }
  const canonical = key.export({ format: "der", type: "spki" });
  return (
    key.asymmetricKeyType === "rsa" && key.asymmetricKeyDetails?.modulusLength === 2048 && equalBytes(canonical, der)
  );
}

function outcomeOf(claims: AttestedClaims): AttestationOutcome {
  const pcrs = Object.fromEntries(
    [...claims.pcrs].map(([index, value]) => [registerName(claims, index), toHex(value)]),
  );
  return { kind: "verified", moduleId: claims.moduleId, timestamp: claims.timestamp.toISOString(), pcrs };
}

/** As condition keys call it: a NitroTPM's registers are never an enclave's. */
export function registerName({ kind }: AttestedClaims, index: number): string {
  return kind === "nsm" ? `PCR${index}` : `NitroTPMPCR${index}`;
}

/** CloudTrail's `additionalEventData.recipient`: digests in base64. */
export function recipientEventData(claims: AttestedClaims): JsonObject {
  const digests = [0, 1, 2, 3, 4, 8].flatMap((index) => {
    const value = claims.kind === "nsm" ? claims.pcrs.get(index) : undefined;
    const name = index === 0 ? "EnclaveImageDigest" : `EnclavePCR${index}`;
    return value ? [[`attestationDocument${name}`, Buffer.from(value).toString("base64")] as const] : [];
  });
  return { attestationDocumentModuleId: claims.moduleId, ...Object.fromEntries(digests) };
}
