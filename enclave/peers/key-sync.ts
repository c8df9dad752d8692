/**
 * Hands secrets from a leader to workers, enclave to enclave, so that a fleet can share one identity.
 *
 *   worker → leader   the secret's name
 *   leader → worker   0x01 ‖ the secret, or 0x00 where it has none of that name
 *
 * Both ends are verified first (`peer-sessions.ts`): with the policy of one image, the leader gives to enclaves that are what
 * it is and to nobody else, and a worker takes from no other. Who leads is not decided here: the parent names the address, and
 * whoever answers there has proved to be the same code, no more. A secret that the worker must tell from an older
 * one needs a version that the application anchors.
 *
 * @module
 */
import type { Duplex } from "node:stream";
import { concat, utf8 } from "../../shared/bytes.ts";
import { SessionError } from "../../shared/errors/session.ts";
import { TransportError } from "../../shared/errors/transport.ts";
import { endAndWait, MESSAGE_MAX, readMessage, writeMessage } from "../../shared/session/peer.ts";
import type { PeerSession, PeerSessions } from "./peer-sessions.ts";

export interface KeySyncOptions {
  readonly peers: PeerSessions;
  /** For one secret, from the end of the handshake, in milliseconds. Default 10 000. */
  readonly timeoutMs?: number;
}

export interface KeySync {
  /**
   * The leader's side of one connection: answers one question. Both calls end the connection.
   *
   * @param secrets by name; read when the question comes, so that they can change
   * @throws {AttestationError | SessionError | TransportError} the worker is refused, or asked for what there is not
   */
  give(raw: Duplex, secrets: ReadonlyMap<string, Uint8Array>): Promise<PeerSession["attestation"]>;
  /**
   * The worker's side: asks the leader for one secret, at most 65 534 bytes.
   *
   * @throws {AttestationError | SessionError | TransportError} the leader is refused; `ERR_SESSION_PEER_REFUSED`;
   *   `ERR_SESSION_SECRET_UNKNOWN`
   */
  take(raw: Duplex, name: string): Promise<Uint8Array>;
}

const NAME = /^[a-z][a-z0-9-]{0,63}$/;
const NAME_MAX = 64;
const GIVEN = 1;

export function createKeySync({ peers, timeoutMs = 10_000 }: KeySyncOptions): KeySync {
  return {
    async give(raw, secrets) {
      const { socket, attestation } = await peers.accept(raw);
      return within(socket, timeoutMs, async (signal) => {
        const asked = new TextDecoder().decode(
          await readMessage(socket, { address: "the worker", signal, maxBytes: NAME_MAX }),
        );
        if (!NAME.test(asked)) throw new SessionError("ERR_SESSION_MALFORMED", { rule: "the name of a secret" });
        const secret = secrets.get(asked);
        const answer = secret ? concat(Uint8Array.of(GIVEN), secret) : Uint8Array.of(0);
        writeMessage(socket, answer);
        answer.fill(0);
        await endAndWait(socket, signal);
        if (!secret) throw new SessionError("ERR_SESSION_SECRET_UNKNOWN", { secret: asked });
        return attestation;
      });
    },
    async take(raw, name) {
      if (!NAME.test(name)) throw new RangeError("a secret's name is 1 to 64 lower-case letters, digits and hyphens");
      const { socket } = await peers.connect(raw);
      return within(socket, timeoutMs, async (signal) => {
        writeMessage(socket, utf8(name));
        const answer = await readMessage(socket, { address: "the leader", signal, maxBytes: MESSAGE_MAX });
        if (answer[0] !== GIVEN) throw new SessionError("ERR_SESSION_SECRET_UNKNOWN", { secret: name });
        const secret = answer.slice(1);
        answer.fill(0);
        return secret;
      });
    },
  };
}

async function within<T>(socket: Duplex, timeoutMs: number, run: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const attempt = new AbortController();
  const late = new TransportError("ERR_TRANSPORT_TIMEOUT", { address: "the peer", timeoutMs });
  const timer = setTimeout(() => attempt.abort(late), timeoutMs);
  try {
    return await run(attempt.signal);
  } finally {
    clearTimeout(timer);
    socket.destroy();
  }
}
