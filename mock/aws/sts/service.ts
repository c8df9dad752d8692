/**
 * STS as a service: its operations by name, and the audit around each.
 *
 * @module
 */
import type { Directory } from "../directory.ts";
import { AwsFault } from "../fault.ts";
import type { JsonObject } from "../json.ts";
import { validateInput } from "../model/input.ts";
import { readServiceModel } from "../model/service-model.ts";
import type { AnonymousCall, AuthenticatedCaller, Service } from "../service.ts";
import { type Audit, newAudit, recordsOf, type TrailRecord } from "../trail.ts";
import { type AssumeRoleInput, assumeRole } from "./assume-role.ts";
import { decodeAuthorizationMessage, getAccessKeyInfo, getCallerIdentity } from "./identity.ts";
import type { StsRequest } from "./request.ts";
import { assumeRoleWithSaml } from "./saml.ts";
import { getFederationToken, getSessionToken } from "./session-token.ts";
import { type AnonymousRequest, assumeRoleWithWebIdentity } from "./web-identity.ts";

const MODEL = readServiceModel(import.meta.url);
const EVENT = { eventSource: "sts.amazonaws.com", readOnly: true };

/** Input is what the model lets through; each operation says what it expects of it. */
type Run<Request> = (request: Request, input: never) => JsonObject | Promise<JsonObject>;

const SIGNED: ReadonlyMap<string, Run<StsRequest>> = new Map<string, Run<StsRequest>>([
  ["AssumeRole", (request, input: AssumeRoleInput) => assumeRole(request, input)],
  ["DecodeAuthorizationMessage", decodeAuthorizationMessage],
  ["GetAccessKeyInfo", getAccessKeyInfo],
  ["GetCallerIdentity", getCallerIdentity],
  ["GetFederationToken", getFederationToken],
  ["GetSessionToken", getSessionToken],
]);
const UNSIGNED: ReadonlyMap<string, Run<AnonymousRequest>> = new Map<string, Run<AnonymousRequest>>([
  ["AssumeRoleWithSAML", assumeRoleWithSaml],
  ["AssumeRoleWithWebIdentity", assumeRoleWithWebIdentity],
]);

export interface StsDependencies {
  readonly directory: Directory;
  /** Takes each call's events, also those of refused calls whose caller is known. */
  readonly record: (records: readonly TrailRecord[]) => void;
}

export function createSts({ directory, record }: StsDependencies): Service {
  const operations = new Set([...SIGNED.keys(), ...UNSIGNED.keys()]);
  return {
    ...{ signingName: "sts", protocol: { kind: "awsQuery", model: MODEL }, isPresignable: true, operations },
    handle: async (call) => {
      const audit = newAudit();
      const run = SIGNED.get(call.operation);
      const answer = (): JsonObject | Promise<JsonObject> => {
        const input = readInput(call, audit);
        return runOf(call, run)({ call, caller: call.caller, directory, audit }, input as never);
      };
      return audited(answer, (fault) => record(recordsOf(call, EVENT, audit, fault)), audit);
    },
    anonymous: {
      operations: new Set(UNSIGNED.keys()),
      handle: async (call) => {
        const audit = newAudit();
        let caller: AuthenticatedCaller | undefined;
        const identified = (known: AuthenticatedCaller): void => {
          caller = known;
        };
        const run = UNSIGNED.get(call.operation);
        const answer = (): JsonObject | Promise<JsonObject> =>
          runOf(call, run)({ call, directory, audit, identified }, readInput(call, audit) as never);
        const told = (fault: AwsFault | undefined): void => {
          if (caller) record(recordsOf({ ...call, caller }, EVENT, audit, fault));
        };
        return audited(answer, told, audit);
      },
    },
  };
}

function runOf<Request>({ operation }: AnonymousCall, run: Run<Request> | undefined): Run<Request> {
  if (!run) throw new TypeError(`no STS operation ${operation}`);
  return run;
}

/** CloudTrail shows the parameters, without what is a credential. */
function readInput(call: AnonymousCall, audit: Audit): Record<string, unknown> {
  const input = validateInput(MODEL, call.operation, call.input);
  const { WebIdentityToken: _token, SAMLAssertion: _assertion, TokenCode: _code, ...shown } = call.input;
  const named = Object.entries(shown).map(([name, value]) => [
    `${name.charAt(0).toLowerCase()}${name.slice(1)}`,
    value,
  ]);
  audit.requestParameters = named.length === 0 ? null : (Object.fromEntries(named) as JsonObject);
  return input;
}

async function audited(
  answer: () => JsonObject | Promise<JsonObject>,
  told: (fault: AwsFault | undefined) => void,
  audit: Audit,
): Promise<JsonObject> {
  try {
    const given = await answer();
    audit.responseElements = withoutSecrets(given);
    told(undefined);
    return given;
  } catch (error) {
    told(error instanceof AwsFault ? error : new AwsFault("InternalFailure", "", 500));
    throw error;
  }
}

/** CloudTrail names the new access key; its secret it never has. */
function withoutSecrets(answer: JsonObject): JsonObject | null {
  const { Credentials: credentials, ...rest } = answer;
  if (credentials === undefined) return null;
  const { AccessKeyId: accessKeyId = null, Expiration: expiration = null } = credentials as JsonObject;
  return { credentials: { accessKeyId, expiration }, ...rest };
}
