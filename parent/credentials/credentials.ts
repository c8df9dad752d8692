/**
 * Hands the role's short-lived credentials to the enclave, on request.
 *
 * One method, `credentials`, whose answer has the shape of the container credentials endpoint. The provider is the
 * operator's: the instance's role, or any provider of the SDK. Values are forwarded and never logged, counted or kept
 * here. Over vsock only the peers that are named are served.
 *
 * Source: AWS SDKs reference guide, "Container credential provider", the response's fields.
 *
 * @module
 */
import type { Address } from "../../shared/transport/address.ts";
import type { FrameTap } from "../../shared/transport/frame-stream.ts";
import { serveChannel } from "../../shared/transport/serve-channel.ts";
import type { Transport } from "../../shared/transport/transport.ts";
import type { Connection, Outcome } from "../listening/connection.ts";
import { type CidListeningService, listenService } from "../listening/service.ts";
import type { ParentLog, Tap } from "../observability/observe.ts";
import type { ProvideCredentials } from "./container-credentials.ts";
import { checkNamedPeers } from "./named-peers.ts";

export type { ContainerCredentials, ProvideCredentials } from "./container-credentials.ts";

export interface CredentialsOptions {
  readonly transport: Transport;
  readonly address: Address;
  /** Over vsock, the only peers that are served, by context id. Required there. */
  readonly allowedCids?: readonly number[] | undefined;
  readonly provide: ProvideCredentials;
  readonly log: ParentLog;
  /** Sees the credentials cross, as the parent can. */
  readonly tap?: Tap | undefined;
  /** How many connections at once. Default 64. */
  readonly maxConnections?: number;
  /** How many of them may be of one context id. Default 16. */
  readonly maxConnectionsPerCid?: number;
  /** How long a connection may say nothing, in milliseconds. Default 60 000: an enclave asks and goes. */
  readonly idleTimeoutMs?: number;
}

const REQUEST_BYTES_MAX = 65_536;

/**
 * @throws {ConfigError} nobody is named who is served over vsock
 * @throws {TransportError} the address can not be bound
 */
export async function startCredentials(options: CredentialsOptions): Promise<CidListeningService> {
  const { transport, address, allowedCids, provide, log, tap, idleTimeoutMs = 60_000 } = options;
  const { maxConnections = 64, maxConnectionsPerCid = 16 } = options;
  const places = { maxConnections, maxConnectionsPerCid };
  checkNamedPeers(address, allowedCids);

  async function serve({ id, socket, traffic, log: note }: Connection): Promise<Outcome> {
    const idle = setTimeout(() => socket.destroy(), idleTimeoutMs);
    let failure: unknown;
    let isConnected = false;
    const credentials = async (): Promise<Record<string, string>> => {
      try {
        // Field by field: what else the provider's object holds stays here.
        const { AccessKeyId, SecretAccessKey, Token, Expiration } = await provide();
        // Once a connection: whoever asks again and again does not drown what else happens.
        if (!isConnected) note("connected");
        isConnected = true;
        return { AccessKeyId, SecretAccessKey, Token, Expiration };
      } catch (error) {
        failure = error;
        throw error;
      }
    };
    const onBytes: FrameTap = (direction, bytes) => {
      idle.refresh();
      const fromEnclave = direction === "received";
      traffic[fromEnclave ? "bytesFromEnclave" : "bytesToEnclave"] += bytes.length;
      tap?.(id, fromEnclave ? "from-enclave" : "to-enclave", bytes);
    };
    const channel = serveChannel(
      socket,
      { requests: { credentials } },
      { maxFrameBytes: REQUEST_BYTES_MAX, tap: onBytes },
    );
    const fault = (await channel.closed) ?? failure;
    clearTimeout(idle);
    if (fault) throw fault;
    return "served";
  }

  return listenService({ service: "credentials", transport, address, allowedCids, log, ...places, serve });
}
