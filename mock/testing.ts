/**
 * For tests: a mock AWS and a mock NSM in the test's own process.
 *
 * @module
 */

export type { Fault, MockAccount, MockAws, MockAwsOptions, MockCredential, TrailRecord } from "./aws/index.ts";
export { newCredentials, startMockAws } from "./aws/index.ts";
export type { MockNsm, MockNsmOptions, MockPki, PkiOptions } from "./nsm/index.ts";
export { createMockNsm, createPki } from "./nsm/index.ts";
