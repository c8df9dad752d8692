/**
 * The enclave of `parent.yaml`: who runs it, where it finds its parent, what becomes of it at the end.
 *
 * @module
 */
import { lstat, mkdir, readdir, readFile, readlink, rm, symlink, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { inspectEifFile } from "../../image/file.ts";
import { buildAppImage } from "../../image/index.ts";
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

/** The context id of the parent. */
const PARENT_CID = "3";

export interface SupervisionSettings extends Pick<SupervisorOptions, "onUp" | "onDown" | "log"> {
  readonly transport: Transport;
  readonly tell: Terminal["tell"];
  readonly emulator?: string;
}

/** Keeps the enclave running once it is started. */
export async function superviseEnclave(enclave: RunEnclave, settings: SupervisionSettings): Promise<Supervisor> {
  const { platform, image, measurements, cpus, memoryMiB, cid, port, maxFailures } = enclave;
  const { transport, tell, emulator, ...hooks } = settings;
  const launcher = await launcherFor(platform, { tell, ...(emulator !== undefined && { emulator }) });
  if (measurements === undefined) tell(`no measurements: whatever lies at ${image} is started`);
  return createSupervisor({
    launcher: platform === "mock" ? findingItsParent(launcher, cid) : launcher,
    launch: { eifPath: image, cpuCount: cpus, cid, debug: false, ...(memoryMiB !== undefined && { memoryMiB }) },
    inspect: inspectEifFile,
    expected: measurements === undefined ? "unchecked" : await readExpected(measurements),
    record: createEnclaveRecord({ folder: stateFolderOf("parent"), name: `cid-${cid}` }),
    ready: whenConnectable({ transport, port }),
    backoff: { maxFailures },
    ...hooks,
  });
}

async function readExpected(path: string): Promise<ExpectedImage> {
  const text = await readOwnFile(path);
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (cause) {
    throw new ConfigError("ERR_CONFIG_FILE", { path, reason: "not JSON" }, { cause });
  }
  return expectedImageFromJson(json);
}

/** Where the parent of a mock enclave listens, a socket a port: beside the launcher's state, which comes and goes. */
export async function openParentFolder(cid: number): Promise<string> {
  await openStateFolder(stateFolderOf("parent"));
  const folder = join(stateFolderOf("parent"), String(cid));
  await openStateFolder(folder);
  return folder;
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

/** Builds a mock image of an application's folder, so that there is something to run. */
export async function buildMockImage(app: string, output: string): Promise<void> {
  const files = new Map<string, Uint8Array>();
  for (const name of await readdir(app, { recursive: true })) {
    const path = join(app, name);
    if ((await lstat(path)).isFile()) files.set(name, new Uint8Array(await readFile(path)));
  }
  const { eif } = await buildAppImage({ files, platform: "mock" });
  await writeFile(output, eif);
}
