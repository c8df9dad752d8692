/**
 * What `parent.yaml` says: as it is written, and as it is read, with defaults in place and paths made absolute.
 *
 * @module
 */
import type { Platform } from "../../shared/launcher.ts";
import type { Address, Peer } from "../../shared/transport/address.ts";
import type { AllowlistEntry, HostMap } from "../egress/allowlist.ts";
import type { PlaceOf } from "./form.ts";

/** One that is run and kept running. */
export interface RunEnclave {
  readonly kind: "run";
  readonly platform: Platform;
  readonly image: string;
  /** A JSON file of expected PCRs. */
  readonly measurements: string | undefined;
  /** A file of the mock root that signs its documents. */
  readonly mockRoot: string | undefined;
  readonly cpus: number;
  /** Default: what the image needs. */
  readonly memoryMiB: number | undefined;
  readonly cid: number;
  /** Where its application listens. */
  readonly port: number;
  /** How many failures in a row are the last. */
  readonly maxFailures: number | "unlimited";
  /** What becomes of it when the parent is told to stop. */
  readonly onExit: "terminate" | "keep";
}

/** One that something else runs. */
export interface AttachEnclave {
  readonly kind: "attach";
  readonly platform: Platform;
  readonly peer: Peer;
  readonly port: number;
}

export interface EgressConfig {
  readonly allowlist: readonly AllowlistEntry[];
  readonly hosts: HostMap;
  /** The port of the CONNECT proxy. */
  readonly connect: number | "off";
  readonly ports: readonly { readonly port: number; readonly target: string }[];
  readonly sniPolicy: "off" | "enforce";
  readonly resolver: "dns" | "system" | { readonly servers: readonly string[] };
  readonly limits: {
    readonly headTimeoutMs?: number;
    readonly connectTimeoutMs?: number;
    readonly idleTimeoutMs?: number;
    readonly maxConnections?: number;
    readonly maxConnectionsPerCid?: number;
    readonly maxWaiting?: number;
    readonly waitTimeoutMs?: number;
  };
}

export interface IngressConfig {
  readonly listen: Address;
  readonly proxyProtocol: "off" | "v2";
  /** More enclaves behind the same door. */
  readonly targets: readonly Address[];
  readonly balance: "least-connections" | "round-robin";
  readonly health?: HealthConfig;
  readonly limits: {
    readonly connectTimeoutMs?: number;
    readonly attemptTimeoutMs?: number;
    readonly idleTimeoutMs?: number;
    readonly maxConnections?: number;
  };
}

export interface HealthConfig {
  readonly intervalMs?: number;
  readonly timeoutMs?: number;
  readonly unhealthyAfter?: number;
  readonly healthyAfter?: number;
}

export type CredentialsConfig = CredentialsSource & {
  /** Also over HTTP. */
  readonly http?: { readonly port: number; readonly path: string };
};

export type CredentialsSource =
  | { readonly source: "instanceRole"; readonly role?: string }
  | { readonly source: "file"; readonly file: string };

export type LogsConfig =
  | { readonly to: "stdout" }
  | { readonly to: "file"; readonly file: string; readonly maxBytes: number; readonly keep: number }
  | { readonly to: "cloudwatch"; readonly group: string; readonly stream: string; readonly region?: string };

/** As it is read. A section that is not there is a service that is not there. */
export interface ParentConfig {
  readonly enclave: RunEnclave | AttachEnclave;
  readonly egress?: EgressConfig;
  readonly ingress?: IngressConfig;
  readonly credentials?: CredentialsConfig;
  /** JSON that is handed to the enclave, which measures it. */
  readonly configuration?: { readonly file: string };
  readonly logs?: LogsConfig;
  readonly metrics?: { readonly listen: Address };
  readonly limits: { readonly drainMs: number };
  readonly written: WrittenConfig;
}

/** What the file says, for who compares two of them. */
export interface WrittenConfig {
  /** With the defaults in place, so that a default that is written is no other than one that is not. */
  readonly file: ParentFile;
  readonly place: PlaceOf;
}

/** As it is written, once its form has been checked. */
export interface ParentFile {
  readonly enclave: {
    readonly platform: Platform;
    readonly image?: string;
    readonly attach?: string;
    readonly measurements?: string;
    readonly mockRoot?: string;
    readonly cpus?: number;
    readonly memoryMiB?: number;
    readonly cid?: number;
    readonly port?: number;
    readonly maxFailures?: number;
    readonly onExit?: "terminate" | "keep";
  };
  readonly egress?: Pick<EgressConfig, "allowlist"> & Partial<EgressConfig>;
  readonly ingress?: {
    readonly listen: string;
    readonly proxyProtocol?: "off" | "v2";
    readonly targets?: readonly string[];
    readonly balance?: IngressConfig["balance"];
    readonly health?: HealthConfig;
    readonly limits?: IngressConfig["limits"];
  };
  readonly credentials?: {
    readonly source: "instanceRole" | "file";
    readonly role?: string;
    readonly file?: string;
    readonly http?: { readonly port: number; readonly path?: string };
  };
  readonly configuration?: { readonly file: string };
  readonly logs?: {
    readonly to: "stdout" | "file" | "cloudwatch";
    readonly file?: string;
    readonly maxBytes?: number;
    readonly keep?: number;
    readonly group?: string;
    readonly stream?: string;
    readonly region?: string;
  };
  readonly metrics?: { readonly listen: string };
  readonly limits?: { readonly drainMs?: number };
}
