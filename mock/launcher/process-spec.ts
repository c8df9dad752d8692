/**
 * The processes of an emulated enclave, as data: they cross from a command to the process that keeps them.
 *
 * @module
 */

import type { Peer } from "../../shared/transport/address.ts";
import type { Json } from "../../shared/transport/json.ts";

export interface ProcessSpec {
  readonly name: string;
  readonly file: string;
  readonly args: readonly string[];
  /** What must be seen, one after the other, before the next process is started. Default: nothing. */
  readonly ready?: readonly ReadyCondition[];
}

export type ReadyCondition =
  | { readonly kind: "file"; readonly path: string; readonly withinMs: number }
  | { readonly kind: "console"; readonly text: string; readonly withinMs: number };

export interface EmulatedGuests {
  /** In the order in which they are started; they end in the opposite one. */
  readonly processes: readonly ProcessSpec[];
  /** The name of the process that is the enclave: with it the enclave has ended, and what it prints is its console. */
  readonly enclave: string;
  readonly peer: Peer;
  /** DER in base64: the root of the enclave's documents. */
  readonly attestationRoot: string;
}

/** How long a boot may take to its first kernel line, in milliseconds: some 2 of 45 hang in the firmware for ever. */
export const FIRST_LINE_MS = 20_000;

/** Reads what came from another process. @throws {TypeError} it is something else */
export function readGuests(value: Json): EmulatedGuests & { readonly enclaveId: string; readonly folder: string } {
  const { processes, enclave, peer, attestationRoot, enclaveId, folder } = (value ?? {}) as Record<string, unknown>;
  const texts = { enclave, attestationRoot, enclaveId, folder };
  if (!Object.values(texts).every((text) => typeof text === "string")) {
    throw new TypeError("guests have an enclave id, a folder, a root and the name of the enclave's process");
  }
  if (!Array.isArray(processes) || !processes.some((spec: ProcessSpec) => spec.name === enclave)) {
    throw new TypeError("the enclave is one of the processes");
  }
  return {
    ...(texts as Record<keyof typeof texts, string>),
    processes: processes as ProcessSpec[],
    peer: peer as Peer,
  };
}
