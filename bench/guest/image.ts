/**
 * Builds what the guest boots: our init, Debian's kernel, Node, the program as it was compiled, the C programs beside it,
 * the other proxies and what they read.
 *
 * @module
 */
import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { buildImage, type Tree } from "../../image/build.ts";
import { compileInit } from "../../image/compile-init.ts";
import { Inputs } from "../../image/inputs.ts";
import { EMULATED_CMDLINE, EMULATED_MODULES } from "../../image/recipe.ts";
import { NODE_EXEC, nodeRoot } from "../../image/runtime.ts";
import type { EmulatorFiles } from "../../mock/emulator/commands.ts";
import { utf8 } from "../../shared/bytes.ts";
import type { ArchiveEntry } from "../../shared/eif/cpio-write.ts";
import { bundleProgram } from "./program.ts";
import { ALLOWLIST_PATH, allowlist, RESOLVER } from "./proxies.ts";
import type { Plan } from "./samples.ts";

/** This runs from `dist/bench/guest/`. */
const here = (path: string): string => fileURLToPath(new URL(path, import.meta.url));
const PROGRAM = here("./main.js");
const C_PROGRAMS = ["plain", "load"] as const;
const sourceOf = (name: string): string => here(`../../../bench/guest/${name}.c`);
const NATIVE = here("../../../native/prebuilds/linux-x64.node");
const NODE_VSOCK = here("../../../test/guest/peer/node_modules/node-vsock-linux-x64-gnu/node-vsock.linux-x64-gnu.node");

/**
 * The kernel compares the processors' clocks when it boots; under software emulation on a busy host it may find them
 * apart, and falls back to counting ticks of 4 ms. Here they are one clock of the emulator's.
 */
const QUIET_CLOCK = "tsc=reliable clocksource=tsc mitigations=off";
const C_FLAGS = ["-std=gnu11", "-static", "-O2", "-s", "-Wall", "-Wextra", "-Werror"];

/** Whether the peer's package is installed (`npm ci` in test/guest/peer). */
export const hasNodeVsock: boolean = existsSync(NODE_VSOCK);

export interface GuestImage {
  readonly emulator: EmulatorFiles;
  /** Where the image and what it is made of are written. */
  readonly folder: string;
  /** What the program is told. */
  readonly plan: Plan;
  /** The other proxies, by path. */
  readonly files: Tree;
}

/** Gives the image's path. */
export async function writeGuestImage({ emulator, folder, plan, files: peers }: GuestImage): Promise<string> {
  const files = new Map([["main.mjs", await bundleProgram(PROGRAM)]]);
  if (hasNodeVsock) files.set("node-vsock.node", await readFile(NODE_VSOCK));
  const root = await nodeRoot({
    architecture: "x86_64",
    node: await readFile(join(emulator.folder, "node")),
    library: (name) => readFile(join(emulator.folder, "lib", name)),
    native: await readFile(NATIVE),
    files,
  });
  const modules = EMULATED_MODULES.map(async (name) => ({
    name,
    bytes: await readFile(join(emulator.folder, "modules", name)),
  }));
  const { parts } = await buildImage({
    platform: "emulated",
    architecture: "x86_64",
    kernel: await readFile(join(emulator.folder, "vmlinuz")),
    cmdline: `${EMULATED_CMDLINE} ${QUIET_CLOCK}`,
    init: await compileInit(new Inputs("unlocked")),
    modules: await Promise.all(modules),
    root: new Map([...root, ...peers, ...(await compileAll(folder)), ...settings(plan)]),
    exec: { ...NODE_EXEC, arguments: [...NODE_EXEC.arguments, JSON.stringify(plan)] },
  });
  const path = join(folder, "bench.eif");
  await writeFile(path, parts);
  return path;
}

async function compileAll(folder: string): Promise<Tree> {
  const compiled = C_PROGRAMS.map(async (name) => {
    const result = join(folder, name);
    await promisify(execFile)("cc", [...C_FLAGS, "-o", result, sourceOf(name)]);
    return [`bin/${name}`, { kind: "file", data: await readFile(result), mode: 0o755 }] as const;
  });
  return new Map(await Promise.all(compiled));
}

function settings({ rounds }: Plan): Tree {
  const file = (text: string): ArchiveEntry => ({ kind: "file", data: utf8(text), mode: 0o644 });
  return new Map([
    [ALLOWLIST_PATH, file(allowlist(rounds))],
    ["etc/resolv.conf", file(RESOLVER)],
  ]);
}
