/**
 * What stands behind a custom key store: the seam between KMS's operations and where the keys really are.
 *
 *   CloudHSM key store    a PKCS#11 token         cloudhsm.ts
 *   external key store    an XKS proxy            xks.ts
 *
 * A backend keeps the key and does the cipher; names, policies, key states and the ciphertext's outer frame are KMS's.
 * Every refusal is a `StoreFault`: the answer that KMS gives for it in that operation, so it can be thrown on as it
 * is, and the connection error code that DescribeCustomKeyStores shows when it happens in `connect`.
 *
 * Source: KMS API Reference, CustomKeyStoresListEntry, CustomKeyStoreInvalidStateException.
 *
 * @module
 */
import { AwsFault } from "../../fault.ts";

export type CustomKeyStoreType = "AWS_CLOUDHSM" | "EXTERNAL_KEY_STORE";

/** As in KMS's model. Some say what no backend here can meet, such as a missing subnet. */
export type ConnectionErrorCode =
  | "INVALID_CREDENTIALS"
  | "CLUSTER_NOT_FOUND"
  | "NETWORK_ERRORS"
  | "INTERNAL_ERROR"
  | "INSUFFICIENT_CLOUDHSM_HSMS"
  | "USER_LOCKED_OUT"
  | "USER_NOT_FOUND"
  | "USER_LOGGED_IN"
  | "SUBNET_NOT_FOUND"
  | "INSUFFICIENT_FREE_ADDRESSES_IN_SUBNET"
  | "XKS_PROXY_ACCESS_DENIED"
  | "XKS_PROXY_NOT_REACHABLE"
  | "XKS_VPC_ENDPOINT_SERVICE_NOT_FOUND"
  | "XKS_PROXY_INVALID_RESPONSE"
  | "XKS_PROXY_INVALID_CONFIGURATION"
  | "XKS_VPC_ENDPOINT_SERVICE_INVALID_CONFIGURATION"
  | "XKS_PROXY_TIMED_OUT"
  | "XKS_PROXY_INVALID_TLS_CONFIGURATION";

/** The same failure has another name in each: Create- and UpdateCustomKeyStore · CreateKey · the use of a key. */
export type OperationFamily = "store" | "create-key" | "cryptographic";

export interface StoreFaultFacts {
  readonly error: string;
  readonly message?: string;
  readonly connectionErrorCode: ConnectionErrorCode;
  /** What happened, for the operator's log: never a password, key or plaintext. */
  readonly cause?: unknown;
}

/** The backing store said no, or nothing at all. */
export class StoreFault extends AwsFault {
  readonly connectionErrorCode: ConnectionErrorCode;
  constructor({ error, message = "", connectionErrorCode, cause }: StoreFaultFacts) {
    super(error, message);
    this.connectionErrorCode = connectionErrorCode;
    if (cause !== undefined) this.cause = cause;
  }
}

/** The KMS request that makes KMS turn to the store. */
export interface StoreRequest {
  /** Name of the KMS operation, e.g. `ConnectCustomKeyStore`. */
  readonly operation: string;
  readonly requestId: string;
}

/** One that is about a KMS key; external key managers may authorize by these. */
export interface KeyRequest extends StoreRequest {
  readonly kmsKeyArn: string;
  /** `aws:PrincipalArn` of the caller, or the service's principal. */
  readonly principalArn: string;
  readonly viaService?: string;
  readonly sourceVpc?: string;
  readonly sourceVpce?: string;
}

export interface NewBackingKey {
  readonly request: KeyRequest;
  /** The external key to use; an external store makes none, and a CloudHSM store takes none. */
  readonly xksKeyId?: string;
}

interface CipherRequest {
  readonly keyId: string;
  readonly request: KeyRequest;
  /** Bound to the ciphertext: the same bytes are needed to decrypt. At most 8192. */
  readonly additionalData: Uint8Array;
  /**
   * KMS's own key material for this KMS key, 32 bytes: an external store's inner layer is under it, so the proxy never
   * sees the caller's plaintext. A CloudHSM store has no such layer and does not look at it.
   */
  readonly kmsMaterial: Uint8Array;
}

export interface EncryptWithStore extends CipherRequest {
  readonly plaintext: Uint8Array;
}

export interface DecryptWithStore extends CipherRequest {
  /** What `encrypt` gave. */
  readonly blob: Uint8Array;
}

/** Every method may throw `StoreFault`; `decrypt` also `AwsFault` InvalidCiphertextException. */
export interface KeyStoreBackend extends AsyncDisposable {
  readonly type: CustomKeyStoreType;
  /** What Create- and UpdateCustomKeyStore ask of the store. Connects nothing. */
  check(request: StoreRequest): Promise<void>;
  connect(request: StoreRequest): Promise<void>;
  disconnect(): Promise<void>;
  /** Makes a key, or takes the external one. Resolves with the backing key's id. */
  createKey(key: NewBackingKey): Promise<string>;
  /** Whether the key is there and fit for use. */
  findKey(keyId: string, request: KeyRequest): Promise<boolean>;
  /** Resolves with a blob of the backend's own form. */
  encrypt(what: EncryptWithStore): Promise<Uint8Array>;
  decrypt(what: DecryptWithStore): Promise<Uint8Array>;
  /** An external key stays: it is its owner's. */
  deleteKey(keyId: string): Promise<void>;
  /** GenerateRandom; CloudHSM key stores only. */
  randomBytes?(count: number): Promise<Uint8Array>;
}

/** @throws {RangeError} a programmer's mistake: KMS has limited these before */
export function assertCipherRequest({ additionalData, kmsMaterial }: CipherRequest): void {
  if (additionalData.length > 8192)
    throw new RangeError(`additionalData must have at most 8192 bytes, it has ${additionalData.length}`);
  if (kmsMaterial.length !== 32) throw new RangeError(`kmsMaterial must have 32 bytes, it has ${kmsMaterial.length}`);
}
