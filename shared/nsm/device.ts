/**
 * What the Nitro Secure Module offers, as calls. One compliance suite runs against every implementation.
 *
 * Source: aws-nitro-enclaves-nsm-api, `src/api/mod.rs`; limits from `docs/attestation_process.md` §3.2.2.2.
 *
 * @module
 */

/** Largest request and response, in bytes (Linux `drivers/misc/nsm.c`). */
export const NSM_REQUEST_MAX = 0x1000;
export const NSM_RESPONSE_MAX = 0x3000;
/** Largest optional field of an attestation document, in bytes (genuine documents carry up to 1024). */
export const NSM_FIELD_MAX = 1024;
/** Length of a PCR value with SHA-384, in bytes. */
export const PCR_BYTES = 48;

/** The optional content of an attestation document; at most 1024 bytes each. */
export interface AttestationRequest {
  readonly publicKey?: Uint8Array;
  readonly userData?: Uint8Array;
  readonly nonce?: Uint8Array;
}

export interface PcrState {
  readonly locked: boolean;
  /** 48 bytes. */
  readonly value: Uint8Array;
}

export interface NsmDescription {
  readonly version: { readonly major: number; readonly minor: number; readonly patch: number };
  readonly moduleId: string;
  readonly maxPcrs: number;
  readonly lockedPcrs: readonly number[];
  readonly digest: string;
}

/** @throws {NsmError} from every call */
export interface NsmDevice extends AsyncDisposable {
  /** The signed attestation document, COSE_Sign1 bytes. */
  attest(request: AttestationRequest): Promise<Uint8Array>;
  describe(): Promise<NsmDescription>;
  describePcr(index: number): Promise<PcrState>;
  /** Sets PCR `index` (16 to 31) to SHA-384(old value ‖ data) and gives the new value. */
  extendPcr(index: number, data: Uint8Array): Promise<Uint8Array>;
  lockPcr(index: number): Promise<void>;
  /** Locks PCRs 0 to `range - 1`. */
  lockPcrs(range: number): Promise<void>;
  /** Up to 256 random bytes a call. */
  getRandom(): Promise<Uint8Array>;
  close(): Promise<void>;
}

/** One exchange of the device's own CBOR: a request message in, its response out. */
export type NsmExchange = (request: Uint8Array) => Promise<Uint8Array>;
