/**
 * Calls the Nitro Secure Module over any exchange of its messages: an ioctl, a socket, a function.
 *
 * What is too large is refused before it is sent. What comes back must be the answer to what was asked:
 *
 *   - the right variant with exactly its fields, or one of the device's error codes
 *   - a document that carries the very nonce, user_data and public_key that were given (a self-check, not a
 *     verification: nobody's signature is looked at here)
 *   - random bytes that are there, not all zero and not those of the call before
 *
 * Calls pass one at a time. This file does no I/O.
 *
 * Source: aws-nitro-enclaves-nsm-api `src/api/mod.rs`; Linux `drivers/misc/nsm.c` for the sizes.
 *
 * @module
 */
import { equalBytes, isAllZero } from "../bytes.ts";
import { decodeCbor } from "../cbor/decode.ts";
import { isEncodingError } from "../errors/encoding.ts";
import { NsmError } from "../errors/nsm.ts";
import {
  type AttestationRequest,
  NSM_FIELD_MAX,
  NSM_REQUEST_MAX,
  type NsmDescription,
  type NsmDevice,
  type NsmExchange,
  PCR_BYTES,
  type PcrState,
} from "./device.ts";
import { encodeNsmRequest, type NsmRequest, type NsmResponse } from "./messages.ts";
import { oneAtATime } from "./one-at-a-time.ts";
import { decodeNsmResponse } from "./parse.ts";

const RANDOM_MAX = 256;
// A short block repeats or is zero by chance (1 in 128 for one byte); four in a row is a device without entropy.
const RANDOM_ATTEMPTS = 4;
const U16_MAX = 0xffff;

type Kind = NsmRequest["kind"];
type Reply<K extends Kind> = Extract<NsmResponse, { readonly kind: K }>;

/**
 * @param exchange one request in, its response out; never called before the response to the last is there
 * @param close releases what `exchange` holds
 */
export function createNsm(exchange: NsmExchange, close: () => Promise<void>): NsmDevice {
  return new NsmClient(exchange, close);
}

class NsmClient implements NsmDevice {
  readonly #exchange: NsmExchange;
  readonly #close: () => Promise<void>;
  #lastRandom: Uint8Array = new Uint8Array();
  #closed = false;

  constructor(exchange: NsmExchange, close: () => Promise<void>) {
    this.#exchange = oneAtATime(exchange);
    this.#close = close;
  }

  async attest({ publicKey, userData, nonce }: AttestationRequest): Promise<Uint8Array> {
    const fields = { publicKey: publicKey ?? null, userData: userData ?? null, nonce: nonce ?? null };
    for (const [field, value] of Object.entries(fields)) limit(field, value, NSM_FIELD_MAX);
    const { document } = await this.#call({ kind: "Attestation", ...fields });
    checkEcho(document, { public_key: fields.publicKey, user_data: fields.userData, nonce: fields.nonce });
    return document;
  }

  async describe(): Promise<NsmDescription> {
    const reply = await this.#call({ kind: "DescribeNSM" });
    return {
      version: { major: reply.versionMajor, minor: reply.versionMinor, patch: reply.versionPatch },
      moduleId: reply.moduleId,
      maxPcrs: reply.maxPcrs,
      lockedPcrs: reply.lockedPcrs,
      digest: reply.digest,
    };
  }

  async describePcr(index: number): Promise<PcrState> {
    const { lock, data } = await this.#call({ kind: "DescribePCR", index: u16("index", index) });
    return { locked: lock, value: pcrValue("DescribePCR", data) };
  }

  async extendPcr(index: number, data: Uint8Array): Promise<Uint8Array> {
    const reply = await this.#call({ kind: "ExtendPCR", index: u16("index", index), data });
    return pcrValue("ExtendPCR", reply.data);
  }

  async lockPcr(index: number): Promise<void> {
    await this.#call({ kind: "LockPCR", index: u16("index", index) });
  }

  async lockPcrs(range: number): Promise<void> {
    await this.#call({ kind: "LockPCRs", range: u16("range", range) });
  }

  async getRandom(): Promise<Uint8Array> {
    let rule = "";
    for (let attempt = 0; attempt < RANDOM_ATTEMPTS; attempt++) {
      const { random } = await this.#call({ kind: "GetRandom" });
      const last = this.#lastRandom;
      this.#lastRandom = random;
      if (random.length > RANDOM_MAX) throw malformed("GetRandom", `at most ${RANDOM_MAX} bytes, not ${random.length}`);
      if (random.length === 0) rule = "no random bytes";
      else if (isAllZero(random)) rule = "random bytes are all zero";
      else if (equalBytes(random, last)) rule = "the same random bytes twice";
      // A copy: the caller may use it up, the comparison of the next call needs it whole.
      else return random.slice();
    }
    throw malformed("GetRandom", `${rule}, in ${RANDOM_ATTEMPTS} answers`);
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    await this.#close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #call<K extends Kind>(request: Extract<NsmRequest, { readonly kind: K }>): Promise<Reply<K>> {
    if (this.#closed) throw new NsmError("ERR_NSM_UNAVAILABLE", { device: "nsm", reason: "closed" });
    const message = encodeNsmRequest(request);
    limit("request", message, NSM_REQUEST_MAX);
    const response = decodeNsmResponse(await this.#exchange(message), request.kind);
    if (response.kind === "Error") {
      throw new NsmError("ERR_NSM_REFUSED", { operation: request.kind, reason: response.code });
    }
    if (response.kind !== request.kind) throw malformed(request.kind, `an answer to ${response.kind}`);
    return response as Reply<K>;
  }
}

function malformed(operation: string, rule: string, cause?: unknown): NsmError {
  return new NsmError("ERR_NSM_RESPONSE_MALFORMED", { operation, rule }, { cause });
}

function limit(field: string, value: Uint8Array | null, maximum: number): void {
  if (value !== null && value.length > maximum) {
    throw new NsmError("ERR_NSM_INPUT_TOO_LARGE", { field, maximum, actual: value.length });
  }
}

function u16(label: string, value: number): number {
  if (!Number.isInteger(value) || value < 0 || value > U16_MAX) {
    throw new RangeError(`${label} must be 0 to ${U16_MAX}, got ${value}`);
  }
  return value;
}

function pcrValue(operation: string, data: Uint8Array): Uint8Array {
  if (data.length !== PCR_BYTES) throw malformed(operation, `a PCR has ${PCR_BYTES} bytes, not ${data.length}`);
  return data;
}

function checkEcho(document: Uint8Array, sent: Readonly<Record<string, Uint8Array | null>>): void {
  const payload = payloadOf(document);
  for (const [field, expected] of Object.entries(sent)) {
    const actual = payload.get(field) ?? null;
    const same = expected === null ? actual === null : actual instanceof Uint8Array && equalBytes(actual, expected);
    if (!same) throw malformed("Attestation", `the document does not carry the ${field} that was given`);
  }
}

function payloadOf(document: Uint8Array): ReadonlyMap<string | number, unknown> {
  try {
    const cose = decodeCbor(document, { maxDepth: 2, indefinite: false });
    const payload = Array.isArray(cose) ? cose[2] : undefined;
    const claims = payload instanceof Uint8Array ? decodeCbor(payload, { maxDepth: 4, indefinite: true }) : null;
    if (claims instanceof Map) return claims;
  } catch (cause) {
    if (!isEncodingError(cause)) throw cause;
    throw malformed("Attestation", "the document is not CBOR", cause);
  }
  throw malformed("Attestation", "the document is not COSE_Sign1 around a map");
}
