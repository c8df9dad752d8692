/**
 * From an HTTP request to a service and back: routing, signature, body, error bodies. Pure but for the services.
 *
 *   1. route         by protocol: `X-Amz-Target`, or `Action` and `Version` of a form; a host name of AWS must agree
 *   2. form          what the protocol sends, without transfer or content coding
 *   3. authenticate  Signature Version 4, by the service's name; not for operations that bring another proof
 *   4. read          a JSON object in the one strict form, or a form by the service's model
 *   5. handle        the service; whatever it throws becomes an answer
 *
 * Source: Smithy, "AWS JSON 1.1 protocol", "AWS Query protocol".
 *
 * @module
 */
import type { DirectoryCredential } from "./directory.ts";
import { AwsFault, serializationFault } from "./fault.ts";
import { isJsonObject, type Json, type JsonObject, parseJson } from "./json.ts";
import type { ServiceModel } from "./model/service-model.ts";
import { type Endpoint, partitionOf, readEndpoint } from "./partition.ts";
import { isForm, readParameters, readQueryInput } from "./query.ts";
import type { AnonymousCall, Connection, Service } from "./service.ts";
import { headerValues, type ReceivedRequest } from "./sigv4/canonical.ts";
import type { SigningKeys } from "./sigv4/signing-keys.ts";
import { verifySignature } from "./sigv4/verify.ts";
import { writeFault, writeResult } from "./xml.ts";

export interface FrontDoor {
  readonly services: readonly Service[];
  readonly directory: { find(accessKeyId: string): DirectoryCredential | undefined };
  readonly regions: ReadonlySet<string>;
  /** How far a client's clock may be off, either way; AWS accepts five minutes. */
  readonly maxSkewMs: number;
  readonly signingKeys: SigningKeys;
}

export interface Answer {
  readonly status: number;
  readonly contentType: string;
  readonly body: string;
}

/** What is known of a request beside its bytes. */
export interface Reception {
  readonly now: Date;
  /** What signatures and other proofs are judged by; `now` if absent. */
  readonly clientTime?: Date;
  readonly requestId: string;
  readonly connection: Connection;
}

type Head = Pick<ReceivedRequest, "method" | "target" | "headers">;

/** The part of a service that answers, and what it is asked. */
interface Routed {
  readonly service: Service;
  readonly operation: string;
  readonly regions: ReadonlySet<string>;
}

const JSON_TYPE = "application/x-amz-json-1.1";
const XML_TYPE = "text/xml";

/** Never rejects: a bug becomes InternalFailure. `onBug` sees it. */
export async function answerRequest(
  door: FrontDoor,
  request: ReceivedRequest,
  reception: Reception,
  onBug: (error: unknown) => void,
): Promise<Answer> {
  try {
    if (speaksQuery(request)) return await answerQuery(door, request, reception);
    return { status: 200, contentType: JSON_TYPE, body: JSON.stringify(await dispatchJson(door, request, reception)) };
  } catch (error) {
    if (error instanceof AwsFault) return answerFault(error, request, reception.requestId);
    onBug(error);
    return answerFault(new AwsFault("InternalFailure", "", 500), request, reception.requestId);
  }
}

/** In the protocol that the request speaks; for refusals that no service makes. */
export function answerFault(fault: AwsFault, request: Head, requestId: string, model?: ServiceModel): Answer {
  if (!speaksQuery(request)) return { status: fault.status, contentType: JSON_TYPE, body: fault.body() };
  return { contentType: XML_TYPE, ...writeFault(fault, model, requestId) };
}

function speaksQuery(request: Head): boolean {
  return !request.headers.has("x-amz-target") && (request.method === "GET" || isForm(request));
}

async function dispatchJson(door: FrontDoor, request: ReceivedRequest, reception: Reception): Promise<JsonObject> {
  const [prefix, operation = "", ...rest] = (headerValues(request, "x-amz-target")[0] ?? "").split(".");
  const service = door.services.find(
    ({ protocol }) => protocol.kind === "awsJson1_1" && protocol.targetPrefix === prefix,
  );
  const path = request.target.split("?", 1)[0];
  if (request.method !== "POST" || path !== "/" || !service || rest.length > 0)
    throw new AwsFault("UnknownOperationException");
  if (!service.operations.has(operation))
    throw new AwsFault("UnknownOperationException", `this mock offers ${[...service.operations].join(", ")} only`);
  const routed = { service, operation, regions: regionsAt(door, service, request) };
  if (mediaType(request) !== JSON_TYPE) throw serializationFault(`the content type must be ${JSON_TYPE}`);
  assertUncoded(request);
  const { caller, region } = authenticate(door, routed, request, reception);
  const input = readJsonInput(request.body);
  return service.handle({ operation, input, caller, region, ...reception });
}

async function answerQuery(door: FrontDoor, request: ReceivedRequest, reception: Reception): Promise<Answer> {
  assertUncoded(request);
  const parameters = readParameters(request);
  const { service, model, operation } = routeQuery(door.services, request, parameters);
  try {
    const routed = { service, operation, regions: regionsAt(door, service, request) };
    const result = await handleQuery(door, routed, request, { model, parameters, reception });
    const body = writeResult(model, operation, result, reception.requestId);
    return { status: 200, contentType: XML_TYPE, body };
  } catch (error) {
    if (error instanceof AwsFault) return answerFault(error, request, reception.requestId, model);
    throw error;
  }
}

function routeQuery(
  services: readonly Service[],
  request: ReceivedRequest,
  parameters: ReadonlyMap<string, string>,
): { readonly service: Service; readonly model: ServiceModel; readonly operation: string } {
  const [operation, version] = [parameters.get("Action"), parameters.get("Version")];
  if (operation === undefined) throw new AwsFault("MissingAction", "The request must contain the parameter Action.");
  for (const service of services) {
    const { protocol } = service;
    if (protocol.kind !== "awsQuery" || protocol.model.apiVersion !== version) continue;
    if (service.operations.has(operation) && request.target.split("?", 1)[0] === "/")
      return { service, model: protocol.model, operation };
  }
  throw new AwsFault(
    "InvalidAction",
    `Could not find operation ${operation} for version ${version ?? "NO_VERSION_SPECIFIED"}`,
  );
}

function handleQuery(
  door: FrontDoor,
  routed: Routed,
  request: ReceivedRequest,
  read: {
    readonly model: ServiceModel;
    readonly parameters: ReadonlyMap<string, string>;
    readonly reception: Reception;
  },
): Promise<JsonObject> {
  const { service, operation, regions } = routed;
  const { anonymous } = service;
  const call = (region: string): AnonymousCall => ({
    ...{ operation, region },
    input: readQueryInput(read.model, operation, read.parameters),
    ...read.reception,
  });
  if (anonymous?.operations.has(operation)) {
    const [region] = regions;
    if (region === undefined) throw new AwsFault("InvalidAction", "This region is not offered.");
    return anonymous.handle(call(region));
  }
  try {
    const { caller, region } = authenticate(door, routed, request, read.reception);
    return service.handle({ caller, ...call(region) });
  } catch (error) {
    // ExpiredTokenException is another thing in STS: the proof that an operation was given is too old.
    if (error instanceof AwsFault && error.error === "ExpiredTokenException")
      throw new AwsFault("ExpiredToken", error.message, 403);
    throw error;
  }
}

/** The regions that a request may be for: the one that a host name of AWS says, all on any other name. */
function regionsAt(door: FrontDoor, service: Service, request: ReceivedRequest): ReadonlySet<string> {
  const endpoint: Endpoint | undefined = readEndpoint(headerValues(request, "host")[0] ?? "");
  if (!endpoint) return door.regions;
  if (endpoint.service !== service.signingName) throw new AwsFault("UnknownOperationException");
  return door.regions.has(endpoint.region) ? new Set([endpoint.region]) : new Set();
}

function authenticate(
  door: FrontDoor,
  { service, regions }: Routed,
  request: ReceivedRequest,
  { now, clientTime = now }: Reception,
): { readonly caller: DirectoryCredential["caller"]; readonly region: string } {
  const { credential, region } = verifySignature(request, {
    service: service.signingName,
    regions,
    now,
    clientTime,
    maxSkewMs: door.maxSkewMs,
    isPresignable: service.isPresignable,
    keyFor: door.signingKeys.keyFor,
    find: (accessKeyId) => door.directory.find(accessKeyId),
  });
  if (credential.caller.partition !== partitionOf(region))
    throw new AwsFault("UnrecognizedClientException", "The security token included in the request is invalid.");
  return { caller: credential.caller, region };
}

function mediaType(request: ReceivedRequest): string | undefined {
  return headerValues(request, "content-type")[0]?.split(";")[0]?.trim().toLowerCase();
}

function assertUncoded(request: ReceivedRequest): void {
  for (const name of ["transfer-encoding", "content-encoding"])
    if (request.headers.has(name)) throw serializationFault(`${name} is not accepted`);
}

function readJsonInput(body: Uint8Array): JsonObject {
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
