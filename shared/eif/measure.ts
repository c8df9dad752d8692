/**
 * Computes the PCRs that the Nitro hypervisor will attest for an image.
 *
 *   PCR0  the whole image        kernel ‖ cmdline ‖ every ramdisk
 *   PCR1  kernel and bootstrap   kernel ‖ cmdline ‖ first ramdisk
 *   PCR2  the application        the other ramdisks (of none at all: 21b9efbc…, a constant that pins nothing)
 *
 * Each is SHA-384(0^48 ‖ SHA-384(content)). Lengths and types are not hashed: equal PCRs do not mean equal files.
 *
 * Source: aws-nitro-enclaves-image-format, `src/defs/eif_hasher.rs`.
 *
 * @module
 */
import { concat } from "../bytes.ts";
import { extendPcr, zeroPcr } from "../nsm/pcr.ts";
import type { Eif } from "./layout.ts";

/** 48 bytes each. */
export interface EifMeasurements {
  readonly pcr0: Uint8Array;
  readonly pcr1: Uint8Array;
  readonly pcr2: Uint8Array;
  /** Of the signing certificate; absent where the image is not signed. */
  readonly pcr8?: Uint8Array;
}

export async function measureEif(eif: Pick<Eif, "kernel" | "cmdline" | "ramdisks">): Promise<EifMeasurements> {
  const [first, ...rest] = eif.ramdisks;
  if (!first) throw new RangeError("an image has a ramdisk at least");
  const [pcr0, pcr1, pcr2] = await Promise.all([
    measure(eif.kernel, eif.cmdline, first, ...rest),
    measure(eif.kernel, eif.cmdline, first),
    measure(...rest),
  ]);
  return { pcr0, pcr1, pcr2 };
}

async function measure(...parts: readonly Uint8Array[]): Promise<Uint8Array> {
  const content = new Uint8Array(await crypto.subtle.digest("SHA-384", concat(...parts)));
  return extendPcr(zeroPcr(), content);
}
