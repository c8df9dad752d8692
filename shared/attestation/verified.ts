/**
 * Knows which objects `verifyAttestation` made: types vanish at run time, and plain JavaScript calls this too.
 *
 * @module
 */
import type { AuthenticAttestation, VerifiedAttestation } from "./document.ts";

const made = new WeakSet<object>();

/** Turns appraised claims into a `VerifiedAttestation`. For `verifyAttestation` alone; not exported from the package. */
export function markVerified(claims: AuthenticAttestation & { readonly debug: boolean }): VerifiedAttestation {
  const attestation = Object.freeze({ ...claims, pcrs: readOnly(claims.pcrs) });
  made.add(attestation);
  return attestation as unknown as VerifiedAttestation; // the only cast to this type
}

/** Whether `value` came from `verifyAttestation`; a copy did not. */
export function isVerifiedAttestation(value: unknown): value is VerifiedAttestation {
  return typeof value === "object" && value !== null && made.has(value);
}

/**
 * A copy that refuses the usual ways of change: types say `ReadonlyMap`, plain JavaScript needs to be told. It guards
 * against mistakes; code that holds the object and means harm can still reach into it.
 */
function readOnly<Key, Value>(map: ReadonlyMap<Key, Value>): ReadonlyMap<Key, Value> {
  const refuse = (): never => {
    throw new TypeError("the registers of a verified attestation do not change");
  };
  return Object.freeze(Object.assign(new Map(map), { set: refuse, delete: refuse, clear: refuse }));
}
