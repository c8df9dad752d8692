/**
 * Mock mode inside its keeper: a mock hypervisor whose root lasts as long as the keeper, and one for each root that
 * launchers bring.
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
import type { Json } from "../../shared/transport/json.ts";
import { MockHypervisor } from "../nsm/hypervisor.ts";
import { rootFromJson } from "../nsm/root-file.ts";
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

type Kept = Omit<EnclaveDescription, "state"> & {
  readonly process: ProcessIdentity | undefined;
  readonly hypervisor: MockHypervisor;
};

export class MockBackend implements Backend {
  /** By the root's certificate; the keeper's own has none. */
  readonly #hypervisors = new Map<string, Promise<MockHypervisor>>();
  readonly #vsock: string;
  readonly #record: RecordProcesses;
  readonly #kept = new Map<string, Kept>();
  readonly #cids = new Set<number>();

  private constructor(vsock: string, record: RecordProcesses) {
    this.#vsock = vsock;
    this.#record = record;
  }

  static async start(folder: string, record: RecordProcesses): Promise<MockBackend> {
    const vsock = join(folder, STATE_FILES.vsock);
    await mkdir(vsock, { recursive: true, mode: 0o700 });
    return new MockBackend(vsock, record);
  }

  #hypervisorOf(extra: Json): Promise<MockHypervisor> {
    const { root: json } = (extra ?? {}) as { readonly root?: Json };
    const root = json === undefined ? undefined : rootFromJson(json);
    const name = root ? Buffer.from(root.certificate).toString("base64") : "";
    const known = this.#hypervisors.get(name);
    if (known) return known;
    const starting = MockHypervisor.start({
      ...{ ...MOCK_INSTANCE, vsock: this.#vsock, root },
      now: () => new Date(),
      randomBytes: (length) => new Uint8Array(randomBytes(length)),
    });
    starting.catch(() => this.#hypervisors.delete(name));
    this.#hypervisors.set(name, starting);
    return starting;
  }

  async run(request: RunRequest): Promise<EnclaveDescription> {
    const { eifPath, image, cid, cpuCount, memoryMiB, debug } = request;
    if (this.#cids.has(cid)) throw new LauncherError("ERR_LAUNCHER_CID_TAKEN", { cid });
    this.#cids.add(cid);
    try {
      const hypervisor = await this.#hypervisorOf(request.extra);
      const { enclaveId, pcrs } = await hypervisor.run({ eifPath, cid, debug });
      const folder = join(this.#vsock, String(cid));
      const pid = await childWorkingAt(folder);
      this.#kept.set(enclaveId, {
        ...{ enclaveId, platform: "mock", trust: "mock", cid, cpuCount, memoryMiB, debug, pcrs: image.pcrs },
        processIds: pid === undefined ? [] : [pid],
        attestationRoot: Buffer.from(hypervisor.rootCertificate).toString("base64"),
        startedAt: new Date().toISOString(),
        peer: { kind: "unix", folder },
        bootRetries: 0,
        process: pid === undefined ? undefined : await identify(pid),
        hypervisor,
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
    const { debug, hypervisor } = this.#find(enclaveId);
    if (!debug) throw new LauncherError("ERR_LAUNCHER_NO_CONSOLE", { enclaveId });
    const all = new Uint8Array(Buffer.from(hypervisor.console(enclaveId)));
    // The hypervisor keeps the last 64 KiB and does not say what went before: what it has now is all there is to read.
    return { bytes: all.subarray(offset), next: all.length, ended: true };
  }

  async terminate(enclaveId: string): Promise<void> {
    const { cid, hypervisor } = this.#find(enclaveId);
    this.#kept.delete(enclaveId);
    await hypervisor.terminate(enclaveId);
    this.#cids.delete(cid);
    this.#write();
  }

  async close(): Promise<void> {
    for (const starting of this.#hypervisors.values()) await (await starting)[Symbol.asyncDispose]();
  }

  #describe(enclaveId: string): EnclaveDescription {
    const { process: _, hypervisor, ...description } = this.#find(enclaveId);
    const state = hypervisor.list().find((status) => status.enclaveId === enclaveId)?.state ?? "terminating";
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
