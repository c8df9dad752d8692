/** What the supervisor's tests share: a launcher in memory, a clock that is turned by hand, a supervisor over both. */
import { afterEach } from "vitest";
import { inspectEifFile } from "../../../image/file.ts";
import type { Clock } from "../../../parent/launcher/clock.ts";
import type { EnclaveRecord } from "../../../parent/launcher/record.ts";
import type { Supervisor, SupervisorEvent, SupervisorOptions } from "../../../parent/launcher/supervision.ts";
import { createSupervisor } from "../../../parent/launcher/supervisor.ts";
import type { ExpectedImage } from "../../../shared/eif/expected.ts";
import type { EifInspection } from "../../../shared/eif/inspect.ts";
import { EifError } from "../../../shared/errors/eif.ts";
import { LauncherError } from "../../../shared/errors/launcher.ts";
import {
  checkLaunch,
  type EnclaveDescription,
  type Launcher,
  type LaunchOptions,
  unknownEnclave,
} from "../../../shared/launcher.ts";
import { mockImage, plainImage, scratch } from "../../launcher/fixture.ts";

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

export const turns = async (count = 30): Promise<void> => {
  for (let i = 0; i < count; i++) await new Promise(setImmediate);
};

/** Stands still until it is turned; what waits runs at its time, and what that leads to runs before time goes on. */
export class ManualClock implements Clock {
  #now = 0;
  readonly #waiting = new Set<{ readonly at: number; readonly run: () => void }>();

  get pending(): number {
    return this.#waiting.size;
  }

  monotonicMs(): number {
    return this.#now;
  }

  after(ms: number, run: () => void): () => void {
    const entry = { at: this.#now + ms, run };
    this.#waiting.add(entry);
    return () => void this.#waiting.delete(entry);
  }

  async advance(ms: number): Promise<void> {
    const until = this.#now + ms;
    await turns();
    for (;;) {
      const [next] = [...this.#waiting].filter(({ at }) => at <= until).sort((a, b) => a.at - b.at);
      if (!next) break;
      this.#waiting.delete(next);
      this.#now = next.at;
      next.run();
      await turns();
    }
    this.#now = until;
  }
}

/** Enclaves as data. What the next calls of a method throw is put into `faults`. */
export class MemoryLauncher implements Launcher {
  readonly platform = "mock";
  readonly calls: string[] = [];
  readonly launches: LaunchOptions[] = [];
  readonly enclaves: EnclaveDescription[] = [];
  readonly faults: { run: unknown[]; describe: unknown[]; terminate: unknown[] } = {
    run: [],
    describe: [],
    terminate: [],
  };
  /** Makes `run` wait, as a boot does. */
  holdRun: Promise<void> | undefined;
  /** How many ran at the same time at most. */
  most = 0;
  #count = 0;

  /** An enclave that nobody here started. */
  add(changes: Partial<EnclaveDescription>): EnclaveDescription {
    const number = this.#count++;
    const enclave = { ...EXAMPLE, enclaveId: `i-0-enc${number}`, cid: 16 + number, ...changes };
    this.enclaves.push(enclave);
    this.most = Math.max(this.most, this.running.length);
    return enclave;
  }

  /** As a crash does. */
  exit(enclaveId: string): void {
    this.#change(enclaveId, (enclave) => ({ ...enclave, state: "exited" }));
  }

  /** As a host does that forgets it. */
  vanish(enclaveId: string): void {
    this.#change(enclaveId, () => undefined);
  }

  get running(): readonly EnclaveDescription[] {
    return this.enclaves.filter(({ state }) => state === "running");
  }

  async run(options: LaunchOptions): Promise<EnclaveDescription> {
    this.calls.push("run");
    const { image, cid, cpuCount, memoryMiB, debug, signal } = checkLaunch("mock", options);
    this.launches.push(options);
    this.#fail("run");
    if (this.holdRun !== undefined) {
      const calledOff = new Promise((_, reject) =>
        signal?.addEventListener("abort", () => reject(signal.reason), { once: true }),
      );
      await Promise.race([this.holdRun, calledOff]);
    }
    return this.add({ pcrs: image.pcrs, ...(cid !== undefined && { cid }), cpuCount, memoryMiB, debug });
  }

  async list(): Promise<readonly EnclaveDescription[]> {
    return this.enclaves;
  }

  async describe(enclaveId: string): Promise<EnclaveDescription> {
    this.calls.push("describe");
    this.#fail("describe");
    const found = this.enclaves.find((enclave) => enclave.enclaveId === enclaveId);
    if (!found) throw unknownEnclave(enclaveId);
    return found;
  }

  async *console(): AsyncGenerator<Uint8Array, void> {}

  async terminate(enclaveId: string): Promise<void> {
    this.calls.push(`terminate ${enclaveId}`);
    this.#fail("terminate");
    this.#change(enclaveId, () => undefined);
  }

  #fail(method: keyof MemoryLauncher["faults"]): void {
    const fault = this.faults[method].shift();
    if (fault !== undefined) throw fault;
  }

  #change(enclaveId: string, change: (enclave: EnclaveDescription) => EnclaveDescription | undefined): void {
    const index = this.enclaves.findIndex((enclave) => enclave.enclaveId === enclaveId);
    const enclave = this.enclaves[index];
    if (!enclave) throw unknownEnclave(enclaveId);
    const changed = change(enclave);
    this.enclaves.splice(index, 1, ...(changed ? [changed] : []));
  }
}

const EXAMPLE: EnclaveDescription = {
  ...{ enclaveId: "i-0-enc0", platform: "mock", trust: "mock", attestationRoot: null, state: "running", cid: 16 },
  ...{ cpuCount: 2, memoryMiB: 64, debug: false, pcrs: {}, processIds: [1], startedAt: null, bootRetries: 0 },
  peer: { kind: "unix", folder: "/nonexistent" },
};

export const toolFailed = (): LauncherError =>
  new LauncherError("ERR_LAUNCHER_TOOL_FAILED", { tool: "a stand-in", reason: "E26" });

/** What the strict reader found in three images: two for mock mode, one that names no platform. */
export async function images(): Promise<Readonly<Record<"app" | "other" | "plain", EifInspection>>> {
  const [app, other] = [await mockImage(await scratch()), await mockImage(await scratch(), "other();")];
  const plain = await plainImage(await scratch());
  return {
    app: await inspectEifFile(app.eifPath),
    other: await inspectEifFile(other.eifPath),
    plain: await inspectEifFile(plain.eifPath),
  };
}

export const expecting = ({ measurements }: EifInspection): ExpectedImage => ({ measurements });

export interface Kept {
  readonly supervisor: Supervisor;
  readonly launcher: MemoryLauncher;
  readonly clock: ManualClock;
  readonly events: SupervisorEvent[];
  /** Hooks and what they were told, in order: `started 16`, `up 16`, `down 16 ERR_…`. */
  readonly told: string[];
  readonly names: () => readonly string[];
  /** The image file, which a test may replace or take away. */
  readonly disk: { file: EifInspection | undefined };
}

export const LAUNCH = { eifPath: "app.eif", cpuCount: 2, debug: false } as const;

/** A supervisor whose waits are as long as they may be. */
export function keep(file: EifInspection, changes: Partial<SupervisorOptions> = {}): Kept {
  const disk: Kept["disk"] = { file };
  const launcher = (changes.launcher as MemoryLauncher | undefined) ?? new MemoryLauncher();
  const clock = new ManualClock();
  const events: SupervisorEvent[] = [];
  const told: string[] = [];
  const supervisor = createSupervisor({
    launcher,
    launch: LAUNCH,
    async inspect(path) {
      if (!disk.file) throw new EifError("ERR_EIF_FILE", { path, reason: "ENOENT" });
      return disk.file;
    },
    expected: "unchecked",
    backoff: { baseMs: 1_000, maxMs: 8_000, stableMs: 60_000, maxFailures: 5 },
    onStarted: ({ cid }) => void told.push(`started ${cid}`),
    onUp: ({ cid }) => void told.push(`up ${cid}`),
    onDown: ({ cid }, reason) => void told.push(`down ${cid} ${reason}`),
    log: (event) => void events.push(event),
    clock,
    random: () => 1 - Number.EPSILON,
    ...changes,
  });
  cleanups.push(async () => {
    const stopped = supervisor.stop().catch(() => undefined);
    await clock.advance(10_000);
    await stopped;
  });
  return { supervisor, launcher, clock, events, told, names: () => events.map(({ event }) => event), disk };
}

/** A record that any number may hold at once, and that counts them. */
export function memoryRecord(enclaveId?: string): EnclaveRecord & { value: string | undefined; holders: number } {
  return {
    value: enclaveId,
    holders: 0,
    async hold() {
      this.holders++;
      return async () => void this.holders--;
    },
    async read() {
      return this.value;
    },
    async write(next) {
      this.value = next;
    },
  };
}
