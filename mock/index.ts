/**
 * Mock mode: the Nitro hardware and AWS, emulated without relaxing a check, under roots made for the run.
 *
 * @module
 */

export type { MockAws, MockAwsOptions, MockAwsSeed, SeedOutcome } from "./aws/index.ts";
export { loadSeed, newCredentials, startMockAws } from "./aws/index.ts";
export type { EmulatedLauncherOptions } from "./launcher/emulated.ts";
export { createEmulatedLauncher } from "./launcher/emulated.ts";
export type { MockLauncherOptions } from "./launcher/mock.ts";
export { createMockLauncher } from "./launcher/mock.ts";
export type {
  EnclaveStatus,
  Hypervisor,
  MockNsm,
  MockNsmOptions,
  RunOptions,
  StartedEnclave,
  StartHypervisorOptions,
} from "./nsm/index.ts";
export { createMockNsm, createPki, startHypervisor } from "./nsm/index.ts";
