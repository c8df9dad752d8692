/**
 * A request, and an answer, as the bytes that are sealed: u32 length, big-endian ‖ head as JSON ‖ body.
 *
 *   request   {"method":"POST","path":"/rows?x=1","headers":[["content-type","text/csv"]]}
 *   answer    {"status":200,"headers":[["content-type","application/json"]]}
 *
 * Whole messages: neither side streams. Both readers are strict, for what opens was sealed by whoever asked for the key, or
 * by an enclave whose application is hostile to itself at worst.
 *
 * @module
 */
import { concat, utf8 } from "../bytes.ts";
import { SessionError } from "../errors/session.ts";
import { isTransportError } from "../errors/transport.ts";
import { isJsonObject, type Json, parseJson } from "../transport/json.ts";

type Fields = readonly (readonly [string, string])[];

export interface PlainRequest {
  readonly method: string;
  /** Path and query. */
  readonly path: string;
  readonly headers: Fields;
  readonly body: Uint8Array;
}

export interface PlainAnswer {
  readonly status: number;
  readonly headers: Fields;
  readonly body: Uint8Array;
}

const HEAD_MAX = 16_384;
const METHODS: readonly string[] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"];

export function encodeRequest({ body, ...head }: PlainRequest): Uint8Array {
  return encode(head, body);
}

export function encodeAnswer({ body, ...head }: PlainAnswer): Uint8Array {
  return encode(head, body);
}

/** @throws {SessionError} `ERR_SESSION_MALFORMED` */
export function decodeRequest(bytes: Uint8Array): PlainRequest {
  const { head, body } = decode(bytes);
  const { method, path, headers } = head;
  if (typeof method !== "string" || !METHODS.includes(method)) throw malformed(`a method of ${METHODS.join(", ")}`);
  if (typeof path !== "string" || !/^\/[\x21-\x7e]{0,8191}$/.test(path)) throw malformed("a path of printable ASCII");
  return { method, path, headers: readFields(headers), body };
}

/** @throws {SessionError} `ERR_SESSION_MALFORMED` */
export function decodeAnswer(bytes: Uint8Array): PlainAnswer {
  const { head, body } = decode(bytes);
  const { status, headers } = head;
  const isStatus = typeof status === "number" && Number.isInteger(status) && status >= 200 && status <= 599;
  if (!isStatus) throw malformed("a status of 200 to 599");
  return { status, headers: readFields(headers), body };
}

function malformed(rule: string): SessionError {
  return new SessionError("ERR_SESSION_MALFORMED", { rule });
}

/** @throws {SessionError} `ERR_SESSION_MALFORMED`: a head of more than 16 KiB */
function encode(head: Readonly<Record<string, Json | Fields>>, body: Uint8Array): Uint8Array {
  const text = utf8(JSON.stringify(head));
  if (text.length > HEAD_MAX) throw malformed(`a head has at most ${HEAD_MAX} bytes`);
  const length = new DataView(new ArrayBuffer(4));
  length.setUint32(0, text.length);
  return concat(new Uint8Array(length.buffer), text, body);
}

function decode(bytes: Uint8Array): { readonly head: { readonly [key: string]: Json }; readonly body: Uint8Array } {
  if (bytes.length < 4) throw malformed("a length of 4 bytes");
  const length = new DataView(bytes.buffer, bytes.byteOffset).getUint32(0);
  if (length > HEAD_MAX || length > bytes.length - 4) throw malformed(`a head has at most ${HEAD_MAX} bytes`);
  return { head: readHead(bytes.subarray(4, 4 + length)), body: bytes.subarray(4 + length) };
}

function readHead(bytes: Uint8Array): { readonly [key: string]: Json } {
  let head: Json;
  try {
    head = parseJson(bytes);
  } catch (error) {
    if (!isTransportError(error)) throw error;
    throw new SessionError("ERR_SESSION_MALFORMED", { rule: "the head is strict JSON" }, { cause: error });
  }
  if (!isJsonObject(head)) throw malformed("the head is an object");
  return head;
}

function readFields(value: Json | undefined): Fields {
  if (!Array.isArray(value)) throw malformed("headers are a list");
  return value.map((field: unknown): readonly [string, string] => {
    const [name, text] = Array.isArray(field) && field.length === 2 ? (field as unknown[]) : [];
    if (typeof name !== "string" || !/^[!#$%&'*+.^_`|~0-9a-z-]{1,256}$/.test(name)) throw malformed("a header's name");
    if (typeof text !== "string" || !/^[\t\x20-\x7e\x80-\xff]{0,8192}$/.test(text)) throw malformed("a header's value");
    return [name, text];
  });
}
