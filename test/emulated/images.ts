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
import { type BuildOptions, build } from "esbuild";
import { buildImage, buildRamdisks, type KernelModule } from "../../image/build.ts";
import { compileInit } from "../../image/compile-init.ts";
import type { Exec } from "../../image/exec.ts";
import { Inputs } from "../../image/inputs.ts";
import { NODE_EXEC, nodeRoot } from "../../image/runtime.ts";
import type { EmulatorFiles } from "../../mock/emulator/commands.ts";
import type { ParentImage } from "../../mock/emulator/instance.ts";

const here = (path: string): string => fileURLToPath(new URL(path, import.meta.url));

export const NATIVE: string = here("../../native/prebuilds/linux-x64.node");

const ENCLAVE_MODULES = [
  "vsock",
  "vmw_vsock_virtio_transport_common",
  "vsock_loopback",
  "virtio_mmio",
  "vmw_vsock_virtio_transport",
  "nsm",
];
const PARENT_MODULES = ["vsock", "vmw_vsock_virtio_transport_common", "vmw_vsock_virtio_transport"];
const BOOT = "reboot=k panic=30 mitigations=off console=ttyS0";

/** A short folder: paths of Unix sockets have 107 bytes. */
export function workFolder(): string {
  return mkdtempSync(join(tmpdir(), "emu-"));
}

/** One file that needs nothing but Node. */
export async function bundle(entry: string, options: BuildOptions = {}): Promise<Uint8Array> {
  const { outputFiles } = await build({
    entryPoints: [here(entry)],
    bundle: true,
    write: false,
    platform: "node",
    format: "esm",
    target: "node20",
    legalComments: "none",
    logLevel: "warning",
    banner: {
      js: "import { createRequire as requireFor } from 'node:module'; const require = requireFor(import.meta.url);",
    },
    ...options,
  });
  const [file] = outputFiles ?? [];
  if (!file) throw new Error(`no bundle of ${entry}`);
  return file.contents;
}

interface GuestProgram {
  readonly files: ReadonlyMap<string, Uint8Array>;
  readonly exec?: Partial<Exec>;
}

async function parts({ folder }: EmulatorFiles, { files, exec }: GuestProgram, modules: readonly string[]) {
  const load = (name: string): KernelModule => ({ name, bytes: readFileSync(join(folder, "modules", name)) });
  return {
    init: await compileInit(new Inputs("unlocked")),
    modules: modules.map((name) => load(`${name}.ko`)),
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
  return { kernel: join(files.folder, "vmlinuz"), initrd, cmdline: `${BOOT} cloister.platform=guest` };
}

export interface EnclaveImage {
  readonly path: string;
  /** Hex, computed from the image's parts. */
  readonly registers: Readonly<Record<"pcr0" | "pcr1" | "pcr2", string>>;
}

export async function enclaveImage(files: EmulatorFiles, program: GuestProgram, path: string): Promise<EnclaveImage> {
  const { parts: eif, measurements } = await buildImage({
    ...(await parts(files, program, ENCLAVE_MODULES)),
    platform: "emulated",
    architecture: "x86_64",
    kernel: await readFile(join(files.folder, "vmlinuz")),
    cmdline: `${BOOT} cloister.platform=emulated`,
  });
  await writeFile(path, eif);
  const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");
  const { pcr0, pcr1, pcr2 } = measurements;
  return { path, registers: { pcr0: hex(pcr0), pcr1: hex(pcr1), pcr2: hex(pcr2) } };
}
