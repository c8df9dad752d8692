/**
 * What runs inside an enclave.
 *
 * @module
 */

export type { OpenOptions } from "../shared/envelope/sealed.ts";
export { open } from "../shared/envelope/sealed.ts";
export type { NsmDevice } from "../shared/nsm/device.ts";
export type { EgressAgentOptions, EnclaveLog } from "./egress/index.ts";
export { connectThroughParent, createEgressAgent, createLog, parentCredentials } from "./egress/index.ts";
export type { Handler, ServeOptions } from "./http.ts";
export { serveHttp } from "./http.ts";
export type { AttestedOptions } from "./kms/attested.ts";
export { attested } from "./kms/attested.ts";
export type { AttestedKmsOptions } from "./kms/client.ts";
export { createAttestedKms, kmsFailure } from "./kms/client.ts";
export type { RecipientKeys } from "./kms/recipient-keys.ts";
export { createRecipientKeys } from "./kms/recipient-keys.ts";
export type { NsmDeviceOptions } from "./nsm/device.ts";
export { openNsmDevice } from "./nsm/device.ts";
export { openNsmSocket } from "./nsm/socket.ts";
export type { Platform } from "./platform.ts";
export type { ResultSigner } from "./result.ts";
export { createResultSigner } from "./result.ts";
