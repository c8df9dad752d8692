/**
 * Create-, Describe-, Update-, Delete-, Connect- and DisconnectCustomKeyStore(s).
 *
 * Connecting is done when it is answered; AWS answers first and takes some minutes. A store that did not connect is in
 * the state FAILED, with the code of its reason. What changes a store has its turn, in which it reads the rows anew.
 *
 * Source: KMS API Reference; KMS Developer Guide, "Key stores".
 *
 * @module
 */
import { randomBytes } from "node:crypto";
import type {
  ConnectCustomKeyStoreCommandInput,
  CreateCustomKeyStoreCommandInput,
  CreateCustomKeyStoreCommandOutput,
  CustomKeyStoresListEntry,
  DeleteCustomKeyStoreCommandInput,
  DescribeCustomKeyStoresCommandInput,
  DescribeCustomKeyStoresCommandOutput,
  DisconnectCustomKeyStoreCommandInput,
  UpdateCustomKeyStoreCommandInput,
} from "@aws-sdk/client-kms";
import { toHex } from "../../../../shared/bytes.ts";
import { AwsFault, validationFault } from "../../fault.ts";
import { inKeyStoreTurn, ownStore } from "../key-store-connections.ts";
import { assertOwnProxy, assertUpdatable, changesProxy, updatedCloudHsm, updatedXks } from "../key-store-update.ts";
import { paginate } from "../pages.ts";
import type { KmsRequest } from "../request.ts";
import { type CustomKeyStoreRow, scopeKey } from "../rows.ts";
import { StoreFault } from "../stores/backend.ts";
import type { Answer, Valid } from "./operation.ts";

const STORES_MAX = 10;

export async function createCustomKeyStore(
  request: KmsRequest,
  input: Valid<CreateCustomKeyStoreCommandInput>,
): Promise<Answer<CreateCustomKeyStoreCommandOutput>> {
  request.authorizeByIdentity("CreateCustomKeyStore", "*");
  return inKeyStoreTurn(request, () => createStore(request, input));
}

async function createStore(request: KmsRequest, input: StoreInput): Promise<Answer<CreateCustomKeyStoreCommandOutput>> {
  const { CustomKeyStoreName: name, CustomKeyStoreType: type = "AWS_CLOUDHSM" } = input;
  const { scope, tables } = request;
  const others = tables.keyStores.findAll("scope", scopeKey(scope));
  if (others.some((row) => row.name === name)) throw new AwsFault("CustomKeyStoreNameInUseException");
  if (others.length >= STORES_MAX) throw new AwsFault("LimitExceededException");
  const id = `cks-${toHex(randomBytes(9)).slice(0, 17)}`;
  const base = {
    ...{ id, accountId: scope.accountId, region: scope.region, name, type, createdAt: request.now },
    state: "DISCONNECTED",
  } as const;
  const row: CustomKeyStoreRow = {
    ...base,
    ...(type === "AWS_CLOUDHSM" ? { cloudHsm: cloudHsmOf(request, input, others) } : { xks: xksOf(input, others) }),
  };
  if (row.xks) await check(request, row);
  tables.keyStores.set(id, row);
  return { CustomKeyStoreId: id };
}

type StoreInput = Valid<CreateCustomKeyStoreCommandInput>;

function cloudHsmOf(
  { state }: KmsRequest,
  input: StoreInput,
  others: readonly CustomKeyStoreRow[],
): NonNullable<CustomKeyStoreRow["cloudHsm"]> {
  const { CloudHsmClusterId: clusterId, TrustAnchorCertificate: anchor, KeyStorePassword: password } = input;
  if (clusterId === undefined || anchor === undefined || password === undefined)
    throw validationFault("CloudHsmClusterId, TrustAnchorCertificate and KeyStorePassword are required.");
  const cluster = state.keyStores.cluster(clusterId);
  if (!cluster) throw new AwsFault("CloudHsmClusterNotFoundException");
  if (others.some(({ cloudHsm }) => cloudHsm?.clusterId === clusterId))
    throw new AwsFault("CloudHsmClusterInUseException");
  if (anchor.trim() !== cluster.trustAnchorCertificate.trim()) throw new AwsFault("IncorrectTrustAnchorException");
  return { clusterId, trustAnchorCertificate: anchor, keyStorePassword: password };
}

function xksOf(input: StoreInput, others: readonly CustomKeyStoreRow[]): NonNullable<CustomKeyStoreRow["xks"]> {
  const { XksProxyUriEndpoint: uriEndpoint, XksProxyUriPath: uriPath, XksProxyConnectivity: connectivity } = input;
  const { AccessKeyId: accessKeyId, RawSecretAccessKey: secretAccessKey } =
    input.XksProxyAuthenticationCredential ?? {};
  if (!uriEndpoint || !uriPath || !connectivity || !accessKeyId || !secretAccessKey)
    throw validationFault(
      "XksProxyUriEndpoint, XksProxyUriPath, XksProxyConnectivity and XksProxyAuthenticationCredential are required.",
    );
  const { XksProxyVpcEndpointServiceName: vpcEndpointServiceName } = input;
  const xks = {
    ...{ uriEndpoint, uriPath, connectivity, accessKeyId, secretAccessKey },
    ...(vpcEndpointServiceName === undefined ? {} : { vpcEndpointServiceName }),
  };
  assertOwnProxy(xks, others);
  return xks;
}

/** Whether the store is there and answers as one. @throws {StoreFault} */
async function check(request: KmsRequest, row: CustomKeyStoreRow): Promise<void> {
  await using backend = request.state.keyStores.openFor(row);
  await backend.check({ operation: request.call.operation, requestId: request.call.requestId });
}

export function describeCustomKeyStores(
  request: KmsRequest,
  input: Valid<DescribeCustomKeyStoresCommandInput>,
): Answer<DescribeCustomKeyStoresCommandOutput> {
  const { CustomKeyStoreId: id, CustomKeyStoreName: name } = input;
  request.authorizeByIdentity("DescribeCustomKeyStores", "*");
  if (id !== undefined && name !== undefined)
    throw validationFault("Please specify either CustomKeyStoreId or CustomKeyStoreName.");
  const all = request.tables.keyStores
    .findAll("scope", scopeKey(request.scope))
    .filter((row) => (id === undefined || row.id === id) && (name === undefined || row.name === name));
  if (all.length === 0 && (id ?? name) !== undefined) throw new AwsFault("CustomKeyStoreNotFoundException");
  const { page, ...more } = paginate(all, input, { idOf: (row) => row.id, defaultLimit: 50 });
  return { CustomKeyStores: page.map(entryOf), ...more };
}

function entryOf(row: CustomKeyStoreRow): CustomKeyStoresListEntry {
  const { cloudHsm, xks } = row;
  return {
    CustomKeyStoreId: row.id,
    CustomKeyStoreName: row.name,
    ...(cloudHsm
      ? { CloudHsmClusterId: cloudHsm.clusterId, TrustAnchorCertificate: cloudHsm.trustAnchorCertificate }
      : {}),
    ConnectionState: row.state,
    ...(row.error === undefined ? {} : { ConnectionErrorCode: row.error }),
    CreationDate: row.createdAt,
    CustomKeyStoreType: row.type,
    ...(xks
      ? {
          XksProxyConfiguration: {
            Connectivity: xks.connectivity,
            AccessKeyId: xks.accessKeyId,
            UriEndpoint: xks.uriEndpoint,
            UriPath: xks.uriPath,
            ...(xks.vpcEndpointServiceName === undefined ? {} : { VpcEndpointServiceName: xks.vpcEndpointServiceName }),
          },
        }
      : {}),
  };
}

export async function connectCustomKeyStore(
  request: KmsRequest,
  { CustomKeyStoreId: id }: Valid<ConnectCustomKeyStoreCommandInput>,
): Promise<Record<never, never>> {
  request.authorizeByIdentity("ConnectCustomKeyStore", "*");
  return inKeyStoreTurn(request, () => connectStore(request, id));
}

async function connectStore(request: KmsRequest, id: string): Promise<Record<never, never>> {
  const row = ownStore(request, id);
  // A store that failed is disconnected first.
  if (row.state === "FAILED") throw new AwsFault("CustomKeyStoreInvalidStateException");
  if (row.state === "CONNECTED") return {};
  const { error: _, ...rest } = row;
  try {
    await request.state.keyStores.connect(row, {
      operation: "ConnectCustomKeyStore",
      requestId: request.call.requestId,
    });
    request.tables.keyStores.set(id, { ...rest, state: "CONNECTED" });
  } catch (error) {
    if (!(error instanceof StoreFault)) throw error;
    request.tables.keyStores.set(id, { ...rest, state: "FAILED", error: error.connectionErrorCode });
  }
  return {};
}

export async function disconnectCustomKeyStore(
  request: KmsRequest,
  { CustomKeyStoreId: id }: Valid<DisconnectCustomKeyStoreCommandInput>,
): Promise<Record<never, never>> {
  request.authorizeByIdentity("DisconnectCustomKeyStore", "*");
  return inKeyStoreTurn(request, () => disconnectStore(request, id));
}

async function disconnectStore(request: KmsRequest, id: string): Promise<Record<never, never>> {
  const { error: _, ...row } = ownStore(request, id);
  if (row.state === "DISCONNECTED") throw new AwsFault("CustomKeyStoreInvalidStateException");
  request.tables.keyStores.set(id, { ...row, state: "DISCONNECTED" });
  await request.state.keyStores.disconnect(id);
  return {};
}

export async function updateCustomKeyStore(
  request: KmsRequest,
  input: Valid<UpdateCustomKeyStoreCommandInput>,
): Promise<Record<never, never>> {
  request.authorizeByIdentity("UpdateCustomKeyStore", "*");
  return inKeyStoreTurn(request, () => updateStore(request, input));
}

async function updateStore(
  request: KmsRequest,
  input: Valid<UpdateCustomKeyStoreCommandInput>,
): Promise<Record<never, never>> {
  const { CustomKeyStoreId: id, NewCustomKeyStoreName: name } = input;
  const row = ownStore(request, id);
  const others = request.tables.keyStores.findAll("scope", scopeKey(request.scope)).filter((other) => other.id !== id);
  if (name !== undefined && others.some((other) => other.name === name))
    throw new AwsFault("CustomKeyStoreNameInUseException");
  assertUpdatable(row, input);
  const updated: CustomKeyStoreRow = {
    ...row,
    ...(name === undefined ? {} : { name }),
    ...(row.cloudHsm ? { cloudHsm: updatedCloudHsm(request, row.cloudHsm, input) } : {}),
    ...(row.xks ? { xks: updatedXks(row.xks, input, others) } : {}),
  };
  const isConnected = row.state === "CONNECTED";
  if (updated.xks && changesProxy(input)) await check(request, updated);
  request.tables.keyStores.set(id, updated);
  // The connection that is open has the old credential and path.
  if (isConnected && updated.xks) await request.state.keyStores.disconnect(id);
  return {};
}

export async function deleteCustomKeyStore(
  request: KmsRequest,
  { CustomKeyStoreId: id }: Valid<DeleteCustomKeyStoreCommandInput>,
): Promise<Record<never, never>> {
  request.authorizeByIdentity("DeleteCustomKeyStore", "*");
  return inKeyStoreTurn(request, () => deleteStore(request, id));
}

function deleteStore(request: KmsRequest, id: string): Record<never, never> {
  const row = ownStore(request, id);
  for (const { key } of request.keys.inScope(request.scope, request.now))
    if (key.keyStore?.id === id) throw new AwsFault("CustomKeyStoreHasCMKsException");
  if (row.state !== "DISCONNECTED") throw new AwsFault("CustomKeyStoreInvalidStateException");
  request.tables.keyStores.delete(id);
  return {};
}
