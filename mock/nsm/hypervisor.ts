/**
 * The mock Nitro hypervisor: given only the path of an image, measures it and runs exactly what it measured.
 *
 *   1. read     the file, once, into memory
 *   2. measure  those bytes; no caller names a PCR
 *   3. unpack   from those bytes into a fresh folder, and start it there
 *   4. attest   an NSM of its own for each enclave, under this run's root
 *
 * Everything it emulates it refuses as Nitro does: no console without debug mode, zero PCR0 to PCR2 with it.
 *
 * @module
 */
import { toHex } from "../../shared/bytes.ts";
import { ConfigError } from "../../shared/errors/config.ts";
import { zeroPcr } from "../../shared/nsm/pcr.ts";
import { createSoftwareNsm } from "./device.ts";
import { RunningEnclave } from "./enclave.ts";
import { loadImage } from "./image.ts";
import { createPki, type MockPki, type PkiOptions } from "./pki.ts";

export interface HypervisorOptions extends PkiOptions {
  readonly parentRoleArn: string;
  /** The folder that stands for vsock: the sockets of context id N are in `<vsock>/N`. */
  readonly vsock: string;
}

export interface RunOptions {
  readonly eifPath: string;
  /** The enclave's context id, 4 or more. */
  readonly cid: number;
  /** Opens the console and zeroes PCR0, PCR1 and PCR2. Default false. */
  readonly debug?: boolean;
}

export interface StartedEnclave {
  /** As in its attestation documents: `i-<17 hex>-enc<16 hex>`. */
  readonly enclaveId: string;
  /** Hex, as its documents will say: all zero in debug mode. */
  readonly pcrs: Readonly<Record<0 | 1 | 2, string>>;
}

export interface EnclaveStatus {
  readonly enclaveId: string;
  readonly cid: number;
  readonly debug: boolean;
  readonly state: "running" | "exited";
  /** Of an enclave that has ended by itself; `null` otherwise. */
  readonly exitCode: number | null;
  /** The last lines it wrote, in debug mode only. */
  readonly lastLines: readonly string[];
}

const CID_MIN = 4;
const CID_MAX = 0xffff_fffe;
const LAST_LINES = 20;

export class MockHypervisor implements AsyncDisposable {
  readonly #options: HypervisorOptions;
  readonly #pki: MockPki;
  readonly #enclaves = new Map<string, RunningEnclave>();
  readonly #takenCids = new Set<number>();
  readonly #starting = new Set<Promise<unknown>>();

  private constructor(options: HypervisorOptions, pki: MockPki) {
    this.#options = options;
    this.#pki = pki;
  }

  static async start(options: HypervisorOptions): Promise<MockHypervisor> {
    matches("instanceId", options.instanceId, /^i-[0-9a-f]{17}$/, "i- and 17 hex digits");
    matches("region", options.region, /^[a-z]{2}(-[a-z]+)+-[0-9]$/, "an AWS region");
    const role = /^arn:aws[a-z-]*:iam::[0-9]{12}:role\/[\w+=,.@/-]+$/;
    matches("parentRoleArn", options.parentRoleArn, role, "the ARN of an IAM role");
    return new MockHypervisor(options, await createPki(options));
  }

  /** DER. */
  get rootCertificate(): Uint8Array {
    return this.#pki.rootCertificate;
  }

  /**
   * @throws {EifError} the image is refused
   * @throws {ConfigError} the context id is not free
   */
  async run({ eifPath, cid, debug = false }: RunOptions): Promise<StartedEnclave> {
    if (!Number.isInteger(cid) || cid < CID_MIN || cid > CID_MAX) throw invalid("cid", `${CID_MIN} to ${CID_MAX}`, cid);
    if (this.#takenCids.has(cid)) throw invalid("cid", "a context id that is free", cid);
    this.#takenCids.add(cid);
    const starting = this.#start(eifPath, cid, debug);
    this.#starting.add(starting);
    try {
      return await starting;
    } catch (error) {
      this.#takenCids.delete(cid);
      throw error;
    } finally {
      this.#starting.delete(starting);
    }
  }

  async #start(eifPath: string, cid: number, debug: boolean): Promise<StartedEnclave> {
    const { instanceId, parentRoleArn, vsock, now, randomBytes } = this.#options;
    const { measurements, files } = await loadImage(eifPath);
    const enclaveId = newModuleId(this.#options);
    const boot = { measurements, instanceId, parentRoleArn, debug };
    const nsm = await createSoftwareNsm({ ...boot, pki: this.#pki, moduleId: enclaveId, now, randomBytes });
    this.#enclaves.set(enclaveId, await RunningEnclave.start({ files, nsm: nsm.handle, cid, debug, vsock }));
    const { pcr0, pcr1, pcr2 } = debug ? { pcr0: zeroPcr(), pcr1: zeroPcr(), pcr2: zeroPcr() } : measurements;
    return { enclaveId, pcrs: { 0: toHex(pcr0), 1: toHex(pcr1), 2: toHex(pcr2) } };
  }

  list(): readonly EnclaveStatus[] {
    return [...this.#enclaves].map(([enclaveId, enclave]) => ({
      enclaveId,
      cid: enclave.cid,
      debug: enclave.debug,
      state: enclave.running ? "running" : "exited",
      exitCode: enclave.exitCode,
      lastLines: enclave.console.trimEnd().split("\n").slice(-LAST_LINES).filter(Boolean),
    }));
  }

  /**
   * What the enclave has written, at most the last 64 KiB.
   *
   * @throws {ConfigError} it does not run in debug mode: on Nitro it would have no console
   */
  console(enclaveId: string): string {
    const enclave = this.#find(enclaveId);
    if (!enclave.debug) throw invalid("debug", "true for an enclave with a console", false);
    return enclave.console;
  }

  /** Resolves when the enclave's process has ended. */
  async ended(enclaveId: string): Promise<void> {
    await this.#find(enclaveId).ended;
  }

  async terminate(enclaveId: string): Promise<void> {
    const enclave = this.#find(enclaveId);
    this.#enclaves.delete(enclaveId);
    await enclave[Symbol.asyncDispose]();
    this.#takenCids.delete(enclave.cid);
  }

  /** Kills every enclave without waiting. */
  kill(): void {
    for (const enclave of this.#enclaves.values()) enclave.kill();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.allSettled(this.#starting);
    await Promise.all([...this.#enclaves.keys()].map((enclaveId) => this.terminate(enclaveId)));
  }

  #find(enclaveId: string): RunningEnclave {
    const enclave = this.#enclaves.get(enclaveId);
    if (!enclave) throw invalid("enclaveId", "the id of an enclave that was started", enclaveId);
    return enclave;
  }
}

/** As AWS numbers enclaves: milliseconds since 1970 in 48 bits, then 16 random ones. */
export function newModuleId({ instanceId, now, randomBytes }: PkiOptions): string {
  const time = now().getTime().toString(16).padStart(12, "0").slice(-12);
  return `${instanceId}-enc${time}${toHex(randomBytes(2))}`;
}

function matches(field: string, value: unknown, form: RegExp, expected: string): void {
  if (typeof value !== "string" || !form.test(value)) throw invalid(field, expected, value);
}

function invalid(field: string, expected: string, value: unknown): ConfigError {
  const actual = typeof value === "string" ? `text of ${value.length} characters` : String(value);
  return new ConfigError("ERR_CONFIG_FIELD_INVALID", { field, expected, actual });
}
