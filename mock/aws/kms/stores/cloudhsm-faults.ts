/**
 * What KMS says when a CloudHSM cluster's token does not do what it was asked.
 *
 * PKCS#11 has no words for clusters, so its return values are assigned to KMS's connection error codes from their
 * descriptions. AWS documents the exceptions and not their texts.
 *
 * Source: KMS API Reference, CustomKeyStoresListEntry ConnectionErrorCode; PKCS#11 v2.40 §5.1.
 *
 * @module
 */
import { type ConnectionErrorCode, type OperationFamily, StoreFault } from "./backend.ts";
import type { TokenFailure } from "./pkcs11-process.ts";

/** By return value, at whatever step it comes. */
const BY_REASON: Readonly<Record<string, ConnectionErrorCode>> = {
  CKR_PIN_INCORRECT: "INVALID_CREDENTIALS",
  CKR_PIN_INVALID: "INVALID_CREDENTIALS",
  CKR_PIN_LEN_RANGE: "INVALID_CREDENTIALS",
  CKR_PIN_EXPIRED: "INVALID_CREDENTIALS",
  CKR_PIN_LOCKED: "USER_LOCKED_OUT",
  CKR_USER_PIN_NOT_INITIALIZED: "USER_NOT_FOUND",
  CKR_USER_TYPE_INVALID: "USER_NOT_FOUND",
  CKR_USER_ALREADY_LOGGED_IN: "USER_LOGGED_IN",
  CKR_USER_ANOTHER_ALREADY_LOGGED_IN: "USER_LOGGED_IN",
  CKR_TOKEN_NOT_PRESENT: "INSUFFICIENT_CLOUDHSM_HSMS",
  CKR_TOKEN_NOT_RECOGNIZED: "INSUFFICIENT_CLOUDHSM_HSMS",
  CKR_DEVICE_REMOVED: "INSUFFICIENT_CLOUDHSM_HSMS",
  CKR_DEVICE_ERROR: "NETWORK_ERRORS",
  CKR_GENERAL_ERROR: "NETWORK_ERRORS",
  CKR_FUNCTION_FAILED: "NETWORK_ERRORS",
};

/** By the step of opening, when the return value says no more. */
const BY_STEP: Readonly<Record<string, ConnectionErrorCode>> = {
  initialize: "NETWORK_ERRORS",
  slots: "INSUFFICIENT_CLOUDHSM_HSMS",
  token: "CLUSTER_NOT_FOUND",
};

const STORE_EXCEPTIONS: Readonly<Partial<Record<ConnectionErrorCode, string>>> = {
  CLUSTER_NOT_FOUND: "CloudHsmClusterNotFoundException",
  INSUFFICIENT_CLOUDHSM_HSMS: "CloudHsmClusterInvalidConfigurationException",
};

export function tokenFault(failure: TokenFailure, family: OperationFamily): StoreFault {
  const connectionErrorCode = codeOf(failure);
  const error = {
    store: STORE_EXCEPTIONS[connectionErrorCode] ?? "KMSInternalException",
    "create-key": "CustomKeyStoreInvalidStateException",
    cryptographic: "KMSInvalidStateException",
  }[family];
  return new StoreFault({ error, connectionErrorCode, cause: failure });
}

function codeOf({ kind, step, reason }: TokenFailure): ConnectionErrorCode {
  if (kind === "late" || kind === "lost") return "NETWORK_ERRORS";
  if (kind !== "open") return "INTERNAL_ERROR";
  return BY_REASON[reason] ?? BY_STEP[step] ?? "INTERNAL_ERROR";
}
