/**
 * A software NSM: answers the device's own CBOR and signs documents under the mock root.
 *
 * It refuses what the real one refuses, with the real one's words. It is a signer with its own root and no more: its
 * documents pass the production checks under that root and fail them under AWS's.
 *
 * Source: aws-nitro-enclaves-nsm-api `src/api/mod.rs`, `nsm-test/src/bin/nsm-check.rs`.
 *
 * @module
 */
import { isNsmError } from "../../shared/errors/nsm.ts";
import { NSM_FIELD_MAX, NSM_RESPONSE_MAX, type NsmExchange } from "../../shared/nsm/device.ts";
import { encodeNsmResponse, type NsmErrorCode, type NsmRequest, type NsmResponse } from "../../shared/nsm/messages.ts";
import { oneAtATime } from "../../shared/nsm/one-at-a-time.ts";
import { decodeNsmRequest } from "../../shared/nsm/parse.ts";
import { signDocument } from "./document.ts";
import type { IssuedLeaf, MockPki } from "./pki.ts";
import { type BootMeasurements, PCR_COUNT, Registers } from "./registers.ts";

export interface SoftwareNsmOptions extends BootMeasurements {
  readonly pki: MockPki;
  /** `i-<17 hex>-enc<16 hex>`. */
  readonly moduleId: string;
  readonly now: () => Date;
  readonly randomBytes: (length: number) => Uint8Array;
}

export interface SoftwareNsm {
  readonly moduleId: string;
  /** One request in, its response out. Requests are answered one after the other. */
  readonly handle: NsmExchange;
}

const RANDOM_BYTES = 256;
// A leaf lives 3 h 3 s; the new one comes with the 3 s to spare.
const RENEW_BEFORE_MS = 3_000;

export async function createSoftwareNsm(options: SoftwareNsmOptions): Promise<SoftwareNsm> {
  const nsm = new Nsm(options, await Registers.boot(options));
  return { moduleId: options.moduleId, handle: oneAtATime((request) => nsm.handle(request)) };
}

class Nsm {
  readonly #options: SoftwareNsmOptions;
  readonly #registers: Registers;
  #leaf: IssuedLeaf | undefined;

  constructor(options: SoftwareNsmOptions, registers: Registers) {
    this.#options = options;
    this.#registers = registers;
  }

  async handle(bytes: Uint8Array): Promise<Uint8Array> {
    const response = encodeNsmResponse(await this.#answer(bytes));
    return response.length > NSM_RESPONSE_MAX ? encodeNsmResponse(refusal("BufferTooSmall")) : response;
  }

  async #answer(bytes: Uint8Array): Promise<NsmResponse> {
    let request: NsmRequest;
    try {
      request = decodeNsmRequest(bytes);
    } catch (error) {
      if (!isNsmError(error)) throw error;
      return refusal(error.code === "ERR_NSM_INPUT_TOO_LARGE" ? "InputTooLarge" : "InvalidArgument");
    }
    switch (request.kind) {
      case "DescribeNSM":
        return this.#describe();
      case "GetRandom":
        return { kind: "GetRandom", random: this.#options.randomBytes(RANDOM_BYTES) };
      case "Attestation":
        return this.#attest(request);
      case "DescribePCR": {
        const register = this.#registers.describe(request.index);
        if (typeof register === "string") return refusal(register);
        return { kind: "DescribePCR", lock: register.locked, data: register.value };
      }
      case "ExtendPCR": {
        const value = await this.#registers.extend(request.index, request.data);
        return typeof value === "string" ? refusal(value) : { kind: "ExtendPCR", data: value };
      }
      case "LockPCR": {
        const refused = this.#registers.lock(request.index);
        return refused ? refusal(refused) : { kind: "LockPCR" };
      }
      case "LockPCRs": {
        const refused = this.#registers.lockBelow(request.range);
        return refused ? refusal(refused) : { kind: "LockPCRs" };
      }
      default:
        throw new TypeError(`not an NSM request: ${request satisfies never}`);
    }
  }

  #describe(): NsmResponse {
    return {
      kind: "DescribeNSM",
      versionMajor: 1,
      versionMinor: 0,
      versionPatch: 0,
      moduleId: this.#options.moduleId,
      maxPcrs: PCR_COUNT,
      lockedPcrs: [...this.#registers.locked().keys()],
      digest: "SHA384",
    };
  }

  async #attest(request: Extract<NsmRequest, { readonly kind: "Attestation" }>): Promise<NsmResponse> {
    const { publicKey, userData, nonce } = request;
    if ([publicKey, userData, nonce].some((field) => field !== null && field.length > NSM_FIELD_MAX)) {
      return refusal("InputTooLarge");
    }
    const { moduleId, now } = this.#options;
    const leaf = await this.#currentLeaf();
    const claims = { moduleId, timestamp: now(), pcrs: this.#registers.locked(), publicKey, userData, nonce };
    return { kind: "Attestation", document: await signDocument(claims, leaf) };
  }

  async #currentLeaf(): Promise<IssuedLeaf> {
    const { pki, moduleId, now } = this.#options;
    const expiring = !this.#leaf || now().getTime() >= this.#leaf.notAfter.getTime() - RENEW_BEFORE_MS;
    if (!this.#leaf || expiring) this.#leaf = await pki.issueLeaf(moduleId);
    return this.#leaf;
  }
}

function refusal(code: NsmErrorCode): NsmResponse {
  return { kind: "Error", code };
}
