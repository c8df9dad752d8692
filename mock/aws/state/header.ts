/**
 * How a journal's file begins: what it is, the data key that opens it, which journal of this state it is.
 *
 *   "cloister state 1\n" · 1 passphrase or 2 token · length, 16 bits · wrapped data key · 32-byte identifier ·
 *   HMAC-SHA256 under the data key over all before
 *
 * The identifier is random and gives each journal keys of its own; the data key stays the same when one is replaced.
 *
 * @module
 */
import { createHmac, randomBytes, timingSafeEqual } from "node:crypto";
import { concat, equalBytes, utf8 } from "../../../shared/bytes.ts";
import { StateError } from "../../../shared/errors/state.ts";
import { DATA_KEY_BYTES, keyWrapperOf, type StateSecret } from "./data-key.ts";
import { deriveKey, FrameChain } from "./frames.ts";

const MAGIC = utf8("cloister state 1\n");
const KINDS = { 1: "passphrase", 2: "token" } as const;
const WRAPPED_AT = MAGIC.length + 3;
const IDENTIFIER_BYTES = 32;
const MAC_BYTES = 32;

/** The data key, and what its wrapped form is; both stay in memory while the state is open. */
export interface StateKey {
  readonly kind: StateSecret["kind"];
  readonly dataKey: Uint8Array;
  readonly wrapped: Uint8Array;
}

export interface JournalHeader {
  readonly bytes: Uint8Array;
  /** Stands before the first frame. */
  readonly chain: FrameChain;
}

/** @throws {ConfigError} a short passphrase */
export async function createStateKey(secret: StateSecret): Promise<StateKey> {
  const dataKey = randomBytes(DATA_KEY_BYTES);
  return { kind: secret.kind, dataKey, wrapped: await keyWrapperOf(secret).wrap(dataKey) };
}

export function createHeader(key: StateKey): JournalHeader {
  const { kind, wrapped, dataKey } = key;
  const fixed = new Uint8Array(3);
  fixed[0] = kind === KINDS[1] ? 1 : 2;
  new DataView(fixed.buffer).setUint16(1, wrapped.length);
  if (wrapped.length > 0xffff) throw new RangeError(`a wrapped key has at most 65535 bytes, got ${wrapped.length}`);
  const identifier = randomBytes(IDENTIFIER_BYTES);
  const start = concat(MAGIC, fixed, wrapped, identifier);
  const mac = headerMac(dataKey, start);
  return { bytes: concat(start, mac), chain: chainOf(dataKey, identifier, mac) };
}

/**
 * @param path named in errors
 * @throws {StateError} `ERR_STATE_MALFORMED`, `ERR_STATE_SECRET`
 * @throws {ConfigError} a short passphrase
 */
export async function openHeader(
  file: Uint8Array,
  { secret, path }: { readonly secret: StateSecret; readonly path: string },
): Promise<{ readonly key: StateKey; readonly header: JournalHeader }> {
  if (!equalBytes(file.subarray(0, MAGIC.length), MAGIC)) throw malformed(0, "a journal begins with its format");
  const kind = KINDS[file[MAGIC.length] as keyof typeof KINDS];
  if (kind === undefined || file.length < WRAPPED_AT) throw malformed(MAGIC.length, "a journal names a kind of secret");
  const wrappedEnd = WRAPPED_AT + new DataView(file.buffer, file.byteOffset + WRAPPED_AT - 2).getUint16(0);
  const identifierEnd = wrappedEnd + IDENTIFIER_BYTES;
  const end = identifierEnd + MAC_BYTES;
  if (file.length < end) throw malformed(file.length, "a journal does not end within its header");
  const refused = (options?: ErrorOptions): StateError =>
    new StateError("ERR_STATE_SECRET", { path, sealedUnder: kind, given: secret.kind }, options);
  const wrapper = keyWrapperOf(secret);
  if (kind !== secret.kind) throw refused();
  const wrapped = file.slice(WRAPPED_AT, wrappedEnd);
  const dataKey = await wrapper.unwrap(wrapped).catch((cause: unknown) => {
    throw refused({ cause });
  });
  const mac = headerMac(dataKey, file.subarray(0, identifierEnd));
  // A token that wraps without authenticating gives some key for any bytes: this is where another one shows.
  if (!timingSafeEqual(mac, file.subarray(identifierEnd, end))) throw refused();
  const chain = chainOf(dataKey, file.subarray(wrappedEnd, identifierEnd), mac);
  return { key: { kind, dataKey, wrapped }, header: { bytes: file.slice(0, end), chain } };
}

function headerMac(dataKey: Uint8Array, start: Uint8Array): Uint8Array {
  return createHmac("sha256", deriveKey(dataKey, "cloister state header")).update(start).digest();
}

function chainOf(dataKey: Uint8Array, identifier: Uint8Array, start: Uint8Array): FrameChain {
  return new FrameChain(deriveKey(dataKey, "cloister state journal", identifier), start);
}

function malformed(offset: number, rule: string): StateError {
  return new StateError("ERR_STATE_MALFORMED", { part: `byte ${offset}`, rule });
}
