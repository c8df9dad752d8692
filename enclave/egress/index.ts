/**
 * The enclave's ways out, all through the parent, none of them trusting it.
 *
 * @module
 */

export type { EgressAgentOptions } from "./agent.ts";
export { createEgressAgent } from "./agent.ts";
export type { ConnectThroughParentOptions } from "./connect.ts";
export { connectThroughParent } from "./connect.ts";
export type { AwsCredentials, ParentCredentialsOptions } from "./credentials.ts";
export { parentCredentials } from "./credentials.ts";
export type { EnclaveLog, LogLevel, LogOptions } from "./log.ts";
export { createLog } from "./log.ts";
