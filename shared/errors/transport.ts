/**
 * Why bytes did not reach a peer.
 *
 * @module
 */
import { type CodeTable, ToolkitError } from "./toolkit-error.ts";

export interface TransportRefusals {
  /** Not an address this toolkit knows. */
  readonly ERR_TRANSPORT_ADDRESS_INVALID: { readonly address: string; readonly rule: string };
  /** Nothing answers there. `reason` is the system's error name. */
  readonly ERR_TRANSPORT_UNREACHABLE: { readonly address: string; readonly reason: string };
  /** No answer in time. */
  readonly ERR_TRANSPORT_TIMEOUT: { readonly address: string; readonly timeoutMs: number };
  /** The egress proxy does not forward to this host and port. */
  readonly ERR_TRANSPORT_HOST_NOT_ALLOWED: { readonly host: string; readonly port: number };
  /** A TLS client did not ask for the server that its connection was opened for, or not in a way that can be seen. */
  readonly ERR_TRANSPORT_SNI_REFUSED: { readonly host: string; readonly rule: string };
  /** The egress proxy could not connect. */
  readonly ERR_TRANSPORT_PROXY_REFUSED: { readonly host: string; readonly port: number; readonly status: number };
  /** The peer does not speak the frame format. */
  readonly ERR_TRANSPORT_FRAME_INVALID: { readonly rule: string };
  /** Refused before a byte is allocated. Sizes in bytes. */
  readonly ERR_TRANSPORT_FRAME_TOO_LARGE: { readonly maximum: number; readonly announced: number };
  /** Connected to another peer than the one asked for. */
  readonly ERR_TRANSPORT_PEER_MISMATCH: { readonly address: string; readonly actual: string };
  /** The peer went away in the middle. */
  readonly ERR_TRANSPORT_CLOSED: { readonly address: string };
  /** This build or this host has no driver for the address. */
  readonly ERR_TRANSPORT_UNSUPPORTED: { readonly address: string; readonly reason: string };
  /** The stream ended inside a frame. `missing` is at least how many bytes did not come. */
  readonly ERR_TRANSPORT_FRAME_TRUNCATED: { readonly missing: number };
  /** A frame did not come whole in time. */
  readonly ERR_TRANSPORT_FRAME_SLOW: { readonly timeoutMs: number };
  /** As many requests are unanswered as a channel may hold. */
  readonly ERR_TRANSPORT_BUSY: { readonly limit: number };
  /** The peer refused a request. `refusal` is the code it gave. */
  readonly ERR_TRANSPORT_REQUEST_REFUSED: { readonly method: string; readonly refusal: string };
  /** What answers on the egress port does not speak HTTP CONNECT. */
  readonly ERR_TRANSPORT_PROXY_INVALID: { readonly rule: string };
  /** What listens on a guest's Unix socket does not speak the convention of hybrid vsock. */
  readonly ERR_TRANSPORT_HYBRID_INVALID: { readonly address: string; readonly rule: string };
  /** The peer sent more than may wait unread, over a binding that can not be told to pause. Size in bytes. */
  readonly ERR_TRANSPORT_UNREAD: { readonly maximum: number };
  /** TLS did not come about, or the certificate is not one this side trusts. `reason` is OpenSSL's or Node's code. */
  readonly ERR_TRANSPORT_TLS_REFUSED: { readonly host: string; readonly port: number; readonly reason: string };
  /** The parent's credentials have another form, or are out of date. Never holds a value. */
  readonly ERR_TRANSPORT_CREDENTIALS_INVALID: { readonly field: string; readonly expected: string };
  /** The source of the role's credentials gave none. `reason` is a status, the system's name or an error's. */
  readonly ERR_TRANSPORT_CREDENTIALS_UNAVAILABLE: { readonly source: string; readonly reason: string };
}

export type TransportCode = keyof TransportRefusals;

export const TRANSPORT_TABLE: CodeTable<TransportRefusals> = {
  ERR_TRANSPORT_ADDRESS_INVALID: { kind: "usage", message: (d) => `${d.address} is not an address: ${d.rule}` },
  ERR_TRANSPORT_UNREACHABLE: { kind: "unreachable", message: (d) => `could not reach ${d.address}: ${d.reason}` },
  ERR_TRANSPORT_TIMEOUT: { kind: "unreachable", message: (d) => `${d.address} did not answer in ${d.timeoutMs} ms` },
  ERR_TRANSPORT_HOST_NOT_ALLOWED: {
    kind: "refused by policy",
    message: (d) => `${d.host}:${d.port} is not on the parent's allowlist`,
  },
  ERR_TRANSPORT_SNI_REFUSED: {
    kind: "refused by policy",
    message: (d) => `not forwarded to ${d.host}: ${d.rule}`,
  },
  ERR_TRANSPORT_PROXY_REFUSED: {
    kind: "unreachable",
    message: (d) => `the egress proxy answered ${d.status} for ${d.host}:${d.port}`,
  },
  ERR_TRANSPORT_FRAME_INVALID: { kind: "not authentic", message: (d) => `not a frame: ${d.rule}` },
  ERR_TRANSPORT_FRAME_TOO_LARGE: {
    kind: "not authentic",
    message: (d) => `a frame may have ${d.maximum} bytes, the peer announced ${d.announced}`,
  },
  ERR_TRANSPORT_PEER_MISMATCH: {
    kind: "not authentic",
    message: (d) => `asked for ${d.address}, and ${d.actual} answered`,
  },
  ERR_TRANSPORT_CLOSED: {
    kind: "unreachable",
    message: (d) => `${d.address} closed the connection before it answered`,
  },
  ERR_TRANSPORT_UNSUPPORTED: { kind: "host lacks", message: (d) => `no driver for ${d.address}: ${d.reason}` },
  ERR_TRANSPORT_FRAME_TRUNCATED: {
    kind: "unreachable",
    message: (d) => `the stream ended inside a frame, ${d.missing} bytes or more are missing`,
  },
  ERR_TRANSPORT_FRAME_SLOW: { kind: "unreachable", message: (d) => `a frame did not come whole in ${d.timeoutMs} ms` },
  ERR_TRANSPORT_BUSY: { kind: "unreachable", message: (d) => `${d.limit} requests are unanswered, no more are taken` },
  ERR_TRANSPORT_REQUEST_REFUSED: {
    kind: "refused by policy",
    message: (d) => `the peer refused ${d.method}: ${d.refusal}`,
  },
  ERR_TRANSPORT_PROXY_INVALID: {
    kind: "not authentic",
    message: (d) => `the egress proxy does not speak HTTP CONNECT: ${d.rule}`,
  },
  ERR_TRANSPORT_HYBRID_INVALID: {
    kind: "not authentic",
    message: (d) => `${d.address} does not lead to a guest: ${d.rule}`,
  },
  ERR_TRANSPORT_UNREAD: {
    kind: "unreachable",
    message: (d) => `more than ${d.maximum} bytes waited to be read, and the binding can not make the peer wait`,
  },
  ERR_TRANSPORT_TLS_REFUSED: {
    kind: "not authentic",
    message: (d) => `no TLS session with ${d.host}:${d.port}: ${d.reason}`,
  },
  ERR_TRANSPORT_CREDENTIALS_INVALID: {
    kind: "not authentic",
    message: (d) => `the parent's credentials are not usable: ${d.field} must be ${d.expected}`,
  },
  ERR_TRANSPORT_CREDENTIALS_UNAVAILABLE: {
    kind: "unreachable",
    message: (d) => `no credentials from ${d.source}: ${d.reason}`,
  },
};

export class TransportError<Code extends TransportCode = TransportCode> extends ToolkitError<
  Code,
  TransportRefusals[Code]
> {
  override readonly name = "TransportError";
  constructor(code: Code, details: TransportRefusals[Code], options?: ErrorOptions) {
    super(code, details, TRANSPORT_TABLE[code], options);
  }
}

/** The same error as a discriminated union, so that `switch (error.code)` narrows `details`. */
export type AnyTransportError = { [Code in TransportCode]: TransportError<Code> }[TransportCode];

export function isTransportError(error: unknown): error is AnyTransportError {
  return error instanceof TransportError;
}
