/**
 * Hands the role's short-lived credentials to the enclave, on request.
 *
 * One method, `credentials`, whose answer has the shape of the container credentials endpoint. The provider is the
 * operator's: it reads the instance's role. Values are forwarded and never logged, counted or kept.
 *
 * Source: AWS SDKs reference guide, "Container credential provider", the response's fields.
 *
 * @module
 */
import type { Address } from "../shared/transport/address.ts";
import { serveChannel } from "../shared/transport/serve-channel.ts";
import type { Transport } from "../shared/transport/transport.ts";
import type { ParentLog, Tap } from "./observe.ts";
import { type Connection, type ListeningService, listenService, type Outcome } from "./service.ts";

/** Credentials of a role, as the container credentials endpoint gives them. */
export interface ContainerCredentials {
  readonly AccessKeyId: string;
  readonly SecretAccessKey: string;
  readonly Token: string;
  /** ISO 8601. */
  readonly Expiration: string;
}

export type ProvideCredentials = () => Promise<ContainerCredentials> | ContainerCredentials;

export interface CredentialsOptions {
  readonly transport: Transport;
  readonly address: Address;
  /** Over vsock, the only peers that are served, by context id. */
  readonly allowedCids?: readonly number[] | undefined;
  readonly provide: ProvideCredentials;
  readonly log: ParentLog;
  /** Sees the credentials cross, as the parent can. */
  readonly tap?: Tap | undefined;
  /** How many connections at once. Default 64. */
  readonly maxConnections?: number;
}

const REQUEST_BYTES_MAX = 65_536;

/** @throws {TransportError} the address can not be bound */
export async function startCredentials(options: CredentialsOptions): Promise<ListeningService> {
  const { transport, address, allowedCids, provide, log, tap, maxConnections = 64 } = options;

  async function serve({ id, socket, log: note }: Connection): Promise<Outcome> {
    const credentials = async (): Promise<Record<string, string>> => {
      // Field by field: what else the provider's object holds stays here.
      const { AccessKeyId, SecretAccessKey, Token, Expiration } = await provide();
      note("connected");
      return { AccessKeyId, SecretAccessKey, Token, Expiration };
    };
    const channel = serveChannel(
      socket,
      { requests: { credentials } },
      {
        maxFrameBytes: REQUEST_BYTES_MAX,
        tap: (direction, bytes) => tap?.(id, direction === "received" ? "from-enclave" : "to-enclave", bytes),
      },
    );
    const fault = await channel.closed;
    if (fault) throw fault;
    return "served";
  }

  return listenService({ service: "credentials", transport, address, allowedCids, log, maxConnections, serve });
}
