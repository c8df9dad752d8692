/**
 * How a platform configuration register takes in data: new = SHA-384(old ‖ data).
 *
 * @module
 */
import { concat } from "../bytes.ts";
import { PCR_BYTES } from "./device.ts";

/** The value of a register that nothing was measured into. */
export function zeroPcr(): Uint8Array {
  return new Uint8Array(PCR_BYTES);
}

export async function extendPcr(value: Uint8Array, data: Uint8Array): Promise<Uint8Array> {
  if (value.length !== PCR_BYTES) throw new RangeError(`a PCR has ${PCR_BYTES} bytes, not ${value.length}`);
  return new Uint8Array(await crypto.subtle.digest("SHA-384", concat(value, data)));
}
