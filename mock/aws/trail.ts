/**
 * The audit trail: one event for each call of an authenticated caller, in CloudTrail's shape, and why it went so.
 *
 * The event holds what CloudTrail holds and nothing else: no plaintext, no ciphertext, no attestation document. The
 * explanation stands beside it and is the emulator's own; real AWS gives none. A successful call on another account's
 * key is recorded for both accounts, with one `sharedEventID`.
 *
 * Source: CloudTrail User Guide, "Record contents"; KMS Developer Guide, "Logging AWS KMS API calls".
 *
 * @module
 */
import { randomUUID } from "node:crypto";
import type { AwsFault } from "./fault.ts";
import type { Decision } from "./iam/authorize.ts";
import type { JsonObject } from "./json.ts";
import type { ServiceCall } from "./service.ts";

export interface CloudTrailEvent {
  readonly eventVersion: "1.11";
  readonly userIdentity: JsonObject;
  /** ISO 8601, whole seconds. */
  readonly eventTime: string;
  readonly eventSource: string;
  readonly eventName: string;
  readonly awsRegion: string;
  readonly sourceIPAddress: string;
  readonly userAgent: string;
  readonly errorCode?: string;
  readonly errorMessage?: string;
  readonly requestParameters: JsonObject | null;
  readonly responseElements: JsonObject | null;
  readonly additionalEventData?: JsonObject;
  readonly requestID: string;
  readonly eventID: string;
  readonly readOnly: boolean;
  readonly resources: readonly { readonly accountId: string; readonly type: string; readonly ARN: string }[];
  readonly eventType: "AwsApiCall";
  readonly managementEvent: true;
  readonly recipientAccountId: string;
  readonly sharedEventID?: string;
  readonly eventCategory: "Management";
  readonly tlsDetails: JsonObject;
}

/** What became of the attestation document in a request. */
export type AttestationOutcome =
  | { readonly kind: "absent" }
  | { readonly kind: "refused"; readonly code: string; readonly reason: string }
  | {
      readonly kind: "verified";
      readonly moduleId: string;
      /** ISO 8601. */
      readonly timestamp: string;
      /** Register name, e.g. `PCR0`, → lower-case hex. */
      readonly pcrs: Readonly<Record<string, string>>;
    };

export interface Explanation {
  /** One sentence for people. */
  readonly summary: string;
  readonly attestation: AttestationOutcome;
  /** Absent if the call did not come as far as a policy. */
  readonly decision?: Decision;
}

export interface TrailRecord {
  readonly event: CloudTrailEvent;
  readonly explanation: Explanation;
}

/** Gathered while a call is handled. */
export interface Audit {
  requestParameters: JsonObject | null;
  responseElements: JsonObject | null;
  additionalEventData: JsonObject | undefined;
  resource: { readonly accountId: string; readonly type: string; readonly ARN: string } | undefined;
  attestation: AttestationOutcome;
  decision: Decision | undefined;
}

export function newAudit(): Audit {
  return {
    requestParameters: null,
    responseElements: null,
    additionalEventData: undefined,
    resource: undefined,
    attestation: { kind: "absent" },
    decision: undefined,
  };
}

/** The records of one call: two if another account's resource was used. */
export function recordsOf(
  call: ServiceCall,
  { eventSource, readOnly }: { readonly eventSource: string; readonly readOnly: boolean },
  audit: Audit,
  fault: AwsFault | undefined,
): readonly TrailRecord[] {
  const denied = fault?.error === "AccessDeniedException";
  const owner = audit.resource?.accountId ?? call.caller.accountId;
  const accounts = fault ? [call.caller.accountId] : [...new Set([call.caller.accountId, owner])];
  const shared = accounts.length > 1 ? { sharedEventID: randomUUID() } : {};
  const { decision, attestation } = audit;
  const summary = summarize(fault, audit);
  return accounts.map((recipientAccountId) => ({
    event: {
      eventVersion: "1.11",
      userIdentity: identityOf(call),
      eventTime: `${call.now.toISOString().slice(0, 19)}Z`,
      eventSource,
      eventName: call.operation,
      awsRegion: call.region,
      sourceIPAddress: call.connection.sourceIp,
      userAgent: call.connection.userAgent,
      ...(fault ? { errorCode: denied ? "AccessDenied" : fault.error, errorMessage: fault.message } : {}),
      requestParameters: denied ? null : audit.requestParameters,
      responseElements: fault ? null : audit.responseElements,
      ...(audit.additionalEventData && !fault ? { additionalEventData: audit.additionalEventData } : {}),
      requestID: call.requestId,
      eventID: randomUUID(),
      readOnly,
      resources: audit.resource ? [audit.resource] : [],
      eventType: "AwsApiCall",
      managementEvent: true,
      recipientAccountId,
      ...shared,
      eventCategory: "Management",
      tlsDetails: {
        tlsVersion: call.connection.tlsVersion,
        cipherSuite: call.connection.cipherSuite,
        clientProvidedHostHeader: call.connection.host,
      },
    },
    explanation: { summary, attestation, ...(decision ? { decision } : {}) },
  }));
}

function summarize(fault: AwsFault | undefined, { attestation, decision }: Audit): string {
  if (attestation.kind === "refused") return `the attestation document was refused: ${attestation.reason}`;
  if (decision && decision.outcome !== "allowed") return decision.summary;
  if (fault) return `${fault.error}${fault.message === "" ? "" : `: ${fault.message}`}`;
  return decision?.summary ?? "done";
}

function identityOf({ caller }: ServiceCall): JsonObject {
  const { accountId, type, name, principalArn, arn, accessKeyId } = caller;
  const common = { arn, accountId, accessKeyId };
  if (type === "user") return { type: "IAMUser", ...common, userName: name };
  const sessionIssuer = { type: "Role", arn: principalArn, accountId, userName: name };
  return { type: "AssumedRole", ...common, sessionContext: { sessionIssuer } };
}
