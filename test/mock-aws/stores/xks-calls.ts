/** Calls of an external key store's backend, as KMS's operations make them. */
import { AwsFault } from "../../../mock/aws/fault.ts";
import { type KeyRequest, type KeyStoreBackend, StoreFault } from "../../../mock/aws/kms/stores/backend.ts";
import { openExternalKeyStore } from "../../../mock/aws/kms/stores/xks.ts";
import type { ProxyClientOptions } from "../../../mock/aws/kms/stores/xks-client.ts";
import { utf8 } from "../../../shared/bytes.ts";
import { newKey, type XksDouble } from "./xks-double.ts";

export const KEY_ID = "key-1";
export const STORE_REQUEST = { operation: "ConnectCustomKeyStore", requestId: "4112f4d6-db54-4af4-ae30-c55a22a8dfae" };
export const PLAINTEXT: Uint8Array = utf8("plaintext");
export const CONTEXT: Uint8Array = utf8("project=nile,department=marketing");
export const MATERIAL: Uint8Array = new Uint8Array(32).fill(7);

export function keyRequest(operation: string): KeyRequest {
  return {
    operation,
    requestId: STORE_REQUEST.requestId,
    kmsKeyArn: "arn:aws:kms:eu-central-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab",
    principalArn: "arn:aws:iam::111122223333:user/Alice",
  };
}

/** A backend that is connected to the double, which has its key. */
export async function connected(
  double: XksDouble,
  overrides: Partial<ProxyClientOptions> = {},
): Promise<KeyStoreBackend> {
  if (!double.keys.has(KEY_ID)) double.keys.set(KEY_ID, newKey());
  const backend = openExternalKeyStore(double.options(overrides));
  await backend.connect(STORE_REQUEST);
  return backend;
}

export function encrypt(backend: KeyStoreBackend, overrides: { plaintext?: Uint8Array } = {}): Promise<Uint8Array> {
  const { plaintext = PLAINTEXT } = overrides;
  const request = keyRequest("Encrypt");
  return backend.encrypt({ keyId: KEY_ID, request, additionalData: CONTEXT, kmsMaterial: MATERIAL, plaintext });
}

export interface DecryptOverrides {
  readonly operation?: string;
  readonly additionalData?: Uint8Array;
  readonly kmsMaterial?: Uint8Array;
  readonly keyId?: string;
}

export function decrypt(
  backend: KeyStoreBackend,
  blob: Uint8Array,
  { operation = "Decrypt", ...overrides }: DecryptOverrides = {},
): Promise<Uint8Array> {
  const defaults = { keyId: KEY_ID, additionalData: CONTEXT, kmsMaterial: MATERIAL };
  return backend.decrypt({ ...defaults, ...overrides, request: keyRequest(operation), blob });
}

/** What a backend says no with. */
export interface Refusal {
  readonly error: string;
  readonly code: string | undefined;
  readonly fault: AwsFault;
}

export async function refusal(promise: Promise<unknown>): Promise<Refusal> {
  const fault = await promise.then(
    () => undefined,
    (error: unknown) => error,
  );
  if (!(fault instanceof AwsFault)) throw new Error("expected a fault", { cause: fault });
  return { error: fault.error, code: fault instanceof StoreFault ? fault.connectionErrorCode : undefined, fault };
}
