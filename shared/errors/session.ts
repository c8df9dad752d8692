/**
 * Why a session with an enclave was not established, or a message in it not read.
 *
 * What is wrong with a document itself is an `AttestationError`; here stands what is wrong with the session around it.
 *
 * @module
 */
import { type CodeTable, ToolkitError } from "./toolkit-error.ts";

export interface SessionRefusals {
  /** The other side shows no attestation document: whoever it is, nothing says that it is an enclave. */
  readonly ERR_SESSION_UNATTESTED: { readonly reason: string };
  /** The document is genuine and of an allowed image, and vouches for another session: somebody stands in between. */
  readonly ERR_SESSION_RELAYED: Readonly<Record<string, never>>;
  /** As many documents were given as this connection, or this enclave at this moment, may have. */
  readonly ERR_SESSION_DOCUMENT_LIMIT: { readonly scope: string; readonly limit: number };
  /** As many handshakes are under way as may be. */
  readonly ERR_SESSION_HANDSHAKE_LIMIT: { readonly limit: number };
  /** Sealed to a key that this enclave does not have, or has no more: ask for the present one. */
  readonly ERR_SESSION_KEY_UNKNOWN: Readonly<Record<string, never>>;
  /** The sealed message does not open, whatever is wrong with it. */
  readonly ERR_SESSION_NOT_OPENED: { readonly message: "request" | "answer" };
  /** The sealed request came before. */
  readonly ERR_SESSION_REPLAYED: Readonly<Record<string, never>>;
  /** The message is larger than this side takes. Size in bytes. */
  readonly ERR_SESSION_TOO_LARGE: { readonly message: "request" | "answer"; readonly maximum: number };
  /** The other side does not speak the protocol of the session. */
  readonly ERR_SESSION_MALFORMED: { readonly rule: string };
  /** The peer refused this enclave's own document. `refusal` is the code it gave; nobody vouches for it. */
  readonly ERR_SESSION_PEER_REFUSED: { readonly refusal: string };
  /** The leader has no secret of that name for this peer. */
  readonly ERR_SESSION_SECRET_UNKNOWN: { readonly secret: string };
  /** The authority gave no certificate. `step` is where it stopped, `reason` the type of its problem document. */
  readonly ERR_SESSION_CERTIFICATE: { readonly step: string; readonly reason: string };
}

export type SessionCode = keyof SessionRefusals;

export const SESSION_TABLE: CodeTable<SessionRefusals> = {
  ERR_SESSION_UNATTESTED: {
    kind: "not authentic",
    message: (d) => `the server shows no attestation document: ${d.reason}`,
  },
  ERR_SESSION_RELAYED: {
    kind: "not authentic",
    message: () => "the document vouches for another session than this one: it was relayed",
  },
  ERR_SESSION_DOCUMENT_LIMIT: {
    kind: "unreachable",
    message: (d) => `no more documents for now: ${d.limit} per ${d.scope}`,
  },
  ERR_SESSION_HANDSHAKE_LIMIT: { kind: "unreachable", message: (d) => `${d.limit} handshakes are under way` },
  ERR_SESSION_KEY_UNKNOWN: {
    kind: "refused by policy",
    message: () => "sealed to a key that this enclave does not have any more",
  },
  ERR_SESSION_NOT_OPENED: { kind: "not authentic", message: (d) => `the sealed ${d.message} does not open` },
  ERR_SESSION_REPLAYED: { kind: "refused by policy", message: () => "this sealed request came before" },
  ERR_SESSION_TOO_LARGE: {
    kind: "not authentic",
    message: (d) => `this side takes ${d.message}s of at most ${d.maximum} bytes`,
  },
  ERR_SESSION_MALFORMED: { kind: "not authentic", message: (d) => `not a message of this session: ${d.rule}` },
  ERR_SESSION_PEER_REFUSED: {
    kind: "refused by policy",
    message: (d) => `the peer refused this enclave: ${d.refusal}`,
  },
  ERR_SESSION_SECRET_UNKNOWN: { kind: "refused by policy", message: (d) => `no secret is shared as ${d.secret}` },
  ERR_SESSION_CERTIFICATE: {
    kind: "unreachable",
    message: (d) => `no certificate from the authority, at ${d.step}: ${d.reason}`,
  },
};

export class SessionError<Code extends SessionCode = SessionCode> extends ToolkitError<Code, SessionRefusals[Code]> {
  override readonly name = "SessionError";
  constructor(code: Code, details: SessionRefusals[Code], options?: ErrorOptions) {
    super(code, details, SESSION_TABLE[code], options);
  }
}

/** The same error as a discriminated union, so that `switch (error.code)` narrows `details`. */
export type AnySessionError = { [Code in SessionCode]: SessionError<Code> }[SessionCode];

export function isSessionError(error: unknown): error is AnySessionError {
  return error instanceof SessionError;
}
