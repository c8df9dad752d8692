/**
 * STS as a service: its operations by name, and the audit around each.
 *
 *   shape → what a session may call at all → operation → event → answer
 *
 * @module
 */
import { audited } from "../audited.ts";
import type { Directory } from "../directory.ts";
import { shownMembers } from "../event-members.ts";
import { isJsonObject, type JsonObject } from "../json.ts";
import { validateInput } from "../model/input.ts";
import type { AnonymousCall, AuthenticatedCaller, Service, ServiceCall } from "../service.ts";
import { type Audit, newAudit, type TrailRecord } from "../trail.ts";
import { type AssumeRoleInput, assumeRole } from "./assume-role.ts";
import { decodeAuthorizationMessage, getAccessKeyInfo, getCallerIdentity } from "./identity.ts";
import { MODEL } from "./model.ts";
import type { AnonymousRequest, StsRequest } from "./request.ts";
import { assumeRoleWithSaml } from "./saml.ts";
import { assertMayCall } from "./session-limits.ts";
import { getFederationToken, getSessionToken } from "./session-token.ts";
import { SpentProofs } from "./spent-proofs.ts";
import { assumeRoleWithWebIdentity } from "./web-identity.ts";

/** CloudTrail counts making a session of a user's as a change, and becoming a role not. */
const CHANGES: ReadonlySet<string> = new Set(["GetFederationToken", "GetSessionToken"]);

/** E.g. `Mar 1, 2026, 1:00:00 PM`. */
const IN_WORDS = new Intl.DateTimeFormat("en-US", { dateStyle: "medium", timeStyle: "medium", timeZone: "UTC" });

type Given = JsonObject | Promise<JsonObject>;
type Run<Request> = (request: Request, input: never) => Given;

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
  const spent = new SpentProofs();
  const signed = (call: ServiceCall): Promise<JsonObject> => {
    const audit = newAudit();
    const request = { call, caller: call.caller, directory, audit, spent };
    const run = (input: never): Given => {
      assertMayCall(request);
      return runOf(call, SIGNED)(request, input);
    };
    return handle({ call, audit, record, caller: () => call.caller, run });
  };
  const unsigned = (call: AnonymousCall): Promise<JsonObject> => {
    const audit = newAudit();
    let caller: AuthenticatedCaller | undefined;
    const identified = (known: AuthenticatedCaller): void => {
      caller = known;
    };
    const run = (input: never): Given => runOf(call, UNSIGNED)({ call, directory, audit, spent, identified }, input);
    return handle({ call, audit, record, caller: () => caller, run });
  };
  return {
    signingName: "sts",
    protocol: { kind: "awsQuery", model: MODEL },
    isPresignable: true,
    operations: new Set([...SIGNED.keys(), ...UNSIGNED.keys()]),
    handle: signed,
    anonymous: { operations: new Set(UNSIGNED.keys()), handle: unsigned },
    reset: () => spent.clear(),
  };
}

function runOf<Request>({ operation }: AnonymousCall, runs: ReadonlyMap<string, Run<Request>>): Run<Request> {
  const run = runs.get(operation);
  if (!run) throw new TypeError(`no STS operation ${operation}`);
  return run;
}

interface Handling {
  readonly call: AnonymousCall;
  readonly audit: Audit;
  readonly record: StsDependencies["record"];
  readonly caller: () => AuthenticatedCaller | undefined;
  readonly run: (input: never) => Given;
}

function handle({ call, audit, record, caller, run }: Handling): Promise<JsonObject> {
  const { operation } = call;
  const known = (): ServiceCall | undefined => {
    const who = caller();
    return who && { ...call, caller: who };
  };
  const event = { eventSource: "sts.amazonaws.com", readOnly: !CHANGES.has(operation) };
  return audited({ audit, event, call: known, internalError: "InternalFailure", record }, async () => {
    const input = validateInput(MODEL, operation, call.input);
    audit.requestParameters = shownMembers(input);
    const answer = await run(input as never); // each operation says what it expects of what the model lets through
    audit.responseElements = shownAnswer(answer);
    return answer;
  });
}

/** CloudTrail shows answers with credentials only, and the time in words. */
function shownAnswer(answer: JsonObject): JsonObject | null {
  const { Credentials: credentials } = answer;
  if (!isJsonObject(credentials)) return null;
  const expiration = IN_WORDS.format(new Date(String(credentials["Expiration"]))).replaceAll("\u202F", " ");
  return shownMembers({ ...answer, Credentials: { ...credentials, Expiration: expiration } });
}
