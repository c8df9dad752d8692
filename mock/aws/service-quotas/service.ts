/**
 * Service Quotas over the quotas of KMS: shown, and raised at once.
 *
 * AWS documents no quota codes for KMS, so these are this emulator's: `L-` and eight hex digits of the name's SHA-256,
 * the same in every run. Likewise undocumented are the texts of refusals, and which error a quota that is not adjustable
 * answers with; here it is IllegalArgumentException. What is raised is lost with the process.
 *
 * Source: Service Quotas API Reference; KMS Developer Guide, "Request quotas".
 *
 * @module
 */
import { createHash, randomBytes } from "node:crypto";
import { audited } from "../audited.ts";
import { shownMembers } from "../event-members.ts";
import { AwsFault } from "../fault.ts";
import { authorize } from "../iam/authorize.ts";
import { globalKeys } from "../iam/global-keys.ts";
import type { JsonObject } from "../json.ts";
import { defaultQuotas, type Quota, type QuotaScope, type Quotas } from "../kms/quotas.ts";
import { validateInput } from "../model/input.ts";
import { serializeOutput } from "../model/output.ts";
import { readServiceModel } from "../model/service-model.ts";
import type { Service, ServiceCall } from "../service.ts";
import { type Audit, newAudit, type TrailRecord } from "../trail.ts";

const MODEL = readServiceModel(import.meta.url);
const SERVICE = { ServiceCode: "kms", ServiceName: "AWS Key Management Service (AWS KMS)" } as const;
const PAGE_MAX = 100;

export interface ServiceQuotasDependencies {
  readonly quotas: Quotas;
  /** Takes each call's events, also those of refused calls. */
  readonly record: (records: readonly TrailRecord[]) => void;
}

/** The members that the four operations take. */
interface Input {
  readonly ServiceCode: string;
  readonly QuotaCode?: string;
  readonly DesiredValue?: number;
  readonly ContextId?: string;
  readonly QuotaAppliedAtLevel?: string;
  readonly MaxResults?: number;
  readonly NextToken?: string;
}

interface Asked {
  readonly call: ServiceCall;
  readonly quotas: Quotas;
  readonly audit: Audit;
}

const RUN: Readonly<Record<string, (asked: Asked, input: Input) => object>> = {
  GetAWSDefaultServiceQuota: getDefaultQuota,
  GetServiceQuota: getQuota,
  ListServiceQuotas: listQuotas,
  RequestServiceQuotaIncrease: requestIncrease,
};

export function createServiceQuotas({ quotas, record }: ServiceQuotasDependencies): Service {
  return {
    signingName: "servicequotas",
    protocol: { kind: "awsJson1_1", targetPrefix: "ServiceQuotasV20190624" },
    isPresignable: false,
    operations: new Set(Object.keys(RUN)),
    handle: async (call) => {
      const audit = newAudit();
      const readOnly = call.operation !== "RequestServiceQuotaIncrease";
      const event = { eventSource: "servicequotas.amazonaws.com", readOnly };
      return audited({ audit, event, call: () => call, internalError: "ServiceException", record }, () => {
        const answer = run({ call, quotas, audit });
        if (!readOnly) audit.responseElements = shownMembers(answer);
        return serializeOutput(answer);
      });
    },
  };
}

function run(asked: Asked): object {
  const { call, audit } = asked;
  const operation = RUN[call.operation];
  if (!operation) throw new TypeError(`no Service Quotas operation ${call.operation}`);
  const input = validateInput(MODEL, call.operation, call.input) as unknown as Input; // the model describes these members
  audit.requestParameters = shownMembers(input);
  authorizeCall(asked, input);
  if (input.ServiceCode !== SERVICE.ServiceCode) throw noSuchResource();
  return operation(asked, input);
}

/** @throws {AwsFault} `AccessDeniedException` */
function authorizeCall({ call, audit }: Asked, { ServiceCode: service, QuotaCode: code }: Input): void {
  const { caller, operation } = call;
  const changes = operation === "RequestServiceQuotaIncrease";
  const resource = changes ? arnOf(scopeOf(call), `${service}/${code}`, call) : "*";
  const pairs = [...globalKeys(call, caller), ...(changes ? [["servicequotas:service", [service]] as const] : [])];
  const present = pairs.filter(([, values]) => values.length > 0);
  const context = new Map([
    ...caller.context,
    ...present.map(([name, values]) => [name.toLowerCase(), values] as const),
  ]);
  const decision = authorize({ caller, action: `servicequotas:${operation}`, resource, context }, caller);
  audit.decision = decision;
  if (decision.outcome === "allowed") return;
  const on = changes ? ` on resource: ${resource}` : "";
  throw new AwsFault(
    "AccessDeniedException",
    `User: ${caller.arn} is not authorized to perform: servicequotas:${operation}${on} ${decision.because}`,
  );
}

function listQuotas({ call, quotas }: Asked, input: Input): object {
  const { QuotaCode: code, QuotaAppliedAtLevel: level = "ACCOUNT", MaxResults: limit = PAGE_MAX, NextToken } = input;
  const scope = scopeOf(call);
  const applied = level === "RESOURCE" ? [] : quotas.applied(scope);
  const wanted = applied.filter(({ name }) => code === undefined || codeOf(name) === code);
  const after = NextToken === undefined ? "" : readToken(NextToken);
  const rest = wanted
    .filter(({ name }) => codeOf(name) > after)
    .sort((a, b) => (codeOf(a.name) < codeOf(b.name) ? -1 : 1));
  const page = rest.slice(0, limit);
  const last = page.at(-1);
  const more = last && page.length < rest.length ? { NextToken: writeToken(codeOf(last.name)) } : {};
  return { Quotas: page.map((quota) => shown(quota, scope, call)), ...more };
}

function getQuota({ call, quotas }: Asked, { QuotaCode: code = "" }: Input): object {
  const scope = scopeOf(call);
  return { Quota: shown(find(quotas.applied(scope), code), scope, call) };
}

function getDefaultQuota({ call }: Asked, { QuotaCode: code = "" }: Input): object {
  const quota = find(defaultQuotas(call.region), code);
  return { Quota: shown(quota, { region: call.region, accountId: "" }, call) };
}

function requestIncrease({ call, quotas }: Asked, input: Input): object {
  const { QuotaCode: code = "", DesiredValue: desired = 0, ContextId: contextId } = input;
  const scope = scopeOf(call);
  const quota = find(quotas.applied(scope), code);
  if (contextId !== undefined) throw illegalArgument("The quota is not applied at the resource level.");
  if (!quota.adjustable) throw illegalArgument("The quota is not adjustable.");
  if (desired <= quota.perSecond)
    throw illegalArgument(`The desired value must be greater than the applied value, which is ${quota.perSecond}.`);
  quotas.raise(quota.name, scope, desired);
  const {
    Value: _value,
    Adjustable: _adjustable,
    Period: _period,
    QuotaAppliedAtLevel: level,
    ...rest
  } = shown(quota, scope, call);
  return {
    RequestedQuota: {
      Id: randomBytes(20).toString("hex"),
      ...rest,
      DesiredValue: desired,
      Status: "APPROVED",
      Created: call.now,
      LastUpdated: call.now,
      Requester: JSON.stringify({ accountId: call.caller.accountId, callerArn: call.caller.arn }),
      QuotaRequestedAtLevel: level,
    },
  };
}

function scopeOf({ caller, region }: ServiceCall): QuotaScope {
  return { accountId: caller.accountId, region };
}

function shown({ name, perSecond, adjustable }: Quota, scope: QuotaScope, call: ServiceCall): JsonObject {
  return {
    ...SERVICE,
    QuotaArn: arnOf(scope, `${SERVICE.ServiceCode}/${codeOf(name)}`, call),
    QuotaCode: codeOf(name),
    QuotaName: name,
    Value: perSecond,
    Unit: "None",
    Adjustable: adjustable,
    GlobalQuota: false,
    Period: { PeriodValue: 1, PeriodUnit: "SECOND" },
    QuotaAppliedAtLevel: "ACCOUNT",
  };
}

function arnOf({ region, accountId }: QuotaScope, resource: string, { caller }: ServiceCall): string {
  return `arn:${caller.partition}:servicequotas:${region}:${accountId}:${resource}`;
}

/** This emulator's code of a quota. */
export function codeOf(name: string): string {
  return `L-${createHash("sha256").update(`kms ${name}`).digest("hex").slice(0, 8).toUpperCase()}`;
}

function find(quotas: readonly Quota[], code: string): Quota {
  const quota = quotas.find(({ name }) => codeOf(name) === code);
  if (!quota) throw noSuchResource();
  return quota;
}

function writeToken(code: string): string {
  return Buffer.from(`after ${code}`).toString("base64");
}

function readToken(token: string): string {
  const [, code] = /^after (L-[0-9A-F]{8})$/.exec(Buffer.from(token, "base64").toString()) ?? [];
  if (code === undefined || writeToken(code) !== token)
    throw new AwsFault("InvalidPaginationTokenException", "Invalid pagination token");
  return code;
}

function noSuchResource(): AwsFault {
  return new AwsFault("NoSuchResourceException", "The request failed because the specified quota does not exist.");
}

function illegalArgument(message: string): AwsFault {
  return new AwsFault("IllegalArgumentException", message);
}
