/**
 * A custom key store whose keys are in somebody else's key manager, behind a proxy.
 *
 * KMS encrypts first with material of its own, and gives only that to the proxy (inner-layer.ts): a caller of this
 * backend hands over its plaintext and the KMS key's material. What comes back is one blob:
 *
 *   version 1 · length, ciphertext metadata · length, initialization vector · tag (16) · ciphertext
 *
 * Not connected, nothing is asked. A proxy that fails does not disconnect the store: the next request asks it again.
 *
 * Source: External Key Store Proxy API Specification v1; KMS Developer Guide, "External key stores".
 *
 * @module
 */
import { concat } from "../../../../shared/bytes.ts";
import { AwsFault } from "../../fault.ts";
import type { JsonObject } from "../../json.ts";
import {
  assertCipherRequest,
  type DecryptWithStore,
  type EncryptWithStore,
  type KeyRequest,
  type KeyStoreBackend,
  type NewBackingKey,
  type OperationFamily,
  type StoreRequest,
} from "./backend.ts";
import { openInner, sealInner } from "./inner-layer.ts";
import { type ProxyCiphertext, readDecrypted, readEncrypted, readHealth, readMetadata } from "./xks-answers.ts";
import { ProxyClient, type ProxyClientOptions } from "./xks-client.ts";
import { ProxyFailure, proxyFault } from "./xks-faults.ts";

const ENDPOINT = /^https:\/\/[a-zA-Z0-9.-]+$/;
const PATH = /^(\/[a-zA-Z0-9/_-]+)?\/kms\/xks\/v\d{1,2}$/;
const KEY_ID = /^[a-zA-Z0-9._-]{1,128}$/;
const ACCESS_KEY_ID = /^[A-Z2-7]{20,30}$/;
const SECRET = /^[a-zA-Z0-9/+=]{43,64}$/;
const BLOB_VERSION = 1;

/**
 * Opens no connection before it is asked.
 *
 * @throws {TypeError} an option that KMS's model does not allow; the service has validated them before
 */
export function openExternalKeyStore(options: ProxyClientOptions): KeyStoreBackend {
  const { uriEndpoint, uriPath, credential } = options;
  if (!ENDPOINT.test(uriEndpoint)) throw new TypeError("uriEndpoint must be https:// and a host name");
  if (!PATH.test(uriPath)) throw new TypeError("uriPath must end with /kms/xks/v1");
  if (!ACCESS_KEY_ID.test(credential.accessKeyId) || !SECRET.test(credential.rawSecretAccessKey))
    throw new TypeError("credential must have the form of an XKS proxy credential");
  return new ExternalKeyStore(new ProxyClient(options));
}

class ExternalKeyStore implements KeyStoreBackend {
  readonly type = "EXTERNAL_KEY_STORE";
  readonly #proxy: ProxyClient;
  #connected = false;

  constructor(proxy: ProxyClient) {
    this.#proxy = proxy;
  }

  async check(request: StoreRequest): Promise<void> {
    const { operation: kmsOperation, requestId: kmsRequestId } = request;
    await told("store", async () =>
      readHealth(await this.#proxy.call("/health", { requestMetadata: { kmsOperation, kmsRequestId } })),
    );
  }

  async connect(request: StoreRequest): Promise<void> {
    await this.check(request);
    this.#connected = true;
  }

  async disconnect(): Promise<void> {
    this.#connected = false;
  }

  async createKey({ request, xksKeyId: keyId }: NewBackingKey): Promise<string> {
    if (keyId === undefined) throw new TypeError("an external key store needs xksKeyId");
    await told("create-key", () => this.#metadata(keyId, request));
    return keyId;
  }

  async findKey(keyId: string, request: KeyRequest): Promise<boolean> {
    return told("cryptographic", async () => {
      try {
        await this.#metadata(keyId, request);
        return true;
      } catch (error) {
        if (error instanceof ProxyFailure && UNFIT.has(error.kind)) return false;
        throw error;
      }
    });
  }

  async encrypt(what: EncryptWithStore): Promise<Uint8Array> {
    assertCipherRequest(what);
    const { keyId, request, additionalData, kmsMaterial, plaintext } = what;
    return told("cryptographic", async () => {
      const inner = sealInner(kmsMaterial, plaintext, additionalData);
      const answer = await this.#key(keyId, "encrypt", {
        requestMetadata: metadataOf(request),
        ...encodedData(additionalData),
        plaintext: base64(inner),
        encryptionAlgorithm: "AES_GCM",
        ciphertextDataIntegrityValueAlgorithm: "SHA_256",
      });
      return frame(readEncrypted(answer, { plaintextLength: inner.length, additionalData }));
    });
  }

  async decrypt(what: DecryptWithStore): Promise<Uint8Array> {
    assertCipherRequest(what);
    const { keyId, request, additionalData, kmsMaterial, blob } = what;
    const parts = unframe(blob);
    if (!parts) throw new AwsFault("InvalidCiphertextException");
    return told("cryptographic", async () => {
      const answer = await this.#key(keyId, "decrypt", {
        requestMetadata: metadataOf(request),
        ...encodedData(additionalData),
        ciphertext: base64(parts.ciphertext),
        ...(parts.metadata.length > 0 ? { ciphertextMetadata: base64(parts.metadata) } : {}),
        encryptionAlgorithm: "AES_GCM",
        initializationVector: base64(parts.initializationVector),
        authenticationTag: base64(parts.authenticationTag),
      });
      const inner = readDecrypted(answer, parts.ciphertext.length);
      const plaintext = openInner(kmsMaterial, inner, additionalData);
      if (!plaintext) throw new ProxyFailure("invalid ciphertext", "KMS's own layer does not open");
      return plaintext;
    });
  }

  async deleteKey(): Promise<void> {}

  async [Symbol.asyncDispose](): Promise<void> {
    this.#connected = false;
    this.#proxy[Symbol.dispose]();
  }

  async #metadata(keyId: string, request: KeyRequest): Promise<void> {
    // No key ARN for CreateKey: KMS has none before the external key is found fit.
    const { kmsKeyArn: _, ...unborn } = metadataOf(request);
    const requestMetadata = request.operation === "CreateKey" ? unborn : metadataOf(request);
    readMetadata(await this.#key(keyId, "metadata", { requestMetadata }));
  }

  async #key(keyId: string, api: "metadata" | "encrypt" | "decrypt", payload: JsonObject): Promise<JsonObject> {
    if (!this.#connected) throw new ProxyFailure("not connected", "no ConnectCustomKeyStore before");
    // `.` and `..` have the form and would lead to another path of the proxy.
    if (!KEY_ID.test(keyId) || /^\.\.?$/.test(keyId))
      throw new ProxyFailure("KeyNotFoundException", "not a key id that fits in a path");
    try {
      return await this.#proxy.call(`/keys/${keyId}/${api}`, payload);
    } catch (error) {
      // Only what was asked to decrypt has a ciphertext to refuse.
      if (error instanceof ProxyFailure && error.kind === "InvalidCiphertextException" && api !== "decrypt")
        throw new ProxyFailure("malformed response", "InvalidCiphertextException without a ciphertext");
      throw error;
    }
  }
}

/** What says that a key is not there or not fit, and nothing of the proxy. */
const UNFIT = new Set(["KeyNotFoundException", "InvalidStateException", "InvalidKeyUsageException", "wrong key spec"]);

/** Tells a proxy's failure in the words of a family of operations. */
async function told<Value>(family: OperationFamily, ask: () => Promise<Value>): Promise<Value> {
  try {
    return await ask();
  } catch (error) {
    throw error instanceof ProxyFailure ? proxyFault(error, family) : error;
  }
}

function metadataOf(request: KeyRequest): Record<string, string> {
  const { principalArn, sourceVpc, sourceVpce, kmsKeyArn, operation, requestId, viaService } = request;
  return {
    awsPrincipalArn: principalArn,
    ...(sourceVpc === undefined ? {} : { awsSourceVpc: sourceVpc }),
    ...(sourceVpce === undefined ? {} : { awsSourceVpce: sourceVpce }),
    kmsKeyArn,
    kmsOperation: operation,
    kmsRequestId: requestId,
    ...(viaService === undefined ? {} : { kmsViaService: viaService }),
  };
}

function encodedData(additionalData: Uint8Array): JsonObject {
  return additionalData.length > 0 ? { additionalAuthenticatedData: base64(additionalData) } : {};
}

function base64(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("base64");
}

function frame({ metadata, initializationVector: iv, authenticationTag, ciphertext }: ProxyCiphertext): Uint8Array {
  const head = Uint8Array.of(BLOB_VERSION, metadata.length, ...metadata, iv.length, ...iv);
  return concat(head, authenticationTag, ciphertext);
}

/** Reads `frame`'s form from a caller's bytes; nothing when they have another. */
function unframe(blob: Uint8Array): ProxyCiphertext | undefined {
  const [version, metadataLength = 0] = blob;
  const metadata = blob.subarray(2, 2 + metadataLength);
  const ivLength = blob[2 + metadataLength];
  if (version !== BLOB_VERSION || metadataLength > 20 || (ivLength !== 12 && ivLength !== 16)) return undefined;
  const iv = 3 + metadataLength;
  const tag = iv + ivLength;
  if (blob.length < tag + 16) return undefined;
  return {
    metadata,
    initializationVector: blob.subarray(iv, tag),
    authenticationTag: blob.subarray(tag, tag + 16),
    ciphertext: blob.subarray(tag + 16),
  };
}
