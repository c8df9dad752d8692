/**
 * Credentials of a role in the form of the container credentials endpoint, and the check that they have it.
 *
 * What a source gave becomes a value that does not show itself: printed, inspected or turned to JSON it tells when it
 * ends and nothing else. Who hands it on names the fields. An error names the field and never its content.
 *
 * Source: AWS SDKs reference guide, "Container credential provider"; IAM API reference, `Credentials`.
 *
 * @module
 */
import { inspect } from "node:util";
import { TransportError } from "../../shared/errors/index.ts";

/** Credentials of a role, as the container credentials endpoint gives them. */
export interface ContainerCredentials {
  readonly AccessKeyId: string;
  readonly SecretAccessKey: string;
  readonly Token: string;
  /** ISO 8601. */
  readonly Expiration: string;
}

/** Gives the credentials of the moment. Asked for each answer: see `refreshing` for one that is asked less. */
export type ProvideCredentials = () => Promise<ContainerCredentials> | ContainerCredentials;

const TOKEN_MAX = 16_384;

/**
 * Reads credentials, whoever gave them; other fields are left out.
 *
 * @throws {TransportError} `ERR_TRANSPORT_CREDENTIALS_INVALID`
 */
export function readContainerCredentials(given: unknown): ContainerCredentials {
  if (typeof given !== "object" || given === null) throw invalid("the credentials", "an object");
  // Once each: a getter could answer otherwise the second time.
  const { AccessKeyId, SecretAccessKey, Token, Expiration } = given as Readonly<Record<string, unknown>>;
  const expiration = text("Expiration", Expiration, ISO);
  if (Number.isNaN(Date.parse(expiration))) throw invalid("Expiration", ISO.expected);
  const token = text("Token", Token, PRINTABLE);
  if (token.length > TOKEN_MAX) throw invalid("Token", `at most ${TOKEN_MAX} characters`);
  return new RoleCredentials({
    AccessKeyId: text("AccessKeyId", AccessKeyId, ACCESS_KEY),
    SecretAccessKey: text("SecretAccessKey", SecretAccessKey, SECRET),
    Token: token,
    Expiration: expiration,
  });
}

interface Form {
  readonly pattern: RegExp;
  readonly expected: string;
}

const ACCESS_KEY: Form = { pattern: /^\w{16,128}$/, expected: "16 to 128 letters and digits" };
const SECRET: Form = { pattern: /^[\x21-\x7e]{16,256}$/, expected: "16 to 256 printable characters" };
const PRINTABLE: Form = { pattern: /^[\x21-\x7e]+$/, expected: "printable characters" };
const ISO: Form = {
  pattern: /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?Z$/,
  expected: "a time in ISO 8601, UTC",
};

function text(field: string, value: unknown, { pattern, expected }: Form): string {
  if (typeof value !== "string" || !pattern.test(value)) throw invalid(field, expected);
  return value;
}

function invalid(field: string, expected: string): TransportError {
  return new TransportError("ERR_TRANSPORT_CREDENTIALS_INVALID", { field, expected });
}

/** Private fields: nothing that walks over an object's properties finds them. */
class RoleCredentials implements ContainerCredentials {
  readonly #given: ContainerCredentials;

  constructor(given: ContainerCredentials) {
    this.#given = given;
  }

  get AccessKeyId(): string {
    return this.#given.AccessKeyId;
  }

  get SecretAccessKey(): string {
    return this.#given.SecretAccessKey;
  }

  get Token(): string {
    return this.#given.Token;
  }

  get Expiration(): string {
    return this.#given.Expiration;
  }

  toJSON(): never {
    throw new TypeError("credentials are handed on field by field, not as a whole");
  }

  toString(): string {
    return `[credentials until ${this.Expiration}]`;
  }

  [inspect.custom](): string {
    return this.toString();
  }
}
