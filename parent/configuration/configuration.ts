/**
 * Hands the enclave its configuration, on request: the bytes of one JSON document, or that there is none.
 *
 * The document is read once, at the start, under the same strict rules as the enclave's, so that a mistake is told to the
 * operator and not found out by an enclave that does not come up. The enclave measures what it gets; a parent that hands
 * out another document is seen in PCR16. Over vsock only the peers that are named are served.
 *
 * @module
 */
import { CONFIGURATION_MAX, CONFIGURATION_METHOD, parseConfiguration } from "../../shared/configuration/document.ts";
import { ConfigError, isEnclaveError } from "../../shared/errors/index.ts";
import type { Address } from "../../shared/transport/address.ts";
import type { FrameTap } from "../../shared/transport/frame-stream.ts";
import { serveChannel } from "../../shared/transport/serve-channel.ts";
import type { Transport } from "../../shared/transport/transport.ts";
import { checkNamedPeers } from "../credentials/named-peers.ts";
import type { Connection, Outcome } from "../listening/connection.ts";
import { type CidListeningService, listenService } from "../listening/service.ts";
import type { ParentLog, Tap } from "../observability/observe.ts";

export interface ConfigurationOptions {
  readonly transport: Transport;
  readonly address: Address;
  /** Over vsock, the only peers that are served, by context id. Required there. */
  readonly allowedCids?: readonly number[] | undefined;
  /** JSON, at most 64 KiB; `none` says that there is no document. */
  readonly document: Uint8Array | "none";
  readonly log: ParentLog;
  /** Sees the document cross, as the parent can. */
  readonly tap?: Tap | undefined;
  /** How many connections at once. Default 64. */
  readonly maxConnections?: number;
  /** How many of them may be of one context id. Default 16. */
  readonly maxConnectionsPerCid?: number;
  /** How long a connection may say nothing, in milliseconds. Default 60 000: an enclave asks and goes. */
  readonly idleTimeoutMs?: number;
}

const REQUEST_BYTES_MAX = 2 * CONFIGURATION_MAX;

/**
 * @throws {ConfigError} the document is not strict JSON of at most 64 KiB, or nobody is named who is served over vsock
 * @throws {TransportError} the address can not be bound
 */
export async function startConfiguration(options: ConfigurationOptions): Promise<CidListeningService> {
  const { transport, address, allowedCids, log, tap, idleTimeoutMs = 60_000 } = options;
  const { maxConnections = 64, maxConnectionsPerCid = 16 } = options;
  checkNamedPeers(address, allowedCids);
  const answer = { document: options.document === "none" ? null : toText(options.document) };

  async function serve({ id, socket, traffic, log: note }: Connection): Promise<Outcome> {
    const idle = setTimeout(() => socket.destroy(), idleTimeoutMs);
    const onBytes: FrameTap = (direction, bytes) => {
      idle.refresh();
      const fromEnclave = direction === "received";
      traffic[fromEnclave ? "bytesFromEnclave" : "bytesToEnclave"] += bytes.length;
      tap?.(id, fromEnclave ? "from-enclave" : "to-enclave", bytes);
    };
    const give = (): { readonly document: string | null } => {
      note("connected");
      return answer;
    };
    const requests = { [CONFIGURATION_METHOD]: give };
    const channel = serveChannel(socket, { requests }, { maxFrameBytes: REQUEST_BYTES_MAX, tap: onBytes });
    const fault = await channel.closed;
    clearTimeout(idle);
    if (fault) throw fault;
    return "served";
  }

  const places = { maxConnections, maxConnectionsPerCid };
  return listenService({ service: "configuration", transport, address, allowedCids, log, ...places, serve });
}

/** Checked and copied: what the caller does with its bytes later changes nothing. */
function toText(document: Uint8Array): string {
  try {
    parseConfiguration(document);
  } catch (error) {
    if (!isEnclaveError(error)) throw error;
    const expected = `strict JSON, ${CONFIGURATION_MAX} bytes at most`;
    const actual = `${document.length} bytes that break a rule: ${error.message}`;
    throw new ConfigError("ERR_CONFIG_FIELD_INVALID", { field: "configuration", expected, actual });
  }
  return Buffer.from(document).toString("base64");
}
