/**
 * From an HTTP request to a service and back: routing, signature, JSON, error bodies. Pure but for the services.
 *
 *   1. route         POST / with X-Amz-Target `<prefix>.<operation>` that is offered here
 *   2. form          awsJson1_1, no transfer or content coding
 *   3. authenticate  Signature Version 4, by the service's name
 *   4. read          a JSON object in the one strict form
 *   5. handle        the service; whatever it throws becomes an answer
 *
 * Source: Smithy, "AWS JSON 1.1 protocol".
 *
 * @module
 */
import type { Directory } from "./directory.ts";
import { AwsFault, serializationFault } from "./fault.ts";
import { isJsonObject, type Json, type JsonObject, parseJson } from "./json.ts";
import type { Connection, Service } from "./service.ts";
import { headerValues, type ReceivedRequest } from "./sigv4/canonical.ts";
import { verifySignature } from "./sigv4/verify.ts";

/** AWS accepts five minutes either way. */
const MAX_SKEW_MS = 300_000;

export interface FrontDoor {
  readonly services: readonly Service[];
  readonly directory: Directory;
  readonly regions: ReadonlySet<string>;
}

export interface Answer {
  readonly status: number;
  readonly body: string;
}

/** What is known of a request beside its bytes. */
export interface Reception {
  readonly now: Date;
  readonly requestId: string;
  readonly connection: Connection;
}

/** Never rejects: a bug becomes InternalFailure. `onBug` sees it. */
export async function answerRequest(
  door: FrontDoor,
  request: ReceivedRequest,
  reception: Reception,
  onBug: (error: unknown) => void,
): Promise<Answer> {
  try {
    return { status: 200, body: JSON.stringify(await dispatch(door, request, reception)) };
  } catch (error) {
    if (error instanceof AwsFault) return answerFault(error);
    onBug(error);
    return answerFault(new AwsFault("InternalFailure", "", 500));
  }
}

export function answerFault(fault: AwsFault): Answer {
  return { status: fault.status, body: fault.body() };
}

async function dispatch(door: FrontDoor, request: ReceivedRequest, reception: Reception): Promise<JsonObject> {
  const { service, operation } = route(door.services, request);
  assertForm(request);
  const { credential, region } = verifySignature(request, {
    service: service.signingName,
    regions: door.regions,
    now: reception.now,
    maxSkewMs: MAX_SKEW_MS,
    find: door.directory.find,
  });
  const input = readInput(request.body);
  return service.handle({ operation, input, caller: credential.caller, region, ...reception });
}

function route(
  services: readonly Service[],
  request: ReceivedRequest,
): { readonly service: Service; readonly operation: string } {
  const target = headerValues(request, "x-amz-target")[0] ?? "";
  const [prefix, operation = "", ...rest] = target.split(".");
  const service = services.find(({ targetPrefix }) => targetPrefix === prefix);
  if (request.method !== "POST" || request.target !== "/" || !service || rest.length > 0)
    throw new AwsFault("UnknownOperationException");
  if (!service.operations.has(operation))
    throw new AwsFault("UnknownOperationException", `this mock offers ${[...service.operations].join(", ")} only`);
  return { service, operation };
}

function assertForm(request: ReceivedRequest): void {
  const type = headerValues(request, "content-type")[0]?.split(";")[0]?.trim().toLowerCase();
  if (type !== "application/x-amz-json-1.1")
    throw serializationFault("the content type must be application/x-amz-json-1.1");
  for (const name of ["transfer-encoding", "content-encoding"])
    if (headerValues(request, name).length > 0) throw serializationFault(`${name} is not accepted`);
}

function readInput(body: Uint8Array): JsonObject {
  let value: Json;
  try {
    value = parseJson(body);
  } catch (cause) {
    if (!(cause instanceof SyntaxError)) throw cause;
    throw serializationFault(`the body is not acceptable JSON: ${cause.message}`);
  }
  if (!isJsonObject(value)) throw serializationFault("the body must be a JSON object");
  return value;
}
