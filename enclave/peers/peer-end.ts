/**
 * One side of the four messages in which two enclaves prove to each other what they are (`shared/session/peer.ts`).
 *
 * @module
 */
import { randomBytes } from "node:crypto";
import type { TLSSocket } from "node:tls";
import { createChainCache, type VerifiedAttestation } from "../../shared/attestation/index.ts";
import { DOCUMENT_MAX } from "../../shared/attestation/parse.ts";
import { encodeUserData } from "../../shared/attestation/user-data.ts";
import { concat, utf8 } from "../../shared/bytes.ts";
import { SessionError } from "../../shared/errors/session.ts";
import { isToolkitError } from "../../shared/errors/toolkit-error.ts";
import type { NsmDevice } from "../../shared/nsm/device.ts";
import { EXPORTER_BYTES } from "../../shared/session/attested-tls.ts";
import { type EnclavePolicy, verifyBoundDocument } from "../../shared/session/bound-document.ts";
import {
  endAndWait,
  PEER_EXPORTER_LABEL,
  PEER_NONCE_BYTES,
  PEER_PURPOSE,
  type PeerRole,
  peerDigest,
  readMessage,
  writeMessage,
} from "../../shared/session/peer.ts";

/** For errors: the other end has no name of its own. */
export const PEER_ADDRESS = "the peer";
const REFUSAL_MAX = 200;

interface Judging {
  readonly policy: EnclavePolicy;
  readonly now: () => Date;
}

/** One side of the four messages. */
export class PeerEnd {
  readonly #nsm: Pick<NsmDevice, "attest">;
  readonly #judging: Judging;
  readonly #chains = createChainCache();

  constructor(nsm: Pick<NsmDevice, "attest">, judging: Judging) {
    this.#nsm = nsm;
    this.#judging = judging;
  }

  async initiate(socket: TLSSocket, signal: AbortSignal): Promise<VerifiedAttestation> {
    const reading = { address: PEER_ADDRESS, signal };
    const spki = serverKey(socket);
    const own = randomBytes(PEER_NONCE_BYTES);
    writeMessage(socket, own);
    const answer = await readMessage(socket, { ...reading, maxBytes: PEER_NONCE_BYTES + DOCUMENT_MAX });
    const theirs = answer.subarray(0, PEER_NONCE_BYTES);
    const exporter = exporterOf(socket, concat(own, theirs));
    const attestation = await this.#verify(answer.subarray(PEER_NONCE_BYTES), {
      ...{ role: "responder", nonce: own, publicKey: spki, spki, exporter },
    });
    writeMessage(socket, await this.#attest("initiator", { nonce: theirs, spki, exporter }));
    const verdict = await readMessage(socket, { ...reading, maxBytes: REFUSAL_MAX });
    if (verdict.length > 0) throw new SessionError("ERR_SESSION_PEER_REFUSED", { refusal: refusalOf(verdict) });
    return attestation;
  }

  async respond(
    socket: TLSSocket,
    { spki, signal }: { readonly spki: Uint8Array; readonly signal: AbortSignal },
  ): Promise<VerifiedAttestation> {
    const reading = { address: PEER_ADDRESS, signal };
    const theirs = await readMessage(socket, { ...reading, maxBytes: PEER_NONCE_BYTES });
    if (theirs.length !== PEER_NONCE_BYTES) {
      throw new SessionError("ERR_SESSION_MALFORMED", { rule: `a nonce has ${PEER_NONCE_BYTES} bytes` });
    }
    const own = randomBytes(PEER_NONCE_BYTES);
    const exporter = exporterOf(socket, concat(theirs, own));
    const document = await this.#attest("responder", { nonce: theirs, publicKey: spki, spki, exporter });
    writeMessage(socket, concat(own, document));
    const answer = await readMessage(socket, { ...reading, maxBytes: DOCUMENT_MAX });
    try {
      const expected = { role: "initiator", nonce: own, publicKey: "unchecked", spki, exporter } as const;
      const attestation = await this.#verify(answer, expected);
      writeMessage(socket, new Uint8Array());
      return attestation;
    } catch (error) {
      if (!isToolkitError(error)) throw error;
      writeMessage(socket, utf8(error.code));
      await endAndWait(socket, signal);
      throw error;
    }
  }

  async #attest(role: PeerRole, { nonce, publicKey, spki, exporter }: Making): Promise<Uint8Array> {
    const digest = await peerDigest({ role, spki, exporter });
    const userData = encodeUserData({ purpose: PEER_PURPOSE, digest });
    return this.#nsm.attest({ nonce, userData, ...(publicKey && { publicKey }) });
  }

  async #verify(
    document: Uint8Array,
    { role, nonce, publicKey, spki, exporter }: Expected,
  ): Promise<VerifiedAttestation> {
    const { policy, now } = this.#judging;
    const digest = await peerDigest({ role, spki, exporter });
    const binding = { nonce, purpose: PEER_PURPOSE, digest, publicKey };
    return verifyBoundDocument(document, { policy, binding, now: now(), chainCache: this.#chains });
  }
}

interface Making {
  readonly nonce: Uint8Array;
  readonly publicKey?: Uint8Array;
  readonly spki: Uint8Array;
  readonly exporter: Uint8Array;
}

interface Expected extends Omit<Making, "publicKey"> {
  readonly role: PeerRole;
  readonly publicKey: Uint8Array | "unchecked";
}

function exporterOf(socket: TLSSocket, context: Uint8Array): Uint8Array {
  return socket.exportKeyingMaterial(EXPORTER_BYTES, PEER_EXPORTER_LABEL, Buffer.from(context));
}

/** A code as the peer wrote it; nobody vouches for it. */
function refusalOf(bytes: Uint8Array): string {
  const text = new TextDecoder().decode(bytes);
  return /^ERR_[A-Z0-9_]{1,80}$/.test(text) ? text : "unknown";
}

function serverKey(socket: TLSSocket): Uint8Array {
  const certificate = socket.getPeerX509Certificate();
  if (!certificate) throw new TypeError("a TLS server shows a certificate");
  return new Uint8Array(certificate.publicKey.export({ type: "spki", format: "der" }));
}
