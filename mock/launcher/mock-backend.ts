/**
 * Mock mode inside its keeper: one mock hypervisor, whose root lasts as long as the keeper.
 *
 * The hypervisor measures the image file itself; what the launcher read from it must agree.
 *
 * @module
 */
import { randomBytes } from "node:crypto";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { LauncherError } from "../../shared/errors/launcher.ts";
import { checkMeasured, type EnclaveDescription, unknownEnclave } from "../../shared/launcher.ts";
import { MockHypervisor } from "../nsm/hypervisor.ts";
import { childWorkingAt } from "./children.ts";
import type { Backend, ConsolePart, RecordProcesses, RunRequest } from "./keeper.ts";
import { identify, type ProcessIdentity } from "./process-identity.ts";
import { STATE_FILES } from "./state-files.ts";

/** What the parent instance of mock mode is called. PCR3 measures the role, PCR4 the instance. */
export const MOCK_INSTANCE = {
  instanceId: "i-0123456789abcdef0",
  region: "us-east-1",
  parentRoleArn: "arn:aws:iam::123456789012:role/parent",
} as const;

type Kept = Omit<EnclaveDescription, "state"> & { readonly process: ProcessIdentity | undefined };

export class MockBackend implements Backend {
  readonly #hypervisor: MockHypervisor;
  readonly #vsock: string;
  readonly #record: RecordProcesses;
  readonly #kept = new Map<string, Kept>();
  readonly #cids = new Set<number>();

  private constructor(hypervisor: MockHypervisor, vsock: string, record: RecordProcesses) {
    this.#hypervisor = hypervisor;
    this.#vsock = vsock;
    this.#record = record;
  }

  static async start(folder: string, record: RecordProcesses): Promise<MockBackend> {
    const vsock = join(folder, STATE_FILES.vsock);
    await mkdir(vsock, { recursive: true, mode: 0o700 });
    const hypervisor = await MockHypervisor.start({
      ...MOCK_INSTANCE,
      vsock,
      now: () => new Date(),
      randomBytes: (length) => new Uint8Array(randomBytes(length)),
    });
    return new MockBackend(hypervisor, vsock, record);
  }

  async run(request: RunRequest): Promise<EnclaveDescription> {
    const { eifPath, image, cid, cpuCount, memoryMiB, debug } = request;
    if (this.#cids.has(cid)) throw new LauncherError("ERR_LAUNCHER_CID_TAKEN", { cid });
    this.#cids.add(cid);
    try {
      const { enclaveId, pcrs } = await this.#hypervisor.run({ eifPath, cid, debug });
      const folder = join(this.#vsock, String(cid));
      const pid = await childWorkingAt(folder);
      this.#kept.set(enclaveId, {
        ...{ enclaveId, platform: "mock", trust: "mock", cid, cpuCount, memoryMiB, debug, pcrs: image.pcrs },
        processIds: pid === undefined ? [] : [pid],
        attestationRoot: Buffer.from(this.#hypervisor.rootCertificate).toString("base64"),
        startedAt: new Date().toISOString(),
        peer: { kind: "unix", folder },
        bootRetries: 0,
        process: pid === undefined ? undefined : await identify(pid),
      });
      this.#write();
      try {
        // In debug mode the registers are zero, as on Nitro.
        if (!debug) checkMeasured(image.pcrs, pcrs);
      } catch (error) {
        await this.terminate(enclaveId);
        throw error;
      }
      return this.#describe(enclaveId);
    } catch (error) {
      this.#cids.delete(cid);
      throw error;
    }
  }

  list(): readonly EnclaveDescription[] {
    return [...this.#kept.keys()].map((enclaveId) => this.#describe(enclaveId));
  }

  async readConsole(enclaveId: string, offset: number): Promise<ConsolePart> {
    const { debug } = this.#find(enclaveId);
    if (!debug) throw new LauncherError("ERR_LAUNCHER_NO_CONSOLE", { enclaveId });
    const all = new Uint8Array(Buffer.from(this.#hypervisor.console(enclaveId)));
    // The hypervisor keeps the last 64 KiB and does not say what went before: what it has now is all there is to read.
    return { bytes: all.subarray(offset), next: all.length, ended: true };
  }

  async terminate(enclaveId: string): Promise<void> {
    const { cid } = this.#find(enclaveId);
    this.#kept.delete(enclaveId);
    await this.#hypervisor.terminate(enclaveId);
    this.#cids.delete(cid);
    this.#write();
  }

  async close(): Promise<void> {
    await this.#hypervisor[Symbol.asyncDispose]();
  }

  #describe(enclaveId: string): EnclaveDescription {
    const { process: _, ...description } = this.#find(enclaveId);
    const state = this.#hypervisor.list().find((status) => status.enclaveId === enclaveId)?.state ?? "terminating";
    return { ...description, state };
  }

  #find(enclaveId: string): Kept {
    const kept = this.#kept.get(enclaveId);
    if (!kept) throw unknownEnclave(enclaveId);
    return kept;
  }

  #write(): void {
    this.#record([...this.#kept.values()].flatMap(({ process }) => (process ? [process] : [])));
  }
}
