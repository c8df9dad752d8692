/**
 * The role's credentials, from the parent, as the AWS SDK takes them.
 *
 * They let the enclave call AWS; they do not decide what it may decrypt: KMS does, by the attestation document. So with
 * KMS a parent that lies here gains nothing but a failed call. Of other services it chooses the account: what is written
 * there it may read and change, and another account may have a bucket or a table of the same name. The answer's shape is checked all the same, and an error
 * names the field and never its content.
 *
 *   more than five minutes left   the ones at hand
 *   half a minute or more         the ones at hand, and one question behind them
 *   less                          the answer is waited for; without one, those at hand while they are valid
 *   none at hand                  asked again and again, with rests that grow, until patience ends
 *
 * Callers share one question. A parent that restarts, or whose own source is away for a while, costs no call.
 *
 * @module
 */
import { inspect } from "node:util";
import { isTransportError, TransportError } from "../../shared/errors/index.ts";
import { addressOf, formatAddress, type Peer } from "../../shared/transport/address.ts";
import { openChannel } from "../../shared/transport/channel.ts";
import { isJsonObject, type Json } from "../../shared/transport/json.ts";
import { CREDENTIALS_PORT } from "../../shared/transport/ports.ts";
import type { Transport } from "../../shared/transport/transport.ts";

/** What the AWS SDK calls an `AwsCredentialIdentity`. */
export interface AwsCredentials {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly sessionToken: string;
  readonly expiration: Date;
}

export interface ParentCredentialsOptions {
  readonly transport: Transport;
  readonly parent: Peer;
  /** For one question, in milliseconds. Default 10 000. */
  readonly timeoutMs?: number;
  /** How long callers wait for a parent that gives none, while there are none at hand, in milliseconds. Default 15 000. */
  readonly patienceMs?: number;
  /** Default: the system's clock. */
  readonly now?: () => Date;
  /** A clock that only goes forward, in milliseconds. Default `performance.now`. */
  readonly monotonicMs?: () => number;
  /** Waits so many milliseconds. Default: a timer. */
  readonly rest?: (ms: number) => Promise<void>;
}

const REFRESH_AHEAD_MS = 300_000;
/** What must be left of credentials that are handed out while new ones are asked for. */
const MARGIN_MS = 30_000;
/** Between two questions while there are valid ones at hand. */
const REST_MS = 5_000;
const REST_FIRST_MS = 100;
const REST_LONGEST_MS = 2_000;
const FRAME_BYTES_MAX = 65_536;
const TOKEN_MAX = 16_384;

interface Held {
  readonly credentials: AwsCredentials;
  /** The same end by the clock that only goes forward: the parent's hand is not on this one. */
  readonly endsAtMonotonic: number;
}

/**
 * Makes a credential provider for `new KMSClient({ credentials })`.
 *
 * The provider throws `TransportError`: `ERR_TRANSPORT_CREDENTIALS_INVALID`, `ERR_TRANSPORT_REQUEST_REFUSED`, or why the
 * parent was not reached; never while the credentials at hand are valid.
 */
export function parentCredentials(options: ParentCredentialsOptions): () => Promise<AwsCredentials> {
  return new CredentialsAtHand(options).give;
}

class CredentialsAtHand {
  readonly #options: ParentCredentialsOptions;
  readonly #now: () => Date;
  readonly #monotonicMs: () => number;
  #held: Held | undefined;
  #asking: Promise<AwsCredentials> | undefined;
  #askedAt = Number.NEGATIVE_INFINITY;

  constructor(options: ParentCredentialsOptions) {
    this.#options = options;
    this.#now = options.now ?? (() => new Date());
    this.#monotonicMs = options.monotonicMs ?? (() => performance.now());
  }

  readonly give = async (): Promise<AwsCredentials> => {
    const held = this.#held;
    const left = held ? this.#left(held) : 0;
    if (held && left > REFRESH_AHEAD_MS) return held.credentials;
    const askedJustNow = this.#asking === undefined && this.#monotonicMs() - this.#askedAt < REST_MS;
    if (held && left > 0 && askedJustNow) return held.credentials;
    const answer = this.#ask();
    if (held && left > MARGIN_MS) {
      answer.catch(() => {}); // who needs the answer later asks again
      return held.credentials;
    }
    try {
      return await answer;
    } catch (error) {
      if (held && this.#left(held) > 0) return held.credentials;
      throw error;
    }
  };

  #left({ credentials, endsAtMonotonic }: Held): number {
    const byWallClock = credentials.expiration.getTime() - this.#now().getTime();
    return Math.min(byWallClock, endsAtMonotonic - this.#monotonicMs());
  }

  #ask(): Promise<AwsCredentials> {
    this.#asking ??= this.#persist().finally(() => {
      this.#asking = undefined;
    });
    return this.#asking;
  }

  async #persist(): Promise<AwsCredentials> {
    const { patienceMs = 15_000, rest = (ms) => new Promise((resolve) => setTimeout(resolve, ms)) } = this.#options;
    const started = this.#monotonicMs();
    for (let pause = REST_FIRST_MS; ; pause = Math.min(2 * pause, REST_LONGEST_MS)) {
      try {
        return await this.#refresh();
      } catch (error) {
        const isPatient = this.#monotonicMs() - started + pause < patienceMs && mayHeal(error);
        if (!isPatient || (this.#held && this.#left(this.#held) > 0)) throw error;
        await rest(pause);
      }
    }
  }

  async #refresh(): Promise<AwsCredentials> {
    this.#askedAt = this.#monotonicMs();
    const credentials = readCredentials(await askParent(this.#options), this.#now());
    const left = credentials.expiration.getTime() - this.#now().getTime();
    this.#held = { credentials, endsAtMonotonic: this.#monotonicMs() + left };
    return credentials;
  }
}

/** An answer of the wrong form will have it again; one that is out of date may not be the next time. */
function mayHeal(error: unknown): boolean {
  if (!isTransportError(error) || error.code !== "ERR_TRANSPORT_CREDENTIALS_INVALID") return true;
  return error.details.field === "Expiration";
}

async function askParent({ transport, parent, timeoutMs = 10_000 }: ParentCredentialsOptions): Promise<Json> {
  const address = addressOf(parent, CREDENTIALS_PORT);
  const socket = await transport.connect(address, { timeoutMs });
  const channel = openChannel(socket, { peer: formatAddress(address), maxFrameBytes: FRAME_BYTES_MAX });
  try {
    return await channel.request("credentials", {}, { timeoutMs });
  } finally {
    void channel.close();
  }
}

function invalid(field: string, expected: string): TransportError {
  return new TransportError("ERR_TRANSPORT_CREDENTIALS_INVALID", { field, expected });
}

/** Source: IAM API reference, `Credentials`: lengths and patterns. */
function readCredentials(answer: Json, now: Date): AwsCredentials {
  if (!isJsonObject(answer)) throw invalid("the answer", "an object");
  const text = (field: string, pattern: RegExp, expected: string): string => {
    const value = answer[field];
    if (typeof value !== "string" || !pattern.test(value)) throw invalid(field, expected);
    return value;
  };
  const accessKeyId = text("AccessKeyId", /^\w{16,128}$/, "16 to 128 letters and digits");
  const secretAccessKey = text("SecretAccessKey", /^[\x21-\x7e]{16,256}$/, "16 to 256 printable characters");
  const sessionToken = text("Token", /^[\x21-\x7e]+$/, "printable characters");
  if (sessionToken.length > TOKEN_MAX) throw invalid("Token", `at most ${TOKEN_MAX} characters`);
  const iso = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?Z$/;
  const expiration = new Date(text("Expiration", iso, "a time in ISO 8601, UTC"));
  if (!(expiration.getTime() > now.getTime())) throw invalid("Expiration", "in the future");
  const credentials = { accessKeyId, secretAccessKey, sessionToken, expiration };
  // A client's configuration that is printed prints its credentials; these say only when they end.
  const shown = (): string => `[credentials until ${expiration.toISOString()}]`;
  const toJSON = (): never => {
    throw new TypeError("credentials are handed on field by field, not as a whole");
  };
  return Object.defineProperties(credentials, { [inspect.custom]: { value: shown }, toJSON: { value: toJSON } });
}
