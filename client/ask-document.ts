/**
 * Asks the other end of a fresh TLS connection for its attestation document, before anything else is said on it.
 *
 * The request names nothing of what is asked later: a fixed path, a fixed host, a random challenge. The answer is read
 * strictly and whole, and the connection must be silent after it: what is left over could be taken for the answer to
 * the first real request.
 *
 * @module
 */
import type { Duplex } from "node:stream";
import { DOCUMENT_MAX } from "../shared/attestation/parse.ts";
import { SessionError } from "../shared/errors/session.ts";
import { isTransportError } from "../shared/errors/transport.ts";
import { attestationTarget, DOCUMENT_TYPE } from "../shared/session/attested-tls.ts";
import { readExactly } from "../shared/session/read-exactly.ts";
import { type Head, parseHead, readHead } from "../shared/transport/http-head.ts";

export interface AskDocumentOptions {
  readonly nonce: Uint8Array;
  /** Who is asked, for errors. */
  readonly address: string;
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
}

/**
 * @throws {SessionError} `ERR_SESSION_UNATTESTED`
 * @throws {TransportError} `ERR_TRANSPORT_CLOSED`, `ERR_TRANSPORT_TIMEOUT`
 */
export async function askDocument(socket: Duplex, options: AskDocumentOptions): Promise<Uint8Array> {
  const { nonce, address, timeoutMs, signal } = options;
  socket.write(`GET ${attestationTarget(nonce)} HTTP/1.1\r\nHost: enclave\r\nAccept: ${DOCUMENT_TYPE}\r\n\r\n`);
  const length = documentLength(await head(socket, { address, timeoutMs, signal }));
  const document = await readExactly(socket, length, { address, signal });
  if (socket.readableLength > 0) throw unattested("bytes after the document");
  return document;
}

function unattested(reason: string, cause?: unknown): SessionError {
  return new SessionError("ERR_SESSION_UNATTESTED", { reason }, { cause });
}

async function head(socket: Duplex, options: Omit<AskDocumentOptions, "nonce">): Promise<Head> {
  try {
    return parseHead(await readHead(socket, options));
  } catch (error) {
    if (isTransportError(error) && error.code === "ERR_TRANSPORT_PROXY_INVALID") throw unattested("not HTTP", error);
    throw error;
  }
}

function documentLength({ start, fields }: Head): number {
  const status = /^HTTP\/1\.1 ([1-5][0-9]{2})( |$)/.exec(start)?.[1];
  if (status === undefined) throw unattested("not HTTP");
  if (status !== "200") throw unattested(`HTTP ${status}`);
  const valuesOf = (wanted: string): string[] => fields.flatMap(([name, value]) => (name === wanted ? [value] : []));
  if (valuesOf("content-type").join() !== DOCUMENT_TYPE) throw unattested("another content type");
  const [length = "", ...others] = valuesOf("content-length");
  if (others.length > 0 || !/^[1-9][0-9]{0,5}$/.test(length) || valuesOf("transfer-encoding").length > 0) {
    throw unattested("no content-length");
  }
  if (Number(length) > DOCUMENT_MAX) throw unattested(`${length} bytes`);
  return Number(length);
}
