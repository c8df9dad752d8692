/**
 * For tests: a mock AWS and a mock NSM in the test's own process.
 *
 * @module
 */

export type {
  Fault,
  MockAccount,
  MockAws,
  MockAwsOptions,
  MockAwsSeed,
  MockCredential,
  SeedOutcome,
  TrailRecord,
} from "./aws/index.ts";
export { loadSeed, newCredentials, startMockAws } from "./aws/index.ts";
export type { MockNsm, MockNsmOptions, MockPki, PkiOptions } from "./nsm/index.ts";
export { createMockNsm, createPki } from "./nsm/index.ts";
