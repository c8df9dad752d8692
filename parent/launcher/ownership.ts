/**
 * Which enclave is ours: found again, taken, written down, ended.
 *
 * One that an earlier process left is adopted if all of this is so: its id is the one that was written down, it runs,
 * it measures what the image file measures now, and it has the mode and the context id that are asked for. Otherwise it
 * is ours all the same, and is terminated.
 *
 * @module
 */
import { isLauncherError } from "../../shared/errors/launcher.ts";
import type { EnclaveDescription, Launcher, LaunchOptions } from "../../shared/launcher.ts";
import { codeOf } from "../observability/observe.ts";
import type { Clock } from "./clock.ts";
import type { LetGo } from "./hold.ts";
import type { EnclaveRecord } from "./record.ts";
import type { SupervisorEvent } from "./supervision.ts";

export interface OwnershipOptions {
  readonly launcher: Launcher;
  readonly record: EnclaveRecord | undefined;
  readonly clock: Clock;
  readonly log: (event: SupervisorEvent) => void;
}

const TERMINATE_ATTEMPTS = 3;
const TERMINATE_RETRY_MS = 500;

export class Ownership {
  readonly #options: OwnershipOptions;
  #enclaveId: string | undefined;
  #isDecided = false;
  #letGo: LetGo | undefined;

  constructor(options: OwnershipOptions) {
    this.#options = options;
  }

  /** From here until `letGo` nobody else works by the record. @throws {LauncherError} somebody does */
  async hold(): Promise<void> {
    this.#letGo ??= await this.#options.record?.hold();
  }

  /** Not while an enclave is ours that others could take for theirs. */
  async letGo(): Promise<void> {
    if (this.#enclaveId !== undefined) return;
    const letGo = this.#letGo;
    this.#letGo = undefined;
    await this.#noted(letGo?.());
  }

  /**
   * The enclave that was written down, if it is what is to run; asked until there is an answer, then never again: what
   * is found later are our own remains. One that is something else is left for `end`.
   */
  async adopt(launch: LaunchOptions): Promise<EnclaveDescription | undefined> {
    const { launcher, record } = this.#options;
    if (this.#isDecided) return undefined;
    this.#enclaveId ??= await record?.read();
    const enclave = this.#enclaveId === undefined ? undefined : await find(launcher, this.#enclaveId);
    this.#isDecided = true;
    return enclave && isSame(enclave, launch) ? enclave : undefined;
  }

  async take({ enclaveId }: EnclaveDescription): Promise<void> {
    this.#enclaveId = enclaveId;
    await this.#noted(this.#options.record?.write(enclaveId), { enclaveId });
  }

  /** It goes on, and is not ours any more in this process. */
  forget(): void {
    this.#enclaveId = undefined;
    this.#isDecided = false;
  }

  /** Terminates what is ours, if anything. @throws {LauncherError} the launcher could not, in three attempts */
  async end(): Promise<void> {
    const { launcher, clock, log } = this.#options;
    const enclaveId = this.#enclaveId;
    if (enclaveId === undefined) return;
    for (let attempt = 1; ; attempt++) {
      try {
        await launcher.terminate(enclaveId);
        break;
      } catch (error) {
        if (isUnknown(error)) break;
        log({ event: "not-terminated", enclaveId, code: codeOf(error) });
        if (attempt === TERMINATE_ATTEMPTS) throw error;
      }
      await new Promise<void>((resolve) => void clock.after(TERMINATE_RETRY_MS, resolve));
    }
    this.#enclaveId = undefined;
    await this.#noted(this.#options.record?.write(undefined));
  }

  /** An enclave that serves is not given up because a disk is full. */
  async #noted(writing: Promise<void> | undefined, facts: { readonly enclaveId?: string } = {}): Promise<void> {
    try {
      await writing;
    } catch (error) {
      this.#options.log({ event: "unrecorded", code: codeOf(error), ...facts });
    }
  }
}

async function find(launcher: Launcher, enclaveId: string): Promise<EnclaveDescription | undefined> {
  try {
    return await launcher.describe(enclaveId);
  } catch (error) {
    if (isUnknown(error)) return undefined;
    throw error;
  }
}

function isSame(enclave: EnclaveDescription, { image, cid, debug }: LaunchOptions): boolean {
  if (enclave.state !== "running" || enclave.debug !== debug) return false;
  if (cid !== undefined && enclave.cid !== cid) return false;
  // A platform that does not tell what it measured has no enclave that could be compared.
  return Object.entries(image.pcrs).every(([index, value]) => enclave.pcrs[index] === value);
}

function isUnknown(error: unknown): boolean {
  return isLauncherError(error) && error.code === "ERR_LAUNCHER_ENCLAVE_UNKNOWN";
}
