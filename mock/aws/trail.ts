/**
 * The audit trail: one event for each call of an authenticated caller, in CloudTrail's shape, and why it went so.
 *
 * The event holds what CloudTrail holds and nothing else: no plaintext, no ciphertext, no attestation document. The
 * explanation stands beside it and is the emulator's own; real AWS gives none. A successful call on another account's
 * key or role is recorded for both accounts, with one `sharedEventID`; the owner's event names the other account and no
 * more.
 *
 * What a client makes long is shortened, so that no client fills the memory (`trail-limits.ts`).
 *
 * Source: CloudTrail User Guide, "Record contents"; KMS Developer Guide, "Logging AWS KMS API calls".
 *
 * @module
 */
import { randomUUID } from "node:crypto";
import type { AwsFault } from "./fault.ts";
import type { Decision } from "./iam/authorize.ts";
import type { JsonObject } from "./json.ts";
import type { Connection, ServiceCall } from "./service.ts";
import { invokingService, userIdentityOf } from "./trail-identity.ts";
import { shortElements, shortExplanation, shortText } from "./trail-limits.ts";

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
  readonly resources: readonly EventResource[];
  readonly eventType: "AwsApiCall";
  readonly managementEvent: true;
  readonly recipientAccountId: string;
  readonly sharedEventID?: string;
  readonly eventCategory: "Management";
  /** Absent over plain HTTP, and where a service called. */
  readonly tlsDetails?: JsonObject;
}

export interface EventResource {
  readonly accountId: string;
  readonly type: string;
  readonly ARN: string;
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
  /** Its account gets the event too. */
  resource: EventResource | undefined;
  otherResources: readonly EventResource[];
  attestation: AttestationOutcome;
  decision: Decision | undefined;
}

export function newAudit(): Audit {
  return {
    requestParameters: null,
    responseElements: null,
    additionalEventData: undefined,
    resource: undefined,
    otherResources: [],
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
  const { caller, connection } = call;
  const isDenied = fault?.error === "AccessDeniedException" || fault?.error === "AccessDenied";
  const owner = audit.resource?.accountId ?? caller.accountId;
  const accounts = fault ? [caller.accountId] : [...new Set([caller.accountId, owner])];
  const shared = accounts.length > 1 ? { sharedEventID: randomUUID() } : {};
  const { decision, attestation } = audit;
  const requestParameters = shortElements(audit.requestParameters);
  const responseElements = shortElements(audit.responseElements);
  const explanation = shortExplanation({
    summary: summarize(fault, audit),
    attestation,
    ...(decision ? { decision } : {}),
  });
  const service = invokingService(caller);
  const errorCode = isDenied ? "AccessDenied" : fault?.error;
  return accounts.map((recipientAccountId) => ({
    event: {
      eventVersion: "1.11",
      userIdentity: userIdentityOf(caller, recipientAccountId),
      eventTime: `${call.now.toISOString().slice(0, 19)}Z`,
      eventSource,
      eventName: call.operation,
      awsRegion: call.region,
      sourceIPAddress: service ?? connection.sourceIp,
      userAgent: service ?? connection.userAgent,
      requestParameters: isDenied ? null : requestParameters,
      responseElements: fault ? null : responseElements,
      requestID: call.requestId,
      eventID: randomUUID(),
      readOnly,
      resources: audit.resource ? [audit.resource, ...audit.otherResources] : [],
      eventType: "AwsApiCall",
      managementEvent: true,
      recipientAccountId,
      eventCategory: "Management",
      ...(fault && errorCode !== undefined ? { errorCode, errorMessage: shortText(fault.message) } : {}),
      ...(audit.additionalEventData && !fault ? { additionalEventData: audit.additionalEventData } : {}),
      ...shared,
      ...(connection.tlsVersion === "" || service !== undefined ? {} : { tlsDetails: tlsDetailsOf(connection) }),
    },
    explanation,
  }));
}

function tlsDetailsOf({ tlsVersion, cipherSuite, host }: Connection): JsonObject {
  return { tlsVersion, cipherSuite, clientProvidedHostHeader: host };
}

function summarize(fault: AwsFault | undefined, { attestation, decision }: Audit): string {
  if (attestation.kind === "refused") return `the attestation document was refused: ${attestation.reason}`;
  if (decision && decision.outcome !== "allowed") return decision.summary;
  if (fault) return `${fault.error}${fault.message === "" ? "" : `: ${fault.message}`}`;
  return decision?.summary ?? "done";
}
