/**
 * What every emulated service is: named operations over JSON, asked by an authenticated caller.
 *
 * A service is pure but for its own state: the time, the caller and the connection's facts come with the call. It
 * answers with JSON or throws an `AwsFault`; the front door does signatures, bytes and HTTP.
 *
 * @module
 */
import type { NamedPolicy } from "./iam/authorize.ts";
import type { Caller } from "./iam/principal.ts";
import type { JsonObject } from "./json.ts";

/** A caller and what hangs on it. */
export interface AuthenticatedCaller extends Caller {
  readonly identityPolicies: readonly NamedPolicy[];
}

/** What is known of the connection; for the audit trail. */
export interface Connection {
  readonly sourceIp: string;
  readonly userAgent: string;
  readonly host: string;
  readonly tlsVersion: string;
  readonly cipherSuite: string;
}

export interface ServiceCall {
  readonly operation: string;
  readonly input: JsonObject;
  readonly caller: AuthenticatedCaller;
  readonly region: string;
  readonly now: Date;
  readonly requestId: string;
  readonly connection: Connection;
}

export interface Service {
  /** First part of `X-Amz-Target`. */
  readonly targetPrefix: string;
  /** Service name in the credential scope. */
  readonly signingName: string;
  readonly operations: ReadonlySet<string>;
  /** @throws {AwsFault} */
  handle(call: ServiceCall): Promise<JsonObject>;
}
