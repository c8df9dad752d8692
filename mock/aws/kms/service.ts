/**
 * KMS as a service: its operations by name, and the audit around each.
 *
 *   shape → encryption contexts → quota → operation → event → answer
 *
 * @module
 */
import { audited } from "../audited.ts";
import { shownMembers } from "../event-members.ts";
import type { JsonObject } from "../json.ts";
import { validateInput } from "../model/input.ts";
import { serializeOutput } from "../model/output.ts";
import { readServiceModel } from "../model/service-model.ts";
import type { Service, ServiceCall } from "../service.ts";
import { newAudit, type TrailRecord } from "../trail.ts";
import { assertContexts } from "./encryption-context.ts";
import { OPERATIONS } from "./operations/index.ts";
import type { Operation } from "./operations/operation.ts";
import { KmsRequest } from "./request.ts";
import type { KmsState } from "./state.ts";

const MODEL = readServiceModel(import.meta.url);

export interface KmsOptions {
  readonly state: KmsState;
  /** Takes each call's events, also those of refused calls. */
  readonly record: (records: readonly TrailRecord[]) => void;
}

export function createKms(options: KmsOptions): Service {
  return {
    signingName: "kms",
    protocol: { kind: "awsJson1_1", targetPrefix: "TrentService" },
    isPresignable: false,
    operations: new Set(OPERATIONS.keys()),
    handle: async (call) => handle(call, options),
  };
}

function handle(call: ServiceCall, { state, record }: KmsOptions): Promise<JsonObject> {
  const operation = OPERATIONS.get(call.operation);
  if (!operation) throw new TypeError(`no KMS operation ${call.operation}`);
  const audit = newAudit();
  const event = { eventSource: "kms.amazonaws.com", readOnly: operation.readOnly };
  const request = new KmsRequest(call, audit, state);
  return audited({ audit, event, call: () => call, internalError: "KMSInternalException", record }, () =>
    run(operation, request),
  );
}

async function run({ run: answer, shown }: Operation, request: KmsRequest): Promise<JsonObject> {
  const { call, audit } = request;
  const input = validateInput(MODEL, call.operation, call.input);
  assertContexts(input as Parameters<typeof assertContexts>[0]);
  audit.requestParameters = shownMembers(input);
  request.spend({ pairSpec: (input as { KeyPairSpec?: string }).KeyPairSpec });
  await request.state.faults.play(call);
  const output = await answer(request, input as never); // the model and the SDK's types describe the same shapes
  if (shown.length > 0) audit.responseElements = shownMembers(output, shown);
  request.noteUsage();
  return serializeOutput(output);
}
