/**
 * Writes the answers of the Query protocol: a result in its wrapper, or an ErrorResponse.
 *
 * The front door's refusals bear the names of the JSON protocol; here they get the ones that AWS's Query services use,
 * and their HTTP status.
 *
 * Source: Smithy, "AWS Query protocol"; STS API Reference, "Common errors".
 *
 * @module
 */
import type { AwsFault } from "./fault.ts";
import type { Json, JsonObject } from "./json.ts";
import type { ServiceModel } from "./model/service-model.ts";

/** Name in the JSON protocol → code and status in this one. */
const CODES: ReadonlyMap<string, readonly [code: string, status: number]> = new Map([
  ["MissingAuthenticationTokenException", ["MissingAuthenticationToken", 403]],
  ["UnrecognizedClientException", ["InvalidClientTokenId", 403]],
  ["InvalidSignatureException", ["SignatureDoesNotMatch", 403]],
  ["IncompleteSignatureException", ["IncompleteSignature", 400]],
  ["AccessDeniedException", ["AccessDenied", 403]],
  ["ValidationException", ["ValidationError", 400]],
  ["SerializationException", ["MalformedInput", 400]],
  ["UnknownOperationException", ["InvalidAction", 400]],
  ["ThrottlingException", ["Throttling", 400]],
]);
/** Of an answer that no service gave. */
const NO_SERVICE = "http://webservices.amazon.com/AWSFault/2005-15-09";

export interface XmlAnswer {
  readonly status: number;
  readonly body: string;
}

export function writeResult(model: ServiceModel, operation: string, result: JsonObject, requestId: string): string {
  const wrapper = model.operations[operation]?.resultWrapper ?? `${operation}Result`;
  return element(
    { name: `${operation}Response`, xmlns: model.xmlNamespace ?? NO_SERVICE },
    `${writeMember(wrapper, result)}${element({ name: "ResponseMetadata" }, leaf("RequestId", requestId))}`,
  );
}

export function writeFault(fault: AwsFault, model: ServiceModel | undefined, requestId: string): XmlAnswer {
  const [code, status] = CODES.get(fault.error) ?? [fault.error, fault.status];
  const type = leaf("Type", status < 500 ? "Sender" : "Receiver");
  const error = element({ name: "Error" }, `${type}${leaf("Code", code)}${leaf("Message", fault.message)}`);
  const xmlns = model?.xmlNamespace ?? NO_SERVICE;
  const body = element({ name: "ErrorResponse", xmlns }, `${error}${leaf("RequestId", requestId)}`);
  return { status, body };
}

function writeMember(name: string, value: Json): string {
  if (value === null) return "";
  if (Array.isArray(value)) return element({ name }, value.map((item: Json) => writeMember("member", item)).join(""));
  if (typeof value !== "object") return leaf(name, String(value));
  const members = Object.entries(value as JsonObject).map(([member, content]) => writeMember(member, content));
  return element({ name }, members.join(""));
}

function leaf(name: string, text: string): string {
  return `<${name}>${escapeText(text)}</${name}>\n`;
}

function element({ name, xmlns }: { readonly name: string; readonly xmlns?: string }, content: string): string {
  return `<${name}${xmlns === undefined ? "" : ` xmlns="${xmlns}"`}>\n${content}</${name}>\n`;
}

const ENTITIES: Readonly<Record<string, string>> = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" };

/** What XML 1.0 can not hold becomes U+FFFD: an answer must parse whatever was in the request. */
function escapeText(text: string): string {
  return text
    .toWellFormed()
    .replaceAll(/[^\t\n\r\u0020-\uD7FF\uE000-\uFFFD\u{10000}-\u{10FFFF}]/gu, "\uFFFD")
    .replaceAll("\r", "&#13;")
    .replaceAll(/[&<>"]/g, (character) => ENTITIES[character] ?? character);
}
