/**
 * What UpdateCustomKeyStore may change, and when: most properties of a store that is disconnected; its name always; of
 * an external one also credential and path while it is connected.
 *
 * Source: KMS API Reference, UpdateCustomKeyStore, CustomKeyStoreInvalidStateException.
 *
 * @module
 */
import type { UpdateCustomKeyStoreCommandInput } from "@aws-sdk/client-kms";
import { AwsFault, validationFault } from "../fault.ts";
import type { KmsRequest } from "./request.ts";
import type { CustomKeyStoreRow } from "./rows.ts";

type Input = Partial<UpdateCustomKeyStoreCommandInput>;
type Property = keyof UpdateCustomKeyStoreCommandInput;
type CloudHsm = NonNullable<CustomKeyStoreRow["cloudHsm"]>;
type Xks = NonNullable<CustomKeyStoreRow["xks"]>;

const CLOUDHSM_ONLY: readonly Property[] = ["KeyStorePassword", "CloudHsmClusterId"];
/** These change while the store is connected. */
const XKS_ALWAYS: readonly Property[] = ["XksProxyAuthenticationCredential", "XksProxyUriPath"];
const XKS_ONLY: readonly Property[] = [
  ...XKS_ALWAYS,
  "XksProxyUriEndpoint",
  "XksProxyConnectivity",
  "XksProxyVpcEndpointServiceName",
];

/** @throws {AwsFault} a property of another type of store, or one that waits for the store to be disconnected */
export function assertUpdatable({ type, state }: CustomKeyStoreRow, input: Input): void {
  const isGiven = (name: Property): boolean => input[name] !== undefined;
  const isHsm = type === "AWS_CLOUDHSM";
  if ((isHsm ? XKS_ONLY : CLOUDHSM_ONLY).some(isGiven))
    throw validationFault("The request names properties of another type of custom key store.");
  if (state === "DISCONNECTED") return;
  const later = [...CLOUDHSM_ONLY, ...XKS_ONLY].filter((name) => !XKS_ALWAYS.includes(name));
  if (state !== "CONNECTED" || later.some(isGiven)) throw new AwsFault("CustomKeyStoreInvalidStateException");
}

/** Clusters here have no common history, so another one is never a related one. */
export function updatedCloudHsm({ state }: KmsRequest, cloudHsm: CloudHsm, input: Input): CloudHsm {
  const { CloudHsmClusterId: clusterId = cloudHsm.clusterId, KeyStorePassword: password } = input;
  if (!state.keyStores.cluster(clusterId)) throw new AwsFault("CloudHsmClusterNotFoundException");
  if (clusterId !== cloudHsm.clusterId) throw new AwsFault("CloudHsmClusterNotRelatedException");
  return { ...cloudHsm, ...(password === undefined ? {} : { keyStorePassword: password }) };
}

export function updatedXks(xks: Xks, input: Input, others: readonly CustomKeyStoreRow[]): Xks {
  const { AccessKeyId: accessKeyId = xks.accessKeyId, RawSecretAccessKey: secretAccessKey = xks.secretAccessKey } =
    input.XksProxyAuthenticationCredential ?? {};
  const { vpcEndpointServiceName: oldServiceName, ...rest } = xks;
  const connectivity = input.XksProxyConnectivity ?? xks.connectivity;
  const serviceName = input.XksProxyVpcEndpointServiceName ?? oldServiceName;
  const named = connectivity === "VPC_ENDPOINT_SERVICE" && serviceName !== undefined;
  const updated: Xks = {
    ...rest,
    ...{ accessKeyId, secretAccessKey, connectivity },
    uriEndpoint: input.XksProxyUriEndpoint ?? xks.uriEndpoint,
    uriPath: input.XksProxyUriPath ?? xks.uriPath,
    ...(named ? { vpcEndpointServiceName: serviceName } : {}),
  };
  assertOwnProxy(updated, others);
  return updated;
}

/** @throws {AwsFault} the proxy is another store's, or its members do not go together */
export function assertOwnProxy(xks: Xks, others: readonly CustomKeyStoreRow[]): void {
  const { uriEndpoint, uriPath, connectivity, vpcEndpointServiceName } = xks;
  if ((connectivity === "VPC_ENDPOINT_SERVICE") !== (vpcEndpointServiceName !== undefined))
    throw validationFault("XksProxyVpcEndpointServiceName and the connectivity VPC_ENDPOINT_SERVICE go together.");
  for (const { xks: other } of others) {
    if (other?.uriEndpoint === uriEndpoint && other.uriPath === uriPath)
      throw new AwsFault("XksProxyUriInUseException");
    if (other?.vpcEndpointServiceName !== undefined && other.vpcEndpointServiceName === vpcEndpointServiceName)
      throw new AwsFault("XksProxyVpcEndpointServiceInUseException");
  }
}

/** Whether the request changes how the proxy is reached, so that it must be asked. */
export function changesProxy(input: Input): boolean {
  return XKS_ONLY.some((name) => input[name] !== undefined);
}
