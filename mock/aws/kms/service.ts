/**
 * KMS as a service: its operations by name, and the audit around each.
 *
 * @module
 */
import { AwsFault } from "../fault.ts";
import type { JsonObject } from "../json.ts";
import type { Service, ServiceCall } from "../service.ts";
import { newAudit, recordsOf, type TrailRecord } from "../trail.ts";
import { createKey, describeKey, disableKey, enableKey, getKeyPolicy, putKeyPolicy } from "./administration.ts";
import { decrypt, encrypt, generateDataKey } from "./cryptography.ts";
import { KmsRequest, type KmsState } from "./request.ts";
import {
  CREATE_KEY,
  DECRYPT,
  DESCRIBE_KEY,
  ENCRYPT,
  GENERATE_DATA_KEY,
  GET_KEY_POLICY,
  KEY,
  PUT_KEY_POLICY,
} from "./shapes.ts";
import { type Shape, validate } from "./validate.ts";

interface Operation {
  readonly readOnly: boolean;
  readonly run: (request: KmsRequest) => JsonObject | Promise<JsonObject>;
}

function operation<Input>(
  readOnly: boolean,
  shape: Shape,
  run: (request: KmsRequest, input: Input) => JsonObject | Promise<JsonObject>,
): Operation {
  return { readOnly, run: (request) => run(request, validate<Input>(shape, request.call.input)) };
}

const OPERATIONS: ReadonlyMap<string, Operation> = new Map([
  ["CreateKey", operation(false, CREATE_KEY, createKey)],
  ["Decrypt", operation(true, DECRYPT, decrypt)],
  ["DescribeKey", operation(true, DESCRIBE_KEY, describeKey)],
  ["DisableKey", operation(false, KEY, disableKey)],
  ["EnableKey", operation(false, KEY, enableKey)],
  ["Encrypt", operation(true, ENCRYPT, encrypt)],
  ["GenerateDataKey", operation(true, GENERATE_DATA_KEY, generateDataKey)],
  ["GetKeyPolicy", operation(true, GET_KEY_POLICY, getKeyPolicy)],
  ["PutKeyPolicy", operation(false, PUT_KEY_POLICY, putKeyPolicy)],
]);

/** `record` takes each call's events, also those of refused calls. */
export function createKms(state: KmsState, record: (records: readonly TrailRecord[]) => void): Service {
  return {
    targetPrefix: "TrentService",
    signingName: "kms",
    operations: new Set(OPERATIONS.keys()),
    handle: (call) => handle(call, state, record),
  };
}

async function handle(
  call: ServiceCall,
  state: KmsState,
  record: (records: readonly TrailRecord[]) => void,
): Promise<JsonObject> {
  const chosen = OPERATIONS.get(call.operation);
  if (!chosen) throw new TypeError(`no KMS operation ${call.operation}`);
  const audit = newAudit();
  const event = { eventSource: "kms.amazonaws.com", readOnly: chosen.readOnly };
  try {
    const answer = await chosen.run(new KmsRequest(call, audit, state));
    record(recordsOf(call, event, audit, undefined));
    return answer;
  } catch (error) {
    const fault = error instanceof AwsFault ? error : new AwsFault("KMSInternalException", "", 500);
    record(recordsOf(call, event, audit, fault));
    throw error;
  }
}
