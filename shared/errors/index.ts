/**
 * Every error of the toolkit, by area, and the table of all codes.
 *
 * @module
 */
import { ATTESTATION_TABLE } from "./attestation.ts";
import { CONFIG_TABLE } from "./config.ts";
import { DATA_TABLE } from "./data.ts";
import { EIF_TABLE } from "./eif.ts";
import { ENCLAVE_TABLE } from "./enclave.ts";
import { ENCODING_TABLE } from "./encoding.ts";
import { KMS_TABLE } from "./kms.ts";
import { LAUNCHER_TABLE } from "./launcher.ts";
import { NSM_TABLE } from "./nsm.ts";
import { SESSION_TABLE } from "./session.ts";
import { STATE_TABLE } from "./state.ts";
import type { RefusalKind } from "./toolkit-error.ts";
import { TRANSPORT_TABLE } from "./transport.ts";

export type { AnyAttestationError, AttestationCode, AttestationRefusals } from "./attestation.ts";
export { AttestationError, isAttestationError } from "./attestation.ts";
export type { AnyConfigError, ConfigCode, ConfigRefusals } from "./config.ts";
export { ConfigError, isConfigError } from "./config.ts";
export type { AnyDataError, DataCode, DataRefusals } from "./data.ts";
export { DataError, isDataError } from "./data.ts";
export type { AnyEifError, EifCode, EifRefusals } from "./eif.ts";
export { EifError, isEifError } from "./eif.ts";
export type { AnyEnclaveError, EnclaveCode, EnclaveRefusals } from "./enclave.ts";
export { EnclaveError, isEnclaveError } from "./enclave.ts";
export type { AnyEncodingError, EncodingCode, EncodingRefusals } from "./encoding.ts";
export { EncodingError, isEncodingError } from "./encoding.ts";
export type { AnyKmsError, KmsCode, KmsRefusals } from "./kms.ts";
export { isKmsError, KmsError } from "./kms.ts";
export type { AnyLauncherError, LauncherCode, LauncherRefusals } from "./launcher.ts";
export { isLauncherError, LauncherError } from "./launcher.ts";
export type { AnyNsmError, NsmCode, NsmRefusals } from "./nsm.ts";
export { isNsmError, NsmError } from "./nsm.ts";
export { RemoteError } from "./remote.ts";
export type { AnySessionError, SessionCode, SessionRefusals } from "./session.ts";
export { isSessionError, SessionError } from "./session.ts";
export type { AnyStateError, StateCode, StateRefusals } from "./state.ts";
export { isStateError, StateError } from "./state.ts";
export type { ErrorJson, RefusalKind } from "./toolkit-error.ts";
export { EXIT_CODES, isToolkitError, ToolkitError } from "./toolkit-error.ts";
export type { AnyTransportError, TransportCode, TransportRefusals } from "./transport.ts";
export { isTransportError, TransportError } from "./transport.ts";

/** Every code with its kind: drives exit codes, `docs/errors.md` and the test that each code has a case. */
export const ERROR_CODES: Readonly<Record<string, RefusalKind>> = Object.freeze(
  Object.fromEntries(
    [
      ATTESTATION_TABLE,
      CONFIG_TABLE,
      DATA_TABLE,
      EIF_TABLE,
      ENCLAVE_TABLE,
      ENCODING_TABLE,
      KMS_TABLE,
      LAUNCHER_TABLE,
      NSM_TABLE,
      SESSION_TABLE,
      STATE_TABLE,
      TRANSPORT_TABLE,
    ].flatMap((table) => Object.entries(table).map(([code, entry]) => [code, entry.kind])),
  ),
);
