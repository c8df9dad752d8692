/**
 * Builds what the guests boot from the emulator's kernel and libraries, with the product's own builder.
 *
 * @module
 */
import { mkdtempSync, readFileSync } from "node:fs";
import { readFile, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { bundleProgram } from "../../bench/guest/program.ts";
import { buildImage, buildRamdisks, type KernelModule } from "../../image/build.ts";
import { compileInit } from "../../image/compile-init.ts";
import type { Exec } from "../../image/exec.ts";
import { Inputs } from "../../image/inputs.ts";
import { EMULATED_CMDLINE, EMULATED_MODULES } from "../../image/recipe.ts";
import { NODE_EXEC, nodeRoot } from "../../image/runtime.ts";
import type { EmulatorFiles } from "../../mock/emulator/commands.ts";
import type { ParentImage } from "../../mock/emulator/instance.ts";

const here = (path: string): string => fileURLToPath(new URL(path, import.meta.url));

export const NATIVE: string = here("../../native/prebuilds/linux-x64.node");

const PARENT_MODULES = ["vsock.ko", "vmw_vsock_virtio_transport_common.ko", "vmw_vsock_virtio_transport.ko"];
/** Under software emulation mitigations cost time and protect nothing. */
const QUICK = "mitigations=off";
const PARENT_CMDLINE = `reboot=k panic=30 console=ttyS0 ${QUICK} cloister.platform=guest`;

/** A short folder: paths of Unix sockets have 107 bytes. */
export function workFolder(): string {
  return mkdtempSync(join(tmpdir(), "emu-"));
}

/** The program whose entry is this module, relative to this folder. */
export function bundle(entry: string, alias: Readonly<Record<string, string>> = {}): Promise<Uint8Array> {
  return bundleProgram(here(entry), { alias });
}

interface GuestProgram {
  readonly files: ReadonlyMap<string, Uint8Array>;
  readonly exec?: Partial<Exec>;
}

async function parts({ folder }: EmulatorFiles, { files, exec }: GuestProgram, modules: readonly string[]) {
  const load = (name: string): KernelModule => ({ name, bytes: readFileSync(join(folder, "modules", name)) });
  return {
    init: await compileInit(new Inputs("unlocked")),
    modules: modules.map((name) => load(name)),
    root: await nodeRoot({
      architecture: "x86_64",
      node: await readFile(join(folder, "node")),
      library: (name) => readFile(join(folder, "lib", name)),
      native: await readFile(NATIVE),
      files,
    }),
    exec: { ...NODE_EXEC, ...exec },
  } as const;
}

/** What boots as an ordinary guest: kernel, and both ramdisks as one initial file system. */
export async function parentImage(files: EmulatorFiles, program: GuestProgram, folder: string): Promise<ParentImage> {
  const { bootstrap, application } = buildRamdisks(await parts(files, program, PARENT_MODULES));
  const initrd = join(folder, "parent.initrd");
  await writeFile(initrd, Buffer.concat([...bootstrap, ...application]));
  return { kernel: join(files.folder, "vmlinuz"), initrd, cmdline: PARENT_CMDLINE };
}

export interface EnclaveImage {
  readonly path: string;
  /** Hex, computed from the image's parts. */
  readonly registers: Readonly<Record<"pcr0" | "pcr1" | "pcr2", string>>;
}

export async function enclaveImage(files: EmulatorFiles, program: GuestProgram, path: string): Promise<EnclaveImage> {
  const { parts: eif, measurements } = await buildImage({
    ...(await parts(files, program, EMULATED_MODULES)),
    platform: "emulated",
    architecture: "x86_64",
    kernel: await readFile(join(files.folder, "vmlinuz")),
    cmdline: `${EMULATED_CMDLINE} ${QUICK}`,
  });
  await writeFile(path, eif);
  const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");
  const { pcr0, pcr1, pcr2 } = measurements;
  return { path, registers: { pcr0: hex(pcr0), pcr1: hex(pcr1), pcr2: hex(pcr2) } };
}
