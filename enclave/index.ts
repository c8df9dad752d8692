/**
 * What runs inside an enclave.
 *
 * @module
 */

export { CONFIGURATION_PCR, configurationDigest, configurationPcr } from "../shared/configuration/document.ts";
export type { ByteStream } from "../shared/envelope/byte-source.ts";
export type { OpenStreamOptions, Rereadable } from "../shared/envelope/open-stream.ts";
export { openStream } from "../shared/envelope/open-stream.ts";
export type { SealStreamOptions, Suite } from "../shared/envelope/seal-stream.ts";
export { sealStream } from "../shared/envelope/seal-stream.ts";
export type {
  EncryptionContext,
  KmsCalls,
  MaterialsSource,
  OpenOptions,
  SealOptions,
} from "../shared/envelope/sealed.ts";
export { open, seal } from "../shared/envelope/sealed.ts";
export type { NsmDevice } from "../shared/nsm/device.ts";
export type { EnclaveApp } from "./app/define.ts";
export { defineEnclave } from "./app/define.ts";
export type { AttestRequest, EnclaveEnv } from "./app/env.ts";
export type { Handler, HttpServer, ServeLimits, ServeOptions } from "./app/http.ts";
export { serveHttp } from "./app/http.ts";
export type { EnclaveDefinition, ParentConfigReader, RunningEnclave, StartOptions } from "./app/start.ts";
export { startEnclave } from "./app/start.ts";
export type { MaterialsCache, MaterialsCacheOptions } from "./data/materials-cache.ts";
export { createMaterialsCache } from "./data/materials-cache.ts";
export type { Anchor, AnchorPoint, SealedState, SealedStateOptions, StateVersion } from "./data/sealed-state.ts";
export { createSealedState } from "./data/sealed-state.ts";
export type { SealedStoreOptions } from "./data/sealed-store.ts";
export { createSealedStore } from "./data/sealed-store.ts";
export type { ObjectStore, S3Calls, S3StoreOptions } from "./data/stores.ts";
export { createFolderStore, createS3Store } from "./data/stores.ts";
export type { EgressFetch } from "./egress/fetch.ts";
export { createFetch } from "./egress/fetch.ts";
export type { EgressAgentOptions, EnclaveLog } from "./egress/index.ts";
export { connectThroughParent, createEgressAgent, createLog, parentCredentials } from "./egress/index.ts";
export { defineExec } from "./exec/define.ts";
export type { ExecDefinition } from "./exec/start.ts";
export type { AttestedOptions } from "./kms/attested.ts";
export { attested } from "./kms/attested.ts";
export type { CallOptions, RetryOptions } from "./kms/calls.ts";
export type { CircuitOptions } from "./kms/circuit.ts";
export type { AttestedKmsOptions } from "./kms/client.ts";
export { createAttestedKms, kmsFailure } from "./kms/client.ts";
export type { DocumentOptions } from "./kms/documents.ts";
export type { RecipientKeyPool, RecipientKeys, RecipientKeysOptions } from "./kms/recipient-keys.ts";
export { createRecipientKeys } from "./kms/recipient-keys.ts";
export type { NsmDeviceOptions } from "./nsm/device.ts";
export { openNsmDevice } from "./nsm/device.ts";
export { openNsmSocket } from "./nsm/socket.ts";
export type { KeySync, KeySyncOptions } from "./peers/key-sync.ts";
export { createKeySync } from "./peers/key-sync.ts";
export type { PeerSession, PeerSessions, PeerSessionsOptions } from "./peers/peer-sessions.ts";
export { createPeerSessions } from "./peers/peer-sessions.ts";
export type { SameImageOptions } from "./peers/same-image.ts";
export { sameImagePolicy } from "./peers/same-image.ts";
export type { Platform } from "./platform.ts";
export type { ResultSigner } from "./result.ts";
export { createResultSigner } from "./result.ts";
export type { CertificateOptions, ShownCertificate } from "./tls/acme.ts";
export { obtainCertificate } from "./tls/acme.ts";
export type { AttestedTls, AttestedTlsLimits, AttestedTlsOptions } from "./tls/attested-tls.ts";
export { createAttestedTls } from "./tls/attested-tls.ts";
export type { SealedRequestLimits, SealedRequests, SealedRequestsOptions } from "./tls/sealed-requests.ts";
export { createSealedRequests } from "./tls/sealed-requests.ts";
