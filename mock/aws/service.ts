/**
 * What every emulated service is: named operations, asked by a caller over one of AWS's protocols.
 *
 *   awsJson1_1   KMS, Secrets Manager, SSM, Logs: `X-Amz-Target: <prefix>.<operation>`, JSON both ways
 *   awsQuery     STS: `Action` and `Version` in a form, XML back; the input is read by the service's model
 *
 * A service is pure but for its own state: the time, the caller and the connection's facts come with the call. It
 * answers with JSON or throws an `AwsFault`; the front door does signatures, bytes, XML and HTTP.
 *
 * @module
 */
import type { NamedPolicy } from "./iam/authorize.ts";
import type { Caller } from "./iam/principal.ts";
import type { JsonObject } from "./json.ts";
import type { ServiceModel } from "./model/service-model.ts";

/** A caller and what hangs on it. */
export interface AuthenticatedCaller extends Caller {
  readonly identityPolicies: readonly NamedPolicy[];
  readonly permissionsBoundary?: NamedPolicy;
  /** Absent: the session was made without any. */
  readonly sessionPolicies?: readonly NamedPolicy[];
}

/** What is known of the connection; for the audit trail. */
export interface Connection {
  readonly sourceIp: string;
  readonly userAgent: string;
  readonly host: string;
  /** Empty over plain HTTP. */
  readonly tlsVersion: string;
  readonly cipherSuite: string;
  /** Lets so many bytes of the HTTP answer out and closes the connection; for faults, where the host can. */
  readonly cutAfter?: (bytes: number) => void;
}

export interface AnonymousCall {
  readonly operation: string;
  readonly input: JsonObject;
  readonly region: string;
  readonly now: Date;
  /** What proofs that clients bring are judged by; `now` if absent. */
  readonly clientTime?: Date;
  readonly requestId: string;
  readonly connection: Connection;
}

export interface ServiceCall extends AnonymousCall {
  readonly caller: AuthenticatedCaller;
}

export type ServiceProtocol =
  | {
      readonly kind: "awsJson1_1";
      /** First part of `X-Amz-Target`. */
      readonly targetPrefix: string;
    }
  | { readonly kind: "awsQuery"; readonly model: ServiceModel };

export interface Service {
  /** Name in the credential scope, and first part of its host names. */
  readonly signingName: string;
  readonly protocol: ServiceProtocol;
  readonly operations: ReadonlySet<string>;
  /** Whether a signature may stand in the query instead of a header. */
  readonly isPresignable: boolean;
  /** @throws {AwsFault} */
  handle(call: ServiceCall): Promise<JsonObject>;
  /** Operations whose requests bear no signature, since they bring another proof. */
  readonly anonymous?: {
    readonly operations: ReadonlySet<string>;
    /** @throws {AwsFault} */
    handle(call: AnonymousCall): Promise<JsonObject>;
  };
  /** Forgets what it keeps outside of the emulator's state. */
  reset?(): void;
}
