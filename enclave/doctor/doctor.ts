/**
 * Examines the enclave from inside, at its start and every five minutes, and says by name what is not sound.
 *
 *   machine    kernel, what feeds its random numbers              where the image boots one of its own
 *   entropy    NSM's bytes
 *   identity   its own document verifies under the image's roots; it is not in debug mode
 *   clock      how far it is from NSM's signed time
 *   roots      there, and in force by that time
 *
 * At the start a finding is thrown and the enclave does not come up. Later it is kept: until an examination finds all
 * well again, whatever needs a sound enclave (`assertSound`) fails with it. A clock that is a little off is corrected in
 * `now()`; one that is further off is a finding. Certificates are judged by the system's clock, which this can not set.
 *
 * @module
 */
import type { TrustAnchor } from "../../shared/attestation/index.ts";
import { EnclaveError } from "../../shared/errors/index.ts";
import type { NsmDevice } from "../../shared/nsm/device.ts";
import { examineEntropy } from "./entropy.ts";
import { examineMachine, type Machine } from "./machine.ts";
import { readOwnDocument } from "./own-document.ts";
import { examineRoots } from "./roots.ts";

export interface DoctorOptions {
  readonly nsm: Pick<NsmDevice, "attest" | "getRandom">;
  readonly attestationRoots: readonly TrustAnchor[];
  readonly tlsRoots: readonly string[];
  /** Where `/proc` and `/sys` of this enclave's own kernel are; left out where it has none. */
  readonly systemRoot?: string | undefined;
  /** Comes up although the parent can read the enclave's memory. */
  readonly dangerouslyAllowDebug?: true | undefined;
  /** The most that the clock may be off, in milliseconds. Default 300 000: AWS takes no requests beyond that. */
  readonly driftMaxMs?: number | undefined;
  /** This system's clock. Default: `new Date()`. */
  readonly now?: (() => Date) | undefined;
}

/** What an examination that found nothing wrong says. */
export interface Health {
  readonly moduleId: string;
  readonly debug: boolean;
  /** How far the system's clock is behind NSM's, in milliseconds. */
  readonly driftMs: number;
  readonly machine: Machine | undefined;
}

export interface Doctor {
  /** The system's clock, corrected by the last drift that was measured. */
  now(): Date;
  /** Throws what the last examination found. */
  assertSound(): void;
  /** Examines again; what it finds is kept, and thrown. */
  examine(): Promise<Health>;
  /** Examines so often until it is told to stop, and tells of each outcome that differs in code from the one before. */
  watch(options: WatchOptions): () => void;
}

export interface WatchOptions {
  /** Default 300 000. */
  readonly everyMs?: number;
  readonly onChange: (finding: unknown) => void;
}

const DRIFT_MAX_MS = 300_000;
const WATCH_MS = 300_000;

/**
 * Examines the enclave for the first time.
 *
 * @throws {EnclaveError} the first finding
 * @throws {NsmError} NSM does not answer
 */
export async function startDoctor(options: DoctorOptions): Promise<Doctor & { readonly health: Health }> {
  const doctor = new Examining(options);
  const health = await doctor.examine();
  return Object.assign(doctor, { health });
}

class Examining implements Doctor {
  readonly #options: DoctorOptions;
  readonly #now: () => Date;
  #driftMs = 0;
  #finding: { readonly error: unknown } | undefined;

  constructor(options: DoctorOptions) {
    this.#options = options;
    this.#now = options.now ?? (() => new Date());
  }

  now(): Date {
    return new Date(this.#now().getTime() + this.#driftMs);
  }

  assertSound(): void {
    if (this.#finding) throw this.#finding.error;
  }

  async examine(): Promise<Health> {
    try {
      const health = await this.#examine();
      this.#finding = undefined;
      return health;
    } catch (error) {
      this.#finding = { error };
      throw error;
    }
  }

  watch({ everyMs = WATCH_MS, onChange }: WatchOptions): () => void {
    const look = async (): Promise<void> => {
      const before = codeOf(this.#finding?.error);
      await this.examine().catch(() => {}); // kept as the finding
      const finding = this.#finding?.error;
      if (codeOf(finding) !== before) onChange(finding);
    };
    const timer = setInterval(() => void look(), everyMs);
    timer.unref();
    return () => clearInterval(timer);
  }

  async #examine(): Promise<Health> {
    const { nsm, attestationRoots, tlsRoots, systemRoot, dangerouslyAllowDebug } = this.#options;
    const { driftMaxMs = DRIFT_MAX_MS } = this.#options;
    const machine = systemRoot === undefined ? undefined : await examineMachine(systemRoot);
    await examineEntropy(nsm);
    const { moduleId, driftMs, zeroRegisters } = await readOwnDocument({ nsm, attestationRoots, now: this.#now });
    const [zero] = zeroRegisters;
    if (zero !== undefined && dangerouslyAllowDebug !== true) {
      throw new EnclaveError("ERR_ENCLAVE_DEBUG_MODE", { index: zero });
    }
    if (Math.abs(driftMs) > driftMaxMs) throw new EnclaveError("ERR_ENCLAVE_CLOCK", { driftMs, maximumMs: driftMaxMs });
    this.#driftMs = driftMs;
    examineRoots({ attestationRoots, tlsRoots }, this.now());
    return { moduleId, debug: zero !== undefined, driftMs, machine };
  }
}

function codeOf(finding: unknown): string | undefined {
  if (finding === undefined) return undefined;
  return finding instanceof Error && "code" in finding ? String(finding.code) : "unknown";
}
