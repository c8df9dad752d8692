/**
 * The enclave of `parent.yaml`: who runs it, where it finds its parent, what becomes of it at the end.
 *
 * @module
 */
import { mkdir, readdir, readlink, rm, symlink } from "node:fs/promises";
import { dirname, join } from "node:path";
import { inspectEifFile } from "../../image/file.ts";
import { STATE_FILES } from "../../mock/launcher/state-files.ts";
import { openStateFolder } from "../../mock/launcher/state-folder.ts";
import { readOwnFile } from "../../parent/config/file.ts";
import type { RunEnclave } from "../../parent/config/parent-config.ts";
import { whenConnectable } from "../../parent/launcher/readiness.ts";
import { createEnclaveRecord } from "../../parent/launcher/record.ts";
import type { Supervisor, SupervisorOptions } from "../../parent/launcher/supervision.ts";
import { createSupervisor } from "../../parent/launcher/supervisor.ts";
import { type ExpectedImage, expectedImageFromJson } from "../../shared/eif/expected.ts";
import { ConfigError, LauncherError } from "../../shared/errors/index.ts";
import type { Launcher } from "../../shared/launcher.ts";
import type { Transport } from "../../shared/transport/transport.ts";
import { createUnixTransport } from "../../transport/unix.ts";
import type { Terminal } from "../terminal.ts";
import { launcherFor, stateFolderOf } from "./enclave-launcher.ts";
import { readMockRoot } from "./mock-root.ts";

/** The context id of the parent. */
const PARENT_CID = "3";

export interface SupervisionSettings extends Pick<SupervisorOptions, "onUp" | "onDown" | "log"> {
  readonly transport: Transport;
  readonly tell: Terminal["tell"];
  readonly emulator?: string;
}

/** Keeps the enclave running once it is started. */
export async function superviseEnclave(enclave: RunEnclave, settings: SupervisionSettings): Promise<Supervisor> {
  const { platform, image, measurements, mockRoot, cpus, memoryMiB, cid, port, maxFailures } = enclave;
  const { transport, tell, emulator, ...hooks } = settings;
  const meet = platform === "emulated" && { meet: await emulatedMeetingPoint(cid) };
  const root = mockRoot === undefined ? undefined : await readMockRoot(mockRoot);
  const launcher = await launcherFor(platform, { tell, root, ...(emulator !== undefined && { emulator }), ...meet });
  if (measurements === undefined) tell(`no measurements: whatever lies at ${image} is started`);
  return createSupervisor({
    launcher: platform === "mock" ? findingItsParent(launcher, cid) : launcher,
    launch: { eifPath: image, cpuCount: cpus, cid, debug: false, ...(memoryMiB !== undefined && { memoryMiB }) },
    inspect: inspectEifFile,
    expected: measurements === undefined ? "unchecked" : await readExpected(measurements),
    record: createEnclaveRecord({ folder: stateFolderOf("parent"), name: `${platform}-cid-${cid}` }),
    ready: whenConnectable({ transport, port }),
    backoff: { maxFailures },
    ...hooks,
  });
}

async function readExpected(path: string): Promise<ExpectedImage> {
  return expectedImageFromJson(await readOwnJson(path));
}

/** What the parser says of a file that is no JSON would repeat what stands there. */
async function readOwnJson(path: string): Promise<unknown> {
  const text = await readOwnFile(path);
  try {
    return JSON.parse(text);
  } catch {
    throw new ConfigError("ERR_CONFIG_FILE", { path, reason: "not JSON" });
  }
}

/** Where the parent of a mock enclave listens, a socket a port: beside the launcher's state, which comes and goes. */
export async function openParentFolder(cid: number): Promise<string> {
  await openStateFolder(stateFolderOf("parent"));
  const folder = join(stateFolderOf("parent"), String(cid));
  await openStateFolder(folder);
  return folder;
}

/**
 * Where an emulated enclave and its parent meet, by the convention of hybrid vsock (`transport/hybrid.ts`): the same for
 * each that is started, so that the parent listens before the first and goes on after the last.
 */
export async function emulatedMeetingPoint(cid: number): Promise<string> {
  return join(await openParentFolder(cid), "vsock");
}

/** In mock mode context id 3 is a folder among the launcher's files; it leads to the parent's own. */
function findingItsParent(launcher: Launcher, cid: number): Launcher {
  const { platform } = launcher;
  return {
    platform,
    run: async (options) => {
      await linkParent(await openParentFolder(cid));
      return launcher.run(options);
    },
    list: () => launcher.list(),
    describe: (enclaveId) => launcher.describe(enclaveId),
    console: (enclaveId, options) => launcher.console(enclaveId, options),
    terminate: (enclaveId) => launcher.terminate(enclaveId),
  };
}

async function linkParent(folder: string): Promise<void> {
  await openStateFolder(stateFolderOf("mock"));
  const link = join(stateFolderOf("mock"), STATE_FILES.vsock, PARENT_CID);
  await mkdir(dirname(link), { recursive: true, mode: 0o700 });
  const there = await readlink(link).catch(() => undefined);
  if (there === folder) return;
  if (there !== undefined && (await isListenedIn(there))) {
    throw new LauncherError("ERR_LAUNCHER_STATE_FOLDER", { path: link, rule: "it belongs to another parent" });
  }
  await rm(link, { recursive: true, force: true });
  await symlink(folder, link);
}

/** Whether anybody answers on a socket of the folder; one that was killed has left the files. */
async function isListenedIn(folder: string): Promise<boolean> {
  const transport = createUnixTransport();
  for (const name of await readdir(folder).catch((): string[] => [])) {
    const address = { kind: "unix", path: join(folder, name) } as const;
    const socket = await transport.connect(address, { timeoutMs: 1_000 }).catch(() => undefined);
    socket?.destroy();
    if (socket) return true;
  }
  return false;
}
