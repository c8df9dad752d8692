/**
 * Reads the messages of the Nitro Secure Module, each in the one form it has: known variants, exactly their fields.
 *
 * A field more or less is refused, and so are trailing bytes. Both a map of indefinite length and a definite one are
 * read, since NSM has written both. What the values mean (an index in range, a nonce that matches) is not decided here.
 *
 * @module
 */
import { type Cbor, decodeCbor } from "../cbor/decode.ts";
import { isEncodingError } from "../errors/encoding.ts";
import { NsmError } from "../errors/nsm.ts";
import { NSM_REQUEST_MAX, NSM_RESPONSE_MAX } from "./device.ts";
import { NSM_DIGESTS, NSM_ERROR_CODES, type NsmRequest, type NsmResponse } from "./messages.ts";

const LIMITS = { maxDepth: 4, indefinite: true } as const;
const U16_MAX = 0xffff;

/** A message that is not one; wrapped by the two exported functions. */
class Violation extends Error {}

/**
 * @throws {NsmError} `ERR_NSM_REQUEST_MALFORMED`, `ERR_NSM_INPUT_TOO_LARGE`
 */
export function decodeNsmRequest(bytes: Uint8Array): NsmRequest {
  if (bytes.length > NSM_REQUEST_MAX) {
    throw new NsmError("ERR_NSM_INPUT_TOO_LARGE", {
      field: "request",
      maximum: NSM_REQUEST_MAX,
      actual: bytes.length,
    });
  }
  return guarded(
    () => request(split(bytes)),
    (rule, cause) => new NsmError("ERR_NSM_REQUEST_MALFORMED", { rule }, { cause }),
  );
}

/**
 * Reads a response, of whatever kind.
 *
 * @param operation only named in the error
 * @throws {NsmError} `ERR_NSM_RESPONSE_MALFORMED`
 */
export function decodeNsmResponse(bytes: Uint8Array, operation: string): NsmResponse {
  const malformed = (rule: string, cause?: unknown): NsmError =>
    new NsmError("ERR_NSM_RESPONSE_MALFORMED", { operation, rule }, { cause });
  if (bytes.length > NSM_RESPONSE_MAX) throw malformed(`has at most ${NSM_RESPONSE_MAX} bytes, not ${bytes.length}`);
  return guarded(() => response(split(bytes)), malformed);
}

function guarded<T>(read: () => T, wrap: (rule: string, cause: unknown) => NsmError): T {
  try {
    return read();
  } catch (error) {
    if (error instanceof Violation || isEncodingError(error)) throw wrap(error.message, error);
    throw error;
  }
}

interface Variant {
  readonly name: string;
  /** `undefined` for a variant written as its name alone. */
  readonly content: Cbor | undefined;
}

function split(bytes: Uint8Array): Variant {
  const message = decodeCbor(bytes, LIMITS);
  if (typeof message === "string") return { name: message, content: undefined };
  if (!(message instanceof Map) || message.size !== 1) throw new Violation("a message is a name or a map of one entry");
  for (const [name, content] of message) if (typeof name === "string") return { name, content };
  throw new Violation("a variant's name is text");
}

function request({ name, content }: Variant): NsmRequest {
  switch (name) {
    case "DescribeNSM":
    case "GetRandom":
      bare(name, content);
      return { kind: name };
    case "Attestation": {
      const fields = fieldsOf(content, ["user_data", "nonce", "public_key"]);
      const [userData, nonce, publicKey] = [fields("user_data"), fields("nonce"), fields("public_key")].map(optional);
      return { kind: name, userData: userData ?? null, nonce: nonce ?? null, publicKey: publicKey ?? null };
    }
    case "DescribePCR":
    case "LockPCR":
      return { kind: name, index: u16(fieldsOf(content, ["index"])("index")) };
    case "ExtendPCR": {
      const fields = fieldsOf(content, ["index", "data"]);
      return { kind: name, index: u16(fields("index")), data: byteString(fields("data")) };
    }
    case "LockPCRs":
      return { kind: name, range: u16(fieldsOf(content, ["range"])("range")) };
    default:
      throw new Violation("no such request");
  }
}

function response({ name, content }: Variant): NsmResponse {
  switch (name) {
    case "LockPCR":
    case "LockPCRs":
      bare(name, content);
      return { kind: name };
    case "GetRandom":
      return { kind: name, random: byteString(fieldsOf(content, ["random"])("random")) };
    case "Attestation":
      return { kind: name, document: byteString(fieldsOf(content, ["document"])("document")) };
    case "ExtendPCR":
      return { kind: name, data: byteString(fieldsOf(content, ["data"])("data")) };
    case "DescribePCR": {
      const fields = fieldsOf(content, ["lock", "data"]);
      const lock = fields("lock");
      if (typeof lock !== "boolean") throw new Violation("lock is true or false");
      return { kind: name, lock, data: byteString(fields("data")) };
    }
    case "DescribeNSM":
      return description(content);
    case "Error": {
      const code = NSM_ERROR_CODES.find((known) => known === content);
      if (code === undefined) throw new Violation("no such error code");
      return { kind: name, code };
    }
    default:
      throw new Violation("no such response");
  }
}

function description(content: Cbor | undefined): NsmResponse {
  const fields = fieldsOf(content, [
    "version_major",
    "version_minor",
    "version_patch",
    "module_id",
    "max_pcrs",
    "locked_pcrs",
    "digest",
  ]);
  const moduleId = fields("module_id");
  const locked = fields("locked_pcrs");
  const digest = NSM_DIGESTS.find((known) => known === fields("digest"));
  if (typeof moduleId !== "string" || moduleId === "") throw new Violation("module_id is text");
  if (!Array.isArray(locked)) throw new Violation("locked_pcrs is an array");
  if (digest === undefined) throw new Violation("no such digest");
  const lockedPcrs = locked.map(u16);
  if (lockedPcrs.some((index, at) => at > 0 && index <= (lockedPcrs[at - 1] ?? 0))) {
    throw new Violation("locked_pcrs ascend");
  }
  return {
    kind: "DescribeNSM",
    versionMajor: u16(fields("version_major")),
    versionMinor: u16(fields("version_minor")),
    versionPatch: u16(fields("version_patch")),
    moduleId,
    maxPcrs: u16(fields("max_pcrs")),
    lockedPcrs,
    digest,
  };
}

function bare(name: string, content: Cbor | undefined): void {
  if (content !== undefined) throw new Violation(`${name} has no fields`);
}

/** Exactly these fields; gives a way to read them. */
function fieldsOf(content: Cbor | undefined, names: readonly string[]): (name: string) => Cbor {
  if (!(content instanceof Map)) throw new Violation("the fields are a map");
  const missing = names.find((name) => !content.has(name));
  if (missing !== undefined) throw new Violation(`${missing} is missing`);
  if (content.size !== names.length) throw new Violation(`no fields but ${names.join(", ")}`);
  return (name) => content.get(name) ?? null;
}

function u16(value: Cbor): number {
  if (typeof value !== "number" || value < 0 || value > U16_MAX) throw new Violation("an index has 16 bits");
  return value;
}

function byteString(value: Cbor): Uint8Array {
  if (!(value instanceof Uint8Array)) throw new Violation("data is a byte string");
  // A copy that is no Buffer: what the decoder gives can be a view of the message.
  return new Uint8Array(value);
}

function optional(value: Cbor): Uint8Array | null {
  return value === null ? null : byteString(value);
}
