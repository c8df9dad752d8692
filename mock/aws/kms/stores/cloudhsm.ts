/**
 * A custom key store whose keys are in a CloudHSM cluster: here any PKCS#11 token, such as SoftHSM2's.
 *
 *   cluster id    is what the service names; `tokenLabel` is the token that plays it
 *   kmsuser       its PIN is `kmsuser:PASSWORD`, as AWS's library wants it
 *   key           AES-256, made in the token, persistent, sensitive, not extractable; its label is the KMS key's ARN
 *   blob          version 1 · initialization vector (12) · ciphertext · tag (16)
 *
 * A token that went away takes its session with it. The next call opens another and tries once more, so a token that
 * is back works without DisconnectCustomKeyStore; while it is away each call says so. Unlike KMS, connecting does not
 * change kmsuser's password: the token is the operator's.
 *
 * Source: KMS Developer Guide, "AWS CloudHSM key stores", "Troubleshooting a custom key store".
 *
 * @module
 */
import { randomUUID } from "node:crypto";
import { existsSync } from "node:fs";
import { createRequire } from "node:module";
import { concat } from "../../../../shared/bytes.ts";
import { ConfigError } from "../../../../shared/errors/index.ts";
import { AwsFault } from "../../fault.ts";
import {
  assertCipherRequest,
  type DecryptWithStore,
  type EncryptWithStore,
  type KeyStoreBackend,
  type NewBackingKey,
  type OperationFamily,
} from "./backend.ts";
import { tokenFault } from "./cloudhsm-faults.ts";
import { TokenFailure, TokenProcess } from "./pkcs11-process.ts";

export interface CloudHsmOptions {
  /** Path of the PKCS#11 library, e.g. SoftHSM2's `libsofthsm2.so`. */
  readonly library: string;
  readonly tokenLabel: string;
  /** KeyStorePassword: kmsuser's. */
  readonly password: string;
  /** The whole environment of the library's process, e.g. with SOFTHSM2_CONF; absent, this process's own. */
  readonly environment?: Readonly<Record<string, string>>;
  /** How long one call may take. Default 10 000: logging in to a cluster takes seconds. */
  readonly timeoutMs?: number;
  /** Path of the pkcs11js package. Default the one that is installed. */
  readonly pkcs11js?: string;
}

const BLOB_VERSION = 1;
const IV_BYTES = 12;
const TAG_BYTES = 16;
const USER = "kmsuser";

/** @throws {ConfigError} pkcs11js is not installed, or there is no such library */
export function openCloudHsmStore(options: CloudHsmOptions): KeyStoreBackend {
  const { library, pkcs11js = findPackage() } = options;
  if (!existsSync(library))
    throw new ConfigError("ERR_CONFIG_FILE", { path: library, reason: "there is no such file" });
  return new CloudHsmStore({ timeoutMs: 10_000, ...options, pkcs11js });
}

/** An optional peer: looked for when a store is opened, loaded in the store's process only. */
function findPackage(): string {
  try {
    return createRequire(import.meta.url).resolve("pkcs11js");
  } catch (cause) {
    const missing = { package: "pkcs11js", neededFor: "a CloudHSM key store" };
    throw new ConfigError("ERR_CONFIG_PACKAGE", missing, { cause });
  }
}

type StoreOptions = CloudHsmOptions & Required<Pick<CloudHsmOptions, "timeoutMs" | "pkcs11js">>;

class CloudHsmStore implements KeyStoreBackend {
  readonly type = "AWS_CLOUDHSM";
  readonly #options: StoreOptions;
  /** The open token; absent when not connected. */
  #token: Promise<TokenProcess> | undefined;
  #disposed = false;

  constructor(options: StoreOptions) {
    this.#options = options;
  }

  async check(): Promise<void> {
    await using token = new TokenProcess(this.#options);
    const { library, tokenLabel } = this.#options;
    const { hasUser } = await told("store", () => token.call("open", { library, tokenLabel }));
    if (!hasUser) throw new AwsFault("CloudHsmClusterNotActiveException");
  }

  async connect(): Promise<void> {
    if (this.#disposed) throw new TypeError("the store is closed");
    await this.disconnect();
    const token = this.#open();
    this.#token = token;
    try {
      await told("store", () => token);
    } catch (error) {
      if (this.#token === token) this.#token = undefined;
      throw error;
    }
  }

  async disconnect(): Promise<void> {
    const token = this.#token;
    this.#token = undefined;
    await closeToken(token);
  }

  async createKey({ request }: NewBackingKey): Promise<string> {
    const keyId = randomUUID();
    await this.#ask("create-key", (token) => token.call("createKey", { keyId, label: request.kmsKeyArn }));
    return keyId;
  }

  async findKey(keyId: string): Promise<boolean> {
    return this.#ask("cryptographic", (token) => token.call("findKey", { keyId }));
  }

  async encrypt(what: EncryptWithStore): Promise<Uint8Array> {
    assertCipherRequest(what);
    const { keyId, plaintext, additionalData: aad } = what;
    const { iv, sealed } = await this.#ask("cryptographic", (token) =>
      token.call("encrypt", { keyId, plaintext, aad }),
    );
    return concat(Uint8Array.of(BLOB_VERSION), iv, sealed);
  }

  async decrypt(what: DecryptWithStore): Promise<Uint8Array> {
    assertCipherRequest(what);
    const { keyId, blob, additionalData: aad } = what;
    if (blob[0] !== BLOB_VERSION || blob.length < 1 + IV_BYTES + TAG_BYTES) throw invalidCiphertext();
    const iv = blob.slice(1, 1 + IV_BYTES);
    const sealed = blob.slice(1 + IV_BYTES);
    const plaintext = await this.#ask("cryptographic", async (token) => {
      try {
        return await token.call("decrypt", { keyId, iv, sealed, aad });
      } catch (error) {
        // Token, session and key are good, so it is the ciphertext. SoftHSM2 says CKR_GENERAL_ERROR for a wrong tag.
        if (error instanceof TokenFailure && error.kind === "refused") throw invalidCiphertext();
        throw error;
      }
    });
    return new Uint8Array(plaintext);
  }

  async deleteKey(keyId: string): Promise<void> {
    await this.#ask("cryptographic", (token) => token.call("deleteKey", { keyId }));
  }

  async randomBytes(count: number): Promise<Uint8Array> {
    return new Uint8Array(await this.#ask("create-key", (token) => token.call("random", count)));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#disposed = true;
    await this.disconnect();
  }

  async #open(): Promise<TokenProcess> {
    const { library, tokenLabel, password } = this.#options;
    const token = new TokenProcess(this.#options);
    try {
      await token.call("open", { library, tokenLabel, pin: `${USER}:${password}` });
      return token;
    } catch (error) {
      await token[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** Asks the token; when the session is no longer what it was, once more in a new one. */
  async #ask<Value>(family: OperationFamily, ask: (token: TokenProcess) => Promise<Value>): Promise<Value> {
    const used = this.#token;
    if (!used) throw tokenFault(new TokenFailure({ kind: "ended", step: "connect", reason: "not connected" }), family);
    return told(family, async () => {
      try {
        return await ask(await used);
      } catch (error) {
        if (!(error instanceof TokenFailure) || !STALE.has(error.kind) || this.#token === undefined) throw error;
        return ask(await this.#reopen(used));
      }
    });
  }

  /** One new session for all calls that found the same one stale. */
  #reopen(stale: Promise<TokenProcess>): Promise<TokenProcess> {
    if (this.#token !== stale && this.#token) return this.#token;
    const reopened = closeToken(stale).then(() => this.#open());
    this.#token = reopened;
    return reopened;
  }
}

/**
 * After these another session may do better. A call that was late is not tried again: it had its time. `open` is of a
 * session that could not be opened the last time.
 */
const STALE: ReadonlySet<string> = new Set(["lost", "no key", "ended", "open"]);

async function closeToken(token: Promise<TokenProcess> | undefined): Promise<void> {
  const opened = await token?.catch(() => undefined); // one that did not open has closed itself
  await opened?.[Symbol.asyncDispose]();
}

async function told<Value>(family: OperationFamily, ask: () => Promise<Value>): Promise<Value> {
  try {
    return await ask();
  } catch (error) {
    throw error instanceof TokenFailure ? tokenFault(error, family) : error;
  }
}

function invalidCiphertext(): AwsFault {
  return new AwsFault("InvalidCiphertextException");
}
