/**
 * The 32 registers of a software NSM: 0 to 15 are set and locked before the enclave starts, 16 to 31 are the enclave's.
 *
 * In debug mode PCR0, PCR1 and PCR2 are zero, PCR3 and PCR4 are not, as on Nitro.
 *
 * @module
 */
import { utf8 } from "../../shared/bytes.ts";
import type { EifMeasurements } from "../../shared/eif/measure.ts";
import type { NsmErrorCode } from "../../shared/nsm/messages.ts";
import { extendPcr, zeroPcr } from "../../shared/nsm/pcr.ts";

export const PCR_COUNT = 32;
const PLATFORM_PCRS = 16;

export interface BootMeasurements {
  readonly measurements: EifMeasurements;
  readonly parentRoleArn: string;
  readonly instanceId: string;
  readonly debug: boolean;
}

/** What a register operation gives, or the device's reason for refusing it. */
export type RegisterResult<T> = T | NsmErrorCode;

export interface Register {
  readonly value: Uint8Array;
  readonly locked: boolean;
}

export class Registers {
  readonly #values: Uint8Array[];
  readonly #locked: boolean[] = Array.from({ length: PCR_COUNT }, (_, index) => index < PLATFORM_PCRS);

  private constructor(platform: readonly Uint8Array[]) {
    this.#values = Array.from({ length: PCR_COUNT }, (_, index) => platform[index] ?? zeroPcr());
  }

  static async boot({ measurements, parentRoleArn, instanceId, debug }: BootMeasurements): Promise<Registers> {
    const { pcr0, pcr1, pcr2 } = measurements;
    return new Registers([
      ...(debug ? [zeroPcr(), zeroPcr(), zeroPcr()] : [pcr0, pcr1, pcr2]),
      await extendPcr(zeroPcr(), utf8(parentRoleArn)),
      await extendPcr(zeroPcr(), utf8(instanceId)),
    ]);
  }

  describe(index: number): RegisterResult<Register> {
    const value = this.#values[index];
    return value ? { value, locked: this.#locked[index] ?? true } : "InvalidIndex";
  }

  /** Not to be called again before it has answered. */
  async extend(index: number, data: Uint8Array): Promise<RegisterResult<Uint8Array>> {
    const register = this.describe(index);
    if (typeof register === "string") return register;
    if (register.locked) return "ReadOnlyIndex";
    const value = await extendPcr(register.value, data);
    this.#values[index] = value;
    return value;
  }

  lock(index: number): RegisterResult<undefined> {
    const register = this.describe(index);
    if (typeof register === "string") return register;
    if (register.locked) return "ReadOnlyIndex";
    this.#locked[index] = true;
    return undefined;
  }

  lockBelow(range: number): RegisterResult<undefined> {
    if (range > PCR_COUNT) return "InvalidIndex";
    for (let index = 0; index < range; index++) this.#locked[index] = true;
    return undefined;
  }

  /** The registers that a document shows, in order. */
  locked(): ReadonlyMap<number, Uint8Array> {
    return new Map([...this.#values.entries()].filter(([index]) => this.#locked[index]));
  }
}
