/**
 * How many calls a second `/dev/nsm` answers, one after the other, through our client and device.
 *
 * @module
 */
import { openNsmDevice } from "../../enclave/nsm/device.ts";
import { toHex } from "../../shared/bytes.ts";
import { encodeNsmRequest } from "../../shared/nsm/messages.ts";

export interface NsmFigures {
  readonly attestPerSecond: number;
  readonly describePcrPerSecond: number;
}

const NONCE = new Uint8Array(32).fill(7);
const WARM_CALLS = 20;

/** The same two requests, for the C program. */
export function requestsInHex(): readonly [string, string] {
  const attestation = { kind: "Attestation", userData: null, nonce: NONCE, publicKey: null } as const;
  return [toHex(encodeNsmRequest(attestation)), toHex(encodeNsmRequest({ kind: "DescribePCR", index: 0 }))];
}

export async function measureNsm(calls: number): Promise<NsmFigures> {
  await using nsm = await openNsmDevice();
  const perSecond = async (call: () => Promise<unknown>): Promise<number> => {
    for (let i = 0; i < WARM_CALLS; i++) await call();
    const began = process.hrtime.bigint();
    for (let i = 0; i < calls; i++) await call();
    return calls / (Number(process.hrtime.bigint() - began) / 1e9);
  };
  return {
    attestPerSecond: await perSecond(() => nsm.attest({ nonce: NONCE })),
    describePcrPerSecond: await perSecond(() => nsm.describePcr(0)),
  };
}
