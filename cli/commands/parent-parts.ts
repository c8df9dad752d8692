/**
 * What the sections of `parent.yaml` are as parts of services.
 *
 * @module
 */
import { fromFile } from "../../parent/config/credentials-file.ts";
import type { CredentialsConfig, EgressConfig, ParentConfig } from "../../parent/config/parent-config.ts";
import type { ProvideCredentials } from "../../parent/credentials/container-credentials.ts";
import { fromInstanceRole } from "../../parent/credentials/instance-role.ts";
import { createResolver } from "../../parent/egress/resolver.ts";
import type { EgressPart } from "../../parent/services.ts";
import type { Peer } from "../../shared/transport/address.ts";
import { VSOCK_CID_ANY } from "../../transport/index.ts";
import { emulatedMeetingPoint, openParentFolder } from "./parent-enclave.ts";

export interface MeetingPoint {
  readonly listen: Peer;
  readonly allowedCids: readonly number[] | undefined;
}

/** Where the enclave finds its parent, and who else is not let in. */
export async function meetingPoint(enclave: ParentConfig["enclave"]): Promise<MeetingPoint> {
  if (enclave.kind === "attach" && enclave.peer.kind !== "vsock")
    return { listen: enclave.peer, allowedCids: undefined };
  if (enclave.kind === "run" && enclave.platform === "mock") {
    return { listen: { kind: "unix", folder: await openParentFolder(enclave.cid) }, allowedCids: undefined };
  }
  if (enclave.kind === "run" && enclave.platform === "emulated") {
    return { listen: { kind: "hybrid", path: await emulatedMeetingPoint(enclave.cid) }, allowedCids: undefined };
  }
  const cid = enclave.kind === "run" ? enclave.cid : enclave.peer.kind === "vsock" ? enclave.peer.cid : 0;
  return { listen: { kind: "vsock", cid: VSOCK_CID_ANY }, allowedCids: [cid] };
}

export function egressPart({
  allowlist,
  hosts,
  connect,
  ports,
  resolver,
  sniPolicy,
  limits,
}: EgressConfig): EgressPart {
  const resolve =
    typeof resolver === "object" ? createResolver({ servers: resolver.servers }) : createResolver({ source: resolver });
  const doors = ports.map(({ port, target }) => ({ kind: "port", port, target }) as const);
  const all = connect === "off" ? doors : [{ kind: "connect", port: connect } as const, ...doors];
  return { rules: { allowlist, hosts }, doors: all, resolve, sniPolicy, limits };
}

/** Asked anew each time. */
export function sourceOf(credentials: CredentialsConfig): ProvideCredentials {
  if (credentials.source === "file") return fromFile(credentials.file);
  return fromInstanceRole(credentials.role === undefined ? {} : { role: credentials.role });
}
