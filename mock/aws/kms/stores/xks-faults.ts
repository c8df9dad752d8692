/**
 * What KMS tells its caller when an external key store proxy fails: one row for each kind of failure.
 *
 * A row has the message, the exception in each family of operations, and the connection error code. A family without
 * an exception does not ask the proxy what could fail so; a proxy that answers so all the same is not understood.
 *
 * Source: External Key Store Proxy API Specification, "Error codes", "KMS Considerations". The connection error codes
 * are assigned from their descriptions in KMS's API Reference.
 *
 * @module
 */
import { type ConnectionErrorCode, type OperationFamily, StoreFault } from "./backend.ts";

/** Names that a proxy gives, then what KMS finds by itself. */
export type ProxyFailureKind =
  | "ValidationException"
  | "InvalidStateException"
  | "InvalidCiphertextException"
  | "InvalidKeyUsageException"
  | "AuthenticationFailedException"
  | "AccessDeniedException"
  | "KeyNotFoundException"
  | "InvalidUriPathException"
  | "UnsupportedOperationException"
  | "DependencyTimeoutException"
  | "ThrottlingException"
  | "InternalException"
  | "invalid ciphertext"
  | "no TCP connection"
  | "no TLS connection"
  | "socket timeout"
  | "malformed response"
  | "not connected"
  | "wrong key spec"
  | "no key manager";

export interface ProxyFailureRow {
  readonly store?: string;
  readonly "create-key"?: string;
  readonly cryptographic?: string;
  readonly connectionErrorCode: ConnectionErrorCode;
  readonly message: string;
}

const NOT_UNDERSTOOD: ProxyFailureRow = {
  store: "XksProxyInvalidResponseException",
  "create-key": "CustomKeyStoreInvalidStateException",
  cryptographic: "KMSInvalidStateException",
  connectionErrorCode: "XKS_PROXY_INVALID_RESPONSE",
  message:
    "AWS KMS cannot interpret the response from the external key store proxy. If you see this error repeatedly, report it to your external key store proxy administrator.",
};
const UNREACHABLE = {
  store: "XksProxyUriUnreachableException",
  "create-key": "CustomKeyStoreInvalidStateException",
  cryptographic: "KMSInvalidStateException",
} as const;
const UNFIT_KEY = {
  "create-key": "XksKeyInvalidConfigurationException",
  cryptographic: "KMSInvalidStateException",
  connectionErrorCode: "XKS_PROXY_INVALID_RESPONSE",
} as const;
const BAD_CIPHERTEXT = {
  cryptographic: "KMSInvalidStateException",
  connectionErrorCode: "XKS_PROXY_INVALID_RESPONSE",
} as const;

/** What KMS says when the proxy can not get at the key manager, or all of them are down. */
const KEY_MANAGER_AWAY =
  "The external key store proxy rejected the request because it cannot communicate with the external key manager. Verify that the external key store proxy configuration is correct and that the external key manager is available.";

export const PROXY_FAILURES: Readonly<Record<ProxyFailureKind, ProxyFailureRow>> = {
  ValidationException: NOT_UNDERSTOOD,
  InvalidStateException: {
    ...UNFIT_KEY,
    message:
      "The external key associated with this KMS key in an external key store is not enabled in the external key manager. Enable the external key in the external key manager and retry the request.",
  },
  InvalidCiphertextException: {
    ...BAD_CIPHERTEXT,
    message:
      "The external key store proxy rejected the request because the specified ciphertext or encryption context is corrupted, missing, or otherwise invalid.",
  },
  "invalid ciphertext": {
    ...BAD_CIPHERTEXT,
    message:
      "The ciphertext that the external key store proxy submitted for decryption, or the encryption context, is corrupted, missing, or otherwise invalid.",
  },
  InvalidKeyUsageException: {
    ...UNFIT_KEY,
    message:
      "The external key associated with this KMS key in an external key store does not support the requested operation. Enable the operation on the key in your external key manager, and try the request again.",
  },
  AuthenticationFailedException: {
    store: "XksProxyIncorrectAuthenticationCredentialException",
    "create-key": "CustomKeyStoreInvalidStateException",
    cryptographic: "KMSInvalidStateException",
    connectionErrorCode: "INVALID_CREDENTIALS",
    message:
      "The external key store proxy rejected the request because it could not authenticate AWS KMS. Verify the XKS proxy authentication credentials for your external key store and update if necessary.",
  },
  AccessDeniedException: {
    "create-key": "KMSInvalidStateException",
    cryptographic: "KMSInvalidStateException",
    connectionErrorCode: "XKS_PROXY_ACCESS_DENIED",
    message:
      "The external key store proxy denied access to the operation. Verify that the user and the external key are both authorized for this operation, and try the request again.",
  },
  KeyNotFoundException: {
    "create-key": "XksKeyNotFoundException",
    cryptographic: "KMSInvalidStateException",
    connectionErrorCode: "XKS_PROXY_INVALID_RESPONSE",
    message:
      "The external key associated with this KMS key in an external key store was not found in its external key manager. If the external key ID associated with this KMS key is incorrect, create a new KMS key with the correct external key ID.",
  },
  InvalidUriPathException: {
    store: "XksProxyInvalidConfigurationException",
    "create-key": "CustomKeyStoreInvalidStateException",
    cryptographic: "KMSInvalidStateException",
    connectionErrorCode: "XKS_PROXY_INVALID_CONFIGURATION",
    message:
      "The external key store proxy rejected the request because of an invalid URI path. Verify the URI path for your external key store and update if necessary.",
  },
  UnsupportedOperationException: {
    "create-key": "XksKeyInvalidResponseException",
    cryptographic: "KMSInvalidStateException",
    connectionErrorCode: "XKS_PROXY_INVALID_RESPONSE",
    message:
      "The external key store proxy rejected the request because it does not support the requested operation. If you see this error repeatedly, report it to your external key store proxy administrator.",
  },
  DependencyTimeoutException: {
    ...UNREACHABLE,
    connectionErrorCode: "XKS_PROXY_TIMED_OUT",
    message:
      "The external key store proxy did not respond to the request in the time allotted. Retry the request. If you see this error repeatedly, report it to your external key store proxy administrator.",
  },
  ThrottlingException: {
    ...UNREACHABLE,
    connectionErrorCode: "XKS_PROXY_NOT_REACHABLE",
    message:
      "The external key store proxy rejected the request due to a very high request rate. Reduce the frequency of your calls using KMS keys in this external key store.",
  },
  InternalException: { ...NOT_UNDERSTOOD, message: KEY_MANAGER_AWAY },
  "no TCP connection": {
    ...UNREACHABLE,
    connectionErrorCode: "XKS_PROXY_NOT_REACHABLE",
    message:
      "AWS KMS cannot communicate with the external key store proxy. This might be a transient network issue. If you see this error repeatedly, verify that your external key store proxy is active and is connected to the network, and that its endpoint URI is correct in your external keystore.",
  },
  "no TLS connection": {
    ...UNREACHABLE,
    connectionErrorCode: "XKS_PROXY_INVALID_TLS_CONFIGURATION",
    message:
      "AWS KMS cannot establish a TLS connection to the external key store proxy. Verify the TLS configuration, including its certificate.",
  },
  "socket timeout": {
    ...UNREACHABLE,
    connectionErrorCode: "XKS_PROXY_TIMED_OUT",
    message:
      "AWS KMS rejected the request because the external key store proxy did not respond in time. Retry the request. If you see this error repeatedly, report it to your external key store proxy administrator.",
  },
  "malformed response": NOT_UNDERSTOOD,
  "not connected": {
    "create-key": "CustomKeyStoreInvalidStateException",
    cryptographic: "KMSInvalidStateException",
    connectionErrorCode: "INTERNAL_ERROR",
    message:
      "This KMS key is in a custom key store that is not connected to its external key store proxy. Connect the external key store and try the request again.",
  },
  // Not in AWS's table: the exception is what KMS documents, the text is its description.
  "wrong key spec": {
    ...UNFIT_KEY,
    message:
      "The external key must be an AES-256 symmetric key that is enabled and performs encryption and decryption.",
  },
  "no key manager": { ...UNREACHABLE, connectionErrorCode: "XKS_PROXY_NOT_REACHABLE", message: KEY_MANAGER_AWAY },
};

/** What KMS found out about a proxy, before it is told in the words of an operation. */
export class ProxyFailure extends Error {
  override readonly name = "ProxyFailure";
  readonly kind: ProxyFailureKind;
  /** @param detail the proxy's own message or the system's; for the operator's log, never for the caller */
  constructor(kind: ProxyFailureKind, detail: string, options?: ErrorOptions) {
    super(`${kind}: ${detail}`, options);
    this.kind = kind;
  }
}

/** The answer of an operation of that family. */
export function proxyFault(failure: ProxyFailure, family: OperationFamily): StoreFault {
  const { connectionErrorCode, ...row } = PROXY_FAILURES[failure.kind];
  const { [family]: error = NOT_UNDERSTOOD[family] ?? "", message } = row[family] === undefined ? NOT_UNDERSTOOD : row;
  return new StoreFault({ error, message, connectionErrorCode, cause: failure });
}
