/**
 * The backends behind custom key stores: opened when a store is connected, closed when it is not.
 *
 * A CloudHSM cluster is a PKCS#11 token that the emulator was started with, by the cluster's id; an external key store
 * is dialled where its proxy's endpoint says. What a row says of its connection holds for this process: after a
 * restart a connected store is dialled again when it is first used.
 *
 * Source: KMS Developer Guide, "Custom key stores".
 *
 * @module
 */
import { randomBytes } from "node:crypto";
import type { CreateKeyCommandInput } from "@aws-sdk/client-kms";
import { AwsFault, validationFault } from "../fault.ts";
import { keyArn } from "./identifiers.ts";
import type { KeySituation } from "./key-state.ts";
import type { KmsRequest } from "./request.ts";
import { type CustomKeyStoreRow, type KeyRow, scopeKey } from "./rows.ts";
import type { KeyStoreBackend } from "./stores/backend.ts";
import { openCloudHsmStore } from "./stores/cloudhsm.ts";
import { openExternalKeyStore } from "./stores/xks.ts";

/** A token that plays a CloudHSM cluster. */
export interface MockCloudHsmCluster {
  /** `cluster-` and 11 to 16 of a–z, A–Z, 2–7. */
  readonly clusterId: string;
  /** Path of a PKCS#11 library, e.g. SoftHSM2's. */
  readonly library: string;
  readonly tokenLabel: string;
  /** PEM. What CreateCustomKeyStore must be given as TrustAnchorCertificate. */
  readonly trustAnchorCertificate: string;
  /** Environment of the library's process, e.g. with SOFTHSM2_CONF. */
  readonly environment?: Readonly<Record<string, string>>;
}

export interface KeyStoreSettings {
  readonly clusters: readonly MockCloudHsmCluster[];
  /** PEM. Authorities that XKS proxies' certificates may come from; Node's if absent. */
  readonly xksCertificateAuthorities?: readonly [string, ...string[]];
  /** Where proxies really listen, by `XksProxyUriEndpoint`; the endpoint's host if absent. */
  readonly xksAddresses?: Readonly<Record<string, { readonly host: string; readonly port: number }>>;
}

export class KeyStoreConnections implements AsyncDisposable {
  readonly #settings: KeyStoreSettings;
  /** By the store's id, from when its backend is dialled. */
  readonly #open = new Map<string, Promise<KeyStoreBackend>>();

  constructor(settings: KeyStoreSettings) {
    this.#settings = settings;
  }

  cluster(clusterId: string): MockCloudHsmCluster | undefined {
    return this.#settings.clusters.find((cluster) => cluster.clusterId === clusterId);
  }

  /** A backend that is not kept: to check a configuration before it is one. */
  openFor(row: CustomKeyStoreRow): KeyStoreBackend {
    if (row.xks) {
      const { uriEndpoint, uriPath, accessKeyId, secretAccessKey } = row.xks;
      const { xksCertificateAuthorities: certificateAuthorities = "node", xksAddresses } = this.#settings;
      const address = xksAddresses?.[uriEndpoint];
      return openExternalKeyStore({
        ...{ uriEndpoint, uriPath, certificateAuthorities, region: row.region },
        credential: { accessKeyId, rawSecretAccessKey: secretAccessKey },
        ...(address ? { address } : {}),
      });
    }
    const cluster = row.cloudHsm && this.cluster(row.cloudHsm.clusterId);
    if (!row.cloudHsm || !cluster) throw new AwsFault("CloudHsmClusterNotFoundException");
    return openCloudHsmStore({ ...cluster, password: row.cloudHsm.keyStorePassword });
  }

  async connect(row: CustomKeyStoreRow, request: { operation: string; requestId: string }): Promise<void> {
    await this.#dial(row, request);
  }

  /** Is in the table before anything is awaited, so that two first uses share one backend. */
  #dial(row: CustomKeyStoreRow, request: { operation: string; requestId: string }): Promise<KeyStoreBackend> {
    const { id } = row;
    const opening = this.#replace(this.#open.get(id), row, request);
    this.#open.set(id, opening);
    opening.catch(() => {
      if (this.#open.get(id) === opening) this.#open.delete(id);
    });
    return opening;
  }

  async #replace(
    previous: Promise<KeyStoreBackend> | undefined,
    row: CustomKeyStoreRow,
    request: { operation: string; requestId: string },
  ): Promise<KeyStoreBackend> {
    await close(previous);
    const backend = this.openFor(row);
    try {
      await backend.connect(request);
    } catch (error) {
      await backend[Symbol.asyncDispose]();
      throw error;
    }
    return backend;
  }

  async disconnect(id: string): Promise<void> {
    const opened = this.#open.get(id);
    this.#open.delete(id);
    await close(opened);
  }

  /** The backend of a key whose store is connected. */
  async of({ keyStore }: KeySituation, request: KmsRequest): Promise<KeyStoreBackend> {
    if (!keyStore) throw new TypeError("a key of no custom key store");
    return this.#open.get(keyStore.id) ?? this.#dial(keyStore, storeCall(request));
  }

  /** What CreateKey needs of the store it names, if it names one: the key behind the KMS key. */
  async prepareKey(
    request: KmsRequest,
    { input, keyId }: { readonly input: Partial<CreateKeyCommandInput>; readonly keyId: string },
  ): Promise<NonNullable<KeyRow["keyStore"]> | undefined> {
    const { CustomKeyStoreId: id, Origin: origin = "AWS_KMS", XksKeyId: xksKeyId } = input;
    const isInStore = origin === "AWS_CLOUDHSM" || origin === "EXTERNAL_KEY_STORE";
    if (isInStore !== (id !== undefined))
      throw validationFault("CustomKeyStoreId and an Origin of AWS_CLOUDHSM or EXTERNAL_KEY_STORE go together.");
    if ((origin === "EXTERNAL_KEY_STORE") !== (xksKeyId !== undefined))
      throw validationFault("XksKeyId and the Origin EXTERNAL_KEY_STORE go together.");
    if (id === undefined) return undefined;
    const row = ownStore(request, id);
    if (row.type !== origin) throw validationFault(`The custom key store ${id} is of another type than ${origin}.`);
    if (row.state !== "CONNECTED") throw new AwsFault("CustomKeyStoreInvalidStateException");
    if (xksKeyId !== undefined && isExternalKeyTaken(request, id, xksKeyId))
      throw new AwsFault("XksKeyAlreadyInUseException");
    const backend = await this.of({ keyStore: row } as KeySituation, request);
    const kmsKeyArn = keyArn(request.scope, keyId);
    const { caller } = request.call;
    const asked = { ...storeCall(request), kmsKeyArn, principalArn: caller.principalArn };
    const backingKeyId = await backend.createKey({ request: asked, ...(xksKeyId === undefined ? {} : { xksKeyId }) });
    return { id, backingKeyId };
  }

  /** GenerateRandom from a store's own generator. */
  async random(
    request: KmsRequest,
    { keyStoreId, count }: { readonly keyStoreId: string; readonly count: number },
  ): Promise<Uint8Array> {
    const row = ownStore(request, keyStoreId);
    if (row.type !== "AWS_CLOUDHSM") throw new AwsFault("UnsupportedOperationException");
    if (row.state !== "CONNECTED") throw new AwsFault("CustomKeyStoreInvalidStateException");
    const backend = await this.of({ keyStore: row } as KeySituation, request);
    return backend.randomBytes ? backend.randomBytes(count) : randomBytes(count);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([...this.#open.keys()].map((id) => this.disconnect(id)));
  }
}

/** What did not open was closed by whoever opened it, and told to who asked for it. */
async function close(opened: Promise<KeyStoreBackend> | undefined): Promise<void> {
  const backend = await opened?.catch(() => undefined);
  await backend?.[Symbol.asyncDispose]();
}

function storeCall({ call }: KmsRequest): { operation: string; requestId: string } {
  return { operation: call.operation, requestId: call.requestId };
}

/** @throws {AwsFault} `CustomKeyStoreNotFoundException` */
export function ownStore({ tables, scope }: KmsRequest, id: string): CustomKeyStoreRow {
  const row = tables.keyStores.get(id);
  if (row?.accountId !== scope.accountId || row.region !== scope.region)
    throw new AwsFault("CustomKeyStoreNotFoundException");
  return row;
}

/** One at a time in an account and Region; rows that `work` changes are read in it. */
export function inKeyStoreTurn<Result>(
  { state, scope }: KmsRequest,
  work: () => Result | Promise<Result>,
): Promise<Result> {
  return state.keyStoreTurns.take(scopeKey(scope), work);
}

function isExternalKeyTaken({ tables }: KmsRequest, id: string, backingKeyId: string): boolean {
  for (const { keyStore } of tables.keys.values())
    if (keyStore?.id === id && keyStore.backingKeyId === backingKeyId) return true;
  return false;
}
