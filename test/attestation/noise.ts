import fc from "fast-check";
import { type AttestationPolicy, verifyAttestation } from "../../shared/attestation/index.ts";
import { parse } from "../../shared/attestation/parse.ts";
import { isAttestationError } from "../../shared/errors/index.ts";
import { policyFor } from "./row.ts";
import { makeDocument } from "./test-pki.ts";

/** Runs of a property; tenfold under SLOW=1. */
export const RUNS = process.env["SLOW"] ? 3_000 : 300;

export const change = (length: number) => fc.tuple(fc.nat(length - 1), fc.integer({ min: 1, max: 255 }));
export const changed = (bytes: Uint8Array, [at, flip]: [number, number]) => bytes.with(at, (bytes[at] ?? 0) ^ flip);

/** A refusal by design is `false`; anything else that is thrown is a finding. */
export async function isAccepted(document: Uint8Array, policy: AttestationPolicy, options: object): Promise<boolean> {
  try {
    await verifyAttestation(document, policy, options);
    return true;
  } catch (error) {
    if (!isAttestationError(error)) throw error;
    return false;
  }
}

export const { document: made, root: madeRoot } = await makeDocument();
export const madePolicy: AttestationPolicy = { ...policyFor(madeRoot), nonce: "unchecked", maxAgeMs: "unchecked" };

export const noise = fc.oneof(
  fc.uint8Array({ maxLength: 200 }),
  fc.tuple(fc.nat(made.length), fc.uint8Array({ maxLength: 30 })).map(([at, bytes]) => {
    const mixed = Uint8Array.from(made);
    mixed.set(bytes.subarray(0, mixed.length - at), at);
    return mixed;
  }),
);

export function tryParse(input: Uint8Array) {
  try {
    return parse(input);
  } catch (error) {
    if (!isAttestationError(error)) throw error;
    return undefined;
  }
}
