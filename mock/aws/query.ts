/**
 * Reads a request of the Query protocol: parameters of a form, given their types by the service's model.
 *
 *   Action=AssumeRole&Version=2011-06-15&Tags.member.1.Key=team&Tags.member.1.Value=a
 *   → { "Tags": [{ "Key": "team", "Value": "a" }] }
 *
 * A parameter stands once; the order of a list is that of its numbers. What the model does not know is passed over, as
 * AWS does. Limits of values are the model's business.
 *
 * Source: Smithy, "AWS Query protocol".
 *
 * @module
 */
import { AwsFault, serializationFault } from "./fault.ts";
import type { Json, JsonObject } from "./json.ts";
import { type ServiceModel, shapeOf } from "./model/service-model.ts";
import { headerValues, queryParameters, type ReceivedRequest, splitParameter } from "./sigv4/canonical.ts";

const MAX_PARAMETERS = 2_000;
const MAX_NAME_PARTS = 8;
const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** @throws {AwsFault} not a form, or a parameter twice */
export function readParameters(request: ReceivedRequest): ReadonlyMap<string, string> {
  const inQuery = queryParameters(request.target).filter(([name]) => !/^x-amz-/i.test(name));
  const pieces = request.method === "GET" ? [] : decodeBody(request.body).split("&", MAX_PARAMETERS + 1);
  const inBody = pieces.filter((piece) => piece !== "").map((piece) => splitParameter(piece, decodeForm));
  if (inQuery.length + inBody.length > MAX_PARAMETERS) throw malformed(`more than ${MAX_PARAMETERS} parameters`);
  const parameters = new Map<string, string>();
  for (const [name, value] of [...inQuery, ...inBody]) {
    if (parameters.has(name)) throw malformed("a parameter stands twice");
    if (name.split(".", MAX_NAME_PARTS + 1).length > MAX_NAME_PARTS) throw malformed("a parameter's name is too deep");
    parameters.set(name, value);
  }
  return parameters;
}

/** @throws {AwsFault} a value that is not of its type */
export function readQueryInput(
  model: ServiceModel,
  operation: string,
  parameters: ReadonlyMap<string, string>,
): JsonObject {
  const root = newNode();
  for (const [name, value] of parameters) plant(root, name.split("."), value);
  const shape = model.operations[operation]?.input;
  const input = shape === undefined ? undefined : readShape(model, shape, root);
  return (input as JsonObject | undefined) ?? {};
}

export function isForm(request: Pick<ReceivedRequest, "headers">): boolean {
  const type = headerValues(request, "content-type")[0]?.split(";")[0]?.trim().toLowerCase();
  return type === "application/x-www-form-urlencoded";
}

function decodeBody(body: Uint8Array): string {
  try {
    return utf8.decode(body);
  } catch (cause) {
    if (!(cause instanceof TypeError)) throw cause;
    throw malformed("the form is not UTF-8");
  }
}

function decodeForm(text: string): string {
  try {
    return decodeURIComponent(text.replaceAll("+", " "));
  } catch (cause) {
    if (!(cause instanceof URIError)) throw cause;
    throw malformed("an escape is not one");
  }
}

/** A place in a dotted name: its own value, and the places below. */
interface Node {
  value: string | undefined;
  readonly children: Map<string, Node>;
}

function newNode(): Node {
  return { value: undefined, children: new Map() };
}

function plant(root: Node, parts: readonly string[], value: string): void {
  let node = root;
  for (const part of parts) {
    const child: Node = node.children.get(part) ?? newNode();
    node.children.set(part, child);
    node = child;
  }
  node.value = value;
}

function readShape(model: ServiceModel, name: string, node: Node): Json | undefined {
  const shape = shapeOf(model, name);
  switch (shape.type) {
    case "structure":
      return readStructure(model, shape.members, node);
    case "list":
      return readList(model, shape.member, node);
    case "integer":
    case "long":
      return node.value === undefined ? undefined : readNumber(node.value);
    case "boolean":
      return node.value === undefined ? undefined : node.value === "true";
    default:
      return node.value;
  }
}

function readStructure(
  model: ServiceModel,
  members: Readonly<Record<string, string>>,
  node: Node,
): JsonObject | undefined {
  if (node.children.size === 0) return undefined;
  const object = Object.create(null) as Record<string, Json>;
  for (const [name, of] of Object.entries(members)) {
    const child = node.children.get(name);
    const value = child && readShape(model, of, child);
    if (value !== undefined) object[name] = value;
  }
  return object;
}

function readList(model: ServiceModel, member: string, node: Node): readonly Json[] | undefined {
  const members = node.children.get("member")?.children;
  // `Tags=` with nothing below is how the SDKs write an empty list.
  if (!members) return node.value === "" ? [] : undefined;
  const numbered = [...members].map(([index, child]) => [readNumber(index), child] as const);
  return numbered
    .sort(([a], [b]) => a - b)
    .map(([, child]) => readShape(model, member, child))
    .filter((value) => value !== undefined);
}

function readNumber(text: string): number {
  if (!/^-?[0-9]{1,15}$/.test(text)) throw serializationFault("a number is not one");
  return Number(text);
}

function malformed(message: string): AwsFault {
  return new AwsFault("MalformedQueryString", message);
}
