/**
 * A local AWS that enforces attestation as the real one does. No check is relaxed; only the roots are others.
 *
 *   HTTPS on 127.0.0.1 · Signature Version 4 · IAM and key policies · attestation documents verified by the project's
 *   own verifier · CloudTrail-shaped audit
 *
 * Offers KMS whole, STS but for three operations, and four operations of Service Quotas; refuses the rest by name.
 *
 * @module
 */
import { authenticateAttestation } from "../../shared/attestation/authenticate.ts";
import { dangerouslyTrustRoot } from "../../shared/attestation/trust.ts";
import { type MockAws, startEmulator } from "./emulator.ts";
import { DOCUMENT_FUTURE_MS, type MockAwsOptions } from "./options.ts";

export type {
  MockAccount,
  MockCredential,
  MockManagedPolicy,
  MockMfaDevice,
  MockOidcProvider,
  MockPrincipal,
  MockSamlProvider,
} from "./accounts.ts";
export type { NewCredentials } from "./credentials.ts";
export { newCredentials } from "./credentials.ts";
export type { MockAws, MockAwsSnapshot } from "./emulator.ts";
export type { Decision, NamedPolicy } from "./iam/authorize.ts";
export type { FailedCondition, NearMiss, StatementReference } from "./iam/evaluate.ts";
export type { PolicyDocument, PolicyStatement } from "./iam/policy.ts";
export type { Partition } from "./iam/principal.ts";
export type { Fault, FaultAnswer, FaultOperation, MessageFault } from "./kms/faults.ts";
export type { KeyStoreSettings } from "./kms/key-store-connections.ts";
export type { QuotaOption } from "./kms/quotas.ts";
export type { MockKmsOptions } from "./kms/state.ts";
export type { MockAwsOptions } from "./options.ts";
export type { Seedable, SeededCredentials, SeedOutcome } from "./seed.ts";
export { loadSeed } from "./seed.ts";
export type {
  MockAwsSeed,
  SeedAccount,
  SeedCredential,
  SeedCredentials,
  SeedKey,
  SeedKeyMembers,
  SeedPrincipal,
  SeedReplica,
  SeedRoot,
} from "./seed-file.ts";
export type { KnownCredential } from "./sigv4/verify.ts";
export type { StateSecret } from "./state/data-key.ts";
export type { StateOption } from "./state-option.ts";
export type { MockAwsStatus } from "./status.ts";
export type { AttestationOutcome, CloudTrailEvent, Explanation, TrailRecord } from "./trail.ts";
export type { TrailQuery } from "./trail-log.ts";

/**
 * Starts a mock AWS in this process.
 *
 * @throws {ConfigError} options that are not usable, or `NODE_ENV=production`
 */
export function startMockAws(options: MockAwsOptions): Promise<MockAws> {
  const { maxDocumentFutureMs: clockSkewMs = DOCUMENT_FUTURE_MS } = options;
  return startEmulator(options, {
    authenticate: (document, roots, now) =>
      authenticateAttestation(document, { roots: roots.map(dangerouslyTrustRoot), now, clockSkewMs }),
    // Read here and not by the caller: a guard that can be forgotten is none.
    nodeEnv: process.env["NODE_ENV"],
    onBug: (error) => console.error("mock aws: internal failure", error),
  });
}
