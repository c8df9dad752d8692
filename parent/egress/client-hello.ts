/**
 * Reads the name that a TLS client asks for in the clear, as far as an allowlist needs it; nothing is decrypted.
 *
 * Takes the first bytes of a connection: handshake records of TLS, the ClientHello in them in one piece or fragmented.
 * Every length must fit exactly; what is unknown (cipher suites, extensions, GREASE values) is passed over. Refused is
 * what two readers could understand differently: an extension twice, two names, a name of another type, bytes behind
 * the message in its record.
 *
 * Source: RFC 8446 §4.1.2, §4.2, §5.1; RFC 6066 §3 (server_name); RFC 8701 (GREASE); draft-ietf-tls-esni (encrypted_client_hello).
 *
 * @module
 */

export type ClientHello =
  /** Not whole yet: at least `need` bytes from the start. */
  | { readonly kind: "partial"; readonly need: number }
  | { readonly kind: "invalid"; readonly rule: string }
  | {
      readonly kind: "hello";
      /** As it was sent. */
      readonly serverName?: string;
      /** Whether a second, encrypted ClientHello may name another server. GREASE looks the same. */
      readonly isEncrypted: boolean;
    };

const RECORD_HEADER = 5;
const HANDSHAKE_HEADER = 4;
const RECORD_MAX = 16_384;
/** A hello has a few hundred bytes, or some thousand with post-quantum key shares: nobody needs more records. */
const RECORDS_MAX = 32;
const EXTENSION_SERVER_NAME = 0;
const EXTENSION_ENCRYPTED_CLIENT_HELLO = 0xfe0d;

class Invalid extends Error {}

export function readClientHello(bytes: Uint8Array): ClientHello {
  try {
    const message = joinRecords(bytes);
    return typeof message === "number" ? { kind: "partial", need: message } : readHello(message);
  } catch (error) {
    if (error instanceof Invalid) return { kind: "invalid", rule: error.message };
    throw error;
  }
}

function byteAt(bytes: Uint8Array, at: number): number {
  return bytes[at] ?? 0;
}

function uint16(bytes: Uint8Array, at: number): number {
  return (byteAt(bytes, at) << 8) | byteAt(bytes, at + 1);
}

/** The handshake message in the records, or how many bytes it takes to see more of it. */
function joinRecords(bytes: Uint8Array): Uint8Array | number {
  const parts: Uint8Array[] = [];
  let joined = 0;
  for (let at = 0, records = 0; ; records++) {
    if (records === RECORDS_MAX) throw new Invalid(`a ClientHello has at most ${RECORDS_MAX} records`);
    // What is wrong with the first byte needs no second one to be told.
    if (at < bytes.length && bytes[at] !== 22) throw new Invalid("expected a TLS handshake record");
    if (bytes.length < at + RECORD_HEADER) return at + RECORD_HEADER;
    if (bytes[at + 1] !== 3) throw new Invalid("expected the record version of TLS");
    const length = uint16(bytes, at + 3);
    if (length < 1 || length > RECORD_MAX) throw new Invalid(`a record has 1 to ${RECORD_MAX} bytes`);
    const start = at + RECORD_HEADER;
    at = start + length;
    const part = bytes.subarray(start, at);
    if (joined === 0 && part.length > 0 && part[0] !== 1) throw new Invalid("expected a ClientHello first");
    if (bytes.length < at) return at;
    parts.push(part);
    joined += length;
    const whole = messageLength(parts);
    if (whole !== undefined && joined > whole) throw new Invalid("bytes behind the ClientHello in its record");
    if (joined === whole) return flatten(parts, joined);
  }
}

/** The length of the message with its header; undefined while that has not come. */
function messageLength(parts: readonly Uint8Array[]): number | undefined {
  const header: number[] = [];
  for (const part of parts) {
    for (const byte of part.subarray(0, HANDSHAKE_HEADER - header.length)) header.push(byte);
    if (header.length === HANDSHAKE_HEADER) break;
  }
  const [, high, middle, low] = header;
  if (high === undefined || middle === undefined || low === undefined) return undefined;
  return HANDSHAKE_HEADER + high * 65_536 + middle * 256 + low;
}

function flatten(parts: readonly Uint8Array[], length: number): Uint8Array {
  const message = new Uint8Array(length);
  let at = 0;
  for (const part of parts) {
    message.set(part, at);
    at += part.length;
  }
  return message;
}

/** Takes pieces off the front; each must be there whole. */
class Cursor {
  readonly #bytes: Uint8Array;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  get isAtEnd(): boolean {
    return this.#at === this.#bytes.length;
  }

  take(length: number): Uint8Array {
    const end = this.#at + length;
    if (end > this.#bytes.length) throw new Invalid("a length goes beyond what holds it");
    const piece = this.#bytes.subarray(this.#at, end);
    this.#at = end;
    return piece;
  }

  uint8(): number {
    return byteAt(this.take(1), 0);
  }

  uint16(): number {
    return uint16(this.take(2), 0);
  }

  end(): void {
    if (!this.isAtEnd) throw new Invalid("a length is shorter than what it holds");
  }
}

function readHello(message: Uint8Array): ClientHello {
  const hello = new Cursor(message.subarray(HANDSHAKE_HEADER));
  hello.take(2 + 32);
  if (hello.take(hello.uint8()).length > 32) throw new Invalid("a session id has at most 32 bytes");
  const suites = hello.take(hello.uint16()).length;
  if (suites < 2 || suites % 2 !== 0) throw new Invalid("cipher suites have two bytes each");
  if (hello.take(hello.uint8()).length < 1) throw new Invalid("there is a compression method");
  if (hello.isAtEnd) return { kind: "hello", isEncrypted: false };
  const extensions = new Cursor(hello.take(hello.uint16()));
  hello.end();
  const seen = new Map<number, Uint8Array>();
  while (!extensions.isAtEnd) {
    const type = extensions.uint16();
    if (seen.has(type)) throw new Invalid("an extension comes once");
    seen.set(type, extensions.take(extensions.uint16()));
  }
  const named = seen.get(EXTENSION_SERVER_NAME);
  const isEncrypted = seen.has(EXTENSION_ENCRYPTED_CLIENT_HELLO);
  return { kind: "hello", isEncrypted, ...(named && { serverName: readServerName(named) }) };
}

function readServerName(extension: Uint8Array): string {
  const outer = new Cursor(extension);
  const list = new Cursor(outer.take(outer.uint16()));
  outer.end();
  if (list.uint8() !== 0) throw new Invalid("a server name is a host name");
  const name = list.take(list.uint16());
  list.end();
  if (name.length < 1 || name.length > 255 || name.some((byte) => byte < 0x21 || byte > 0x7e)) {
    throw new Invalid("a server name is 1 to 255 characters of printable ASCII");
  }
  return String.fromCharCode(...name);
}
