/**
 * Step 3: the signed claims satisfy the policy.
 *
 * Takes authentic claims only. Order: kind, debug mode, measurements, instance, freshness, challenge, content; the first
 * that fails names the refusal.
 *
 * Source: AWS attestation_process.md §3.2.3.4; docs.aws.amazon.com "Cryptographic attestation" (PCR meanings).
 *
 * @module
 */
import { concat, equalBytes, isAllZero, toHex, utf8 } from "../bytes.ts";
import { AttestationError } from "../errors/attestation.ts";
import type { Clock } from "./clock.ts";
import type { AuthenticAttestation } from "./document.ts";
import type { Policy } from "./policy.ts";
import { readUserData } from "./user-data.ts";

const DEBUG_REGISTERS = [0, 1, 2] as const;
const INSTANCE_REGISTER = 4;

/** @throws {AttestationError} */
export async function appraise(
  attestation: AuthenticAttestation,
  policy: Policy,
  { now, clockSkewMs }: Clock,
): Promise<{ readonly debug: boolean }> {
  if (attestation.kind !== policy.kind) {
    throw new AttestationError("ERR_ATTESTATION_KIND", { expected: policy.kind, actual: attestation.kind });
  }
  const debug = checkDebug(attestation, policy);
  checkImages(attestation, policy);
  checkRevoked(attestation, policy);
  if (attestation.kind === "nsm") await checkInstance(attestation);
  checkAge(attestation, policy, now, clockSkewMs);
  checkNonce(attestation, policy);
  checkUserData(attestation, policy);
  checkContent("ERR_ATTESTATION_PUBLIC_KEY_MISMATCH", policy.publicKey, attestation.publicKey);
  return { debug };
}

/** In debug mode PCR0, PCR1 and PCR2 are zero while others, PCR3 and PCR4, are not. */
function checkDebug(attestation: AuthenticAttestation, policy: Policy): boolean {
  if (attestation.kind !== "nsm") return false;
  const index = DEBUG_REGISTERS.find((register) => isAllZero(attestation.pcrs.get(register) ?? Uint8Array.of(1)));
  if (index === undefined) return false;
  if (!policy.allowDebug) throw new AttestationError("ERR_ATTESTATION_DEBUG_MODE", { index });
  return true;
}

/** One image must match in all its registers; where none does, the nearest one names the register that differs. */
function checkImages({ pcrs }: AuthenticAttestation, policy: Policy): void {
  const mismatches = policy.images.map((image) =>
    [...image].filter(([index, expected]) => !equalBytes(pcrs.get(index) ?? new Uint8Array(0), expected)),
  );
  // Throws for a policy without images, which `readPolicy` lets nobody make.
  const [mismatch] = mismatches.reduce((nearest, other) => (other.length < nearest.length ? other : nearest));
  if (!mismatch) return;
  const [index, expected] = mismatch;
  const actual = pcrs.get(index);
  throw new AttestationError("ERR_ATTESTATION_PCR_MISMATCH", {
    index,
    expected: toHex(expected),
    actual: actual ? toHex(actual) : "absent",
  });
}

function checkRevoked({ pcrs }: AuthenticAttestation, policy: Policy): void {
  const isRevoked = policy.revokedImages.some((image) =>
    [...image].every(([index, value]) => equalBytes(pcrs.get(index) ?? new Uint8Array(0), value)),
  );
  if (!isRevoked) return;
  throw new AttestationError("ERR_ATTESTATION_IMAGE_REVOKED", { pcr0: toHex(pcrs.get(0) ?? new Uint8Array(0)) });
}

/** PCR4 = SHA-384(0^48 ‖ instance id) in every genuine document, debug ones included. */
async function checkInstance({ moduleId, pcrs }: AuthenticAttestation): Promise<void> {
  const pcr4 = pcrs.get(INSTANCE_REGISTER);
  if (!pcr4) return;
  const instanceId = /^(i-[0-9a-f]{8,32})-enc[0-9a-f]+$/.exec(moduleId)?.[1];
  const measured = concat(new Uint8Array(48), utf8(instanceId ?? ""));
  const expected = new Uint8Array(await crypto.subtle.digest("SHA-384", Uint8Array.from(measured)));
  if (!instanceId || !equalBytes(pcr4, expected)) {
    throw new AttestationError("ERR_ATTESTATION_MODULE_ID_MISMATCH", { moduleId });
  }
}

function checkAge(attestation: AuthenticAttestation, policy: Policy, now: Date, clockSkewMs: number): void {
  const ageMs = now.getTime() - attestation.timestamp.getTime();
  const refuse = (rule: string): AttestationError =>
    new AttestationError("ERR_ATTESTATION_TIMESTAMP", {
      timestamp: attestation.timestamp.toISOString(),
      now: now.toISOString(),
      rule,
    });
  if (ageMs < -clockSkewMs) throw refuse("it must not come from the future");
  if (policy.maxAgeMs !== "unchecked" && ageMs > policy.maxAgeMs) {
    throw new AttestationError("ERR_ATTESTATION_STALE", { ageMs, maxAgeMs: policy.maxAgeMs });
  }
}

function checkNonce({ nonce }: AuthenticAttestation, policy: Policy): void {
  if (policy.nonce === "unchecked") return;
  if (nonce && equalBytes(nonce, policy.nonce)) return;
  throw new AttestationError("ERR_ATTESTATION_NONCE_MISMATCH", {
    expectedBytes: policy.nonce.length,
    actualBytes: nonce?.length ?? -1,
  });
}

function checkUserData({ userData }: AuthenticAttestation, { userData: expected }: Policy): void {
  if (expected === "unchecked" || expected instanceof Uint8Array) {
    checkContent("ERR_ATTESTATION_USER_DATA_MISMATCH", expected, userData);
    return;
  }
  const { purpose, digest, minimumImageVersion } = expected;
  const said = userData && readUserData(userData);
  const vouches = digest === "unchecked" || (said && equalBytes(said.digest, digest));
  if (said?.purpose !== purpose || !vouches) {
    const expectedBytes = digest === "unchecked" ? 0 : digest.length;
    throw new AttestationError("ERR_ATTESTATION_USER_DATA_MISMATCH", {
      expectedBytes,
      actualBytes: userData?.length ?? -1,
    });
  }
  const actual = said.imageVersion ?? -1;
  if (minimumImageVersion !== "unchecked" && actual < minimumImageVersion) {
    throw new AttestationError("ERR_ATTESTATION_IMAGE_VERSION", { minimum: minimumImageVersion, actual });
  }
}

function checkContent(
  code: "ERR_ATTESTATION_USER_DATA_MISMATCH" | "ERR_ATTESTATION_PUBLIC_KEY_MISMATCH",
  expected: Uint8Array | "unchecked",
  actual: Uint8Array | undefined,
): void {
  if (expected === "unchecked" || (actual && equalBytes(actual, expected))) return;
  throw new AttestationError(code, { expectedBytes: expected.length, actualBytes: actual?.length ?? -1 });
}
