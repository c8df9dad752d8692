/**
 * The role's credentials, from the parent, as the AWS SDK takes them.
 *
 * They let the enclave call AWS; they do not decide what it may decrypt: KMS does, by the attestation document. So a
 * parent that lies here gains nothing but a failed call. The answer's shape is checked all the same, and an error
 * names the field and never its content.
 *
 * Asked for again from five minutes before they end, while the old ones still serve; callers share one question.
 *
 * @module
 */
import { TransportError } from "../../shared/errors/index.ts";
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
  /** Default: the system's clock. */
  readonly now?: () => Date;
}

const REFRESH_AHEAD_MS = 300_000;
/** What must be left of credentials that are handed out while new ones are asked for. */
const MARGIN_MS = 30_000;
const FRAME_BYTES_MAX = 65_536;
const TOKEN_MAX = 16_384;

/**
 * Makes a credential provider for `new KMSClient({ credentials })`.
 *
 * The provider throws `TransportError`: `ERR_TRANSPORT_CREDENTIALS_INVALID`, `ERR_TRANSPORT_REQUEST_REFUSED`, or why the
 * parent was not reached. While the credentials at hand are valid, a failed refresh goes unnoticed.
 */
export function parentCredentials(options: ParentCredentialsOptions): () => Promise<AwsCredentials> {
  const { now = () => new Date() } = options;
  let held: AwsCredentials | undefined;
  let asking: Promise<AwsCredentials> | undefined;
  const validFor = (credentials: AwsCredentials): number => credentials.expiration.getTime() - now().getTime();

  async function refresh(): Promise<AwsCredentials> {
    try {
      held = readCredentials(await ask(options), now());
      return held;
    } finally {
      asking = undefined;
    }
  }

  return async () => {
    if (held && validFor(held) > REFRESH_AHEAD_MS) return held;
    asking ??= refresh();
    if (!held || validFor(held) <= MARGIN_MS) return asking;
    asking.catch(() => {});
    return held;
  };
}

async function ask({ transport, parent, timeoutMs = 10_000 }: ParentCredentialsOptions): Promise<Json> {
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
  return { accessKeyId, secretAccessKey, sessionToken, expiration };
}
