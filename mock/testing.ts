/**
 * For tests: a mock AWS and a mock NSM in the test's own process.
 *
 * @module
 */

export type {
  AttestationOutcome,
  CloudTrailEvent,
  Decision,
  Explanation,
  FailedCondition,
  Fault,
  FaultAnswer,
  FaultOperation,
  KeyStoreSettings,
  KnownCredential,
  MessageFault,
  MockAccount,
  MockAws,
  MockAwsOptions,
  MockAwsSeed,
  MockAwsSnapshot,
  MockAwsStatus,
  MockCredential,
  MockKmsOptions,
  MockManagedPolicy,
  MockMfaDevice,
  MockOidcProvider,
  MockPrincipal,
  MockSamlProvider,
  NamedPolicy,
  NearMiss,
  NewCredentials,
  Partition,
  PolicyDocument,
  PolicyStatement,
  QuotaOption,
  SeedAccount,
  Seedable,
  SeedCredential,
  SeedCredentials,
  SeededCredentials,
  SeedKey,
  SeedKeyMembers,
  SeedOutcome,
  SeedPrincipal,
  SeedReplica,
  SeedRoot,
  StatementReference,
  StateOption,
  StateSecret,
  TrailQuery,
  TrailRecord,
} from "./aws/index.ts";
export { loadSeed, newCredentials, startMockAws } from "./aws/index.ts";
export type { MockNsm, MockNsmOptions, MockPki, PkiOptions } from "./nsm/index.ts";
export { createMockNsm, createPki } from "./nsm/index.ts";
