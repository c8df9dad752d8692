/**
 * `cloister parent up --build`: makes the image that is about to run, of an application's folder, for mock mode or the
 * emulated enclave, and what a client must know of it.
 *
 *   <image>               the EIF; main.mjs is started, or app.mjs by an entry that is written for it
 *   mockRoot              the root that signs its documents, once: `app.mjs` finds it in its image
 *   <image>.roots.json    what it trusts: that root, and TLS roots
 *   <image>.policy.json   what a client demands: that root and these measurements
 *
 * @module
 */
import { randomBytes } from "node:crypto";
import { access, readFile, writeFile } from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { buildFromRecipe, Inputs, type Recipe } from "../../image/building.ts";
import { EMULATED_CMDLINE, EMULATED_MODULES } from "../../image/recipe.ts";
import { nitroRoots } from "../../image/roots.ts";
import { createMockRoot } from "../../mock/nsm/pki.ts";
import { rootToJson } from "../../mock/nsm/root-file.ts";
import type { ParentConfig, RunEnclave } from "../../parent/config/parent-config.ts";
import { toHex } from "../../shared/bytes.ts";
import { ConfigError } from "../../shared/errors/config.ts";
import { LauncherError } from "../../shared/errors/launcher.ts";
import type { Terminal } from "../terminal.ts";
import { UsageError } from "../terminal.ts";
import { save } from "./eif-build-output.ts";
import { builtEmulator } from "./enclave-launcher.ts";
import { readMockRoot } from "./mock-root.ts";

export interface BuildSettings {
  /** The application: a folder with `app.mjs` or `main.mjs`. */
  readonly folder: string;
  /** PEM of TLS roots beside Amazon's. */
  readonly tlsRoots: readonly string[];
  readonly emulator?: string | undefined;
  readonly usage: string;
  readonly tell: Terminal["tell"];
}

const NATIVE = new URL(`../../native/prebuilds/linux-${process.arch}.node`, import.meta.url);
/** What a client takes for fresh, where the policy file is not written by hand. */
const MAX_AGE_MS = 300_000;

export async function buildForParent({ enclave }: ParentConfig, settings: BuildSettings): Promise<void> {
  const { usage, folder, tell } = settings;
  if (enclave.kind !== "run" || enclave.platform === "nitro") {
    throw new UsageError("--build is for mock and emulated images; others are built by cloister eif build", usage);
  }
  const { image } = enclave;
  if (!(await isThere(folder))) throw new ConfigError("ERR_CONFIG_FILE", { path: folder, reason: "ENOENT" });
  const isWhole = await isThere(join(folder, "main.mjs"));
  if (!isWhole && enclave.mockRoot === undefined) {
    throw new UsageError("app.mjs finds its roots in its image: say mockRoot in the section enclave", usage);
  }
  const root = enclave.mockRoot === undefined ? undefined : await openMockRoot(enclave.mockRoot);
  const roots = `${image}.roots.json`;
  if (!isWhole) {
    const tlsRoots = [...nitroRoots().tlsRoots, ...settings.tlsRoots];
    await refusing(roots, () => writeFile(roots, JSON.stringify({ attestationRoots: [root], tlsRoots })));
  }
  const recipe = await recipeFor(enclave, { ...settings, roots: isWhole ? "none" : roots });
  const { parts, measurements } = await buildFromRecipe(recipe, {
    base: dirname(resolve(image)),
    inputs: new Inputs("unlocked"),
  });
  await save(image, parts);
  const { pcr0, pcr1, pcr2 } = measurements;
  const images = [{ 0: toHex(pcr0), 1: toHex(pcr1), 2: toHex(pcr2) }];
  if (root !== undefined) {
    const policy = { kind: "nsm", roots: [{ dangerouslyTrustRoot: root }], images, maxAgeMs: MAX_AGE_MS };
    await writeFile(`${image}.policy.json`, `${JSON.stringify(policy, null, 2)}\n`);
  }
  tell(`cloister: built ${image}, PCR0 ${images[0]?.[0]}`);
}

/** DER in base64 of the root in the file, which is made where it is not there. */
async function openMockRoot(path: string): Promise<string> {
  if (!(await isThere(path))) {
    const root = await createMockRoot((length) => new Uint8Array(randomBytes(length)));
    await refusing(path, () => writeFile(path, `${JSON.stringify(rootToJson(root))}\n`, { mode: 0o600, flag: "wx" }));
  }
  return rootToJson(await readMockRoot(path)).certificate;
}

/** What the system says of a path that was given is about that path. */
async function refusing<Result>(path: string, work: () => Promise<Result>): Promise<Result> {
  try {
    return await work();
  } catch (cause) {
    throw new ConfigError("ERR_CONFIG_FILE", { path, reason: (cause as NodeJS.ErrnoException).code ?? "unreadable" });
  }
}

async function recipeFor(
  { platform, image }: RunEnclave,
  { folder, roots, emulator }: BuildSettings & { readonly roots: string },
): Promise<Recipe> {
  const app = { kind: "app", folder: resolve(folder), roots, config: "none" } as const;
  const named = { architecture: "x86_64", name: basename(image, ".eif"), version: "0" } as const;
  if (platform !== "emulated") {
    const source = { ...app, node: "none", libraries: [], native: "none" };
    return { ...named, platform: "mock", boot: { kind: "none" }, init: { kind: "compiled", compiler: "cc" }, source };
  }
  const files = emulator ?? (await builtEmulator());
  if (files === undefined) {
    const reason = "make emulator has not been run, and --emulator names no folder";
    throw new LauncherError("ERR_LAUNCHER_HOST", { needs: "QEMU", reason });
  }
  const at = (name: string): string => resolve(files, name);
  return {
    ...named,
    platform: "emulated",
    boot: {
      kind: "kernel",
      kernel: at("vmlinuz"),
      cmdline: EMULATED_CMDLINE,
      modules: EMULATED_MODULES.map((name) => at(`modules/${name}`)),
    },
    init: { kind: "compiled", compiler: "cc" },
    source: { ...app, node: at("node"), libraries: [at("lib")], native: fileURLToPath(NATIVE) },
  };
}

function isThere(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}

/** Reads PEM files of roots. */
export async function readTlsRoots(paths: readonly string[]): Promise<readonly string[]> {
  return Promise.all(paths.map((path) => refusing(path, () => readFile(path, "utf8"))));
}
