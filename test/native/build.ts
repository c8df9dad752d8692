/** Compiles the binding and the shim, and bundles the scenarios, into a folder of the test's own. */
import { execFileSync, spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const root = fileURLToPath(new URL("../..", import.meta.url));
export const BINARY = `linux-${process.arch}.node`;

/** Why nothing can be built here, or undefined. */
export function lacking(): string | undefined {
  if (process.platform !== "linux" || (process.arch !== "x64" && process.arch !== "arm64"))
    return "not on this platform";
  if (spawnSync("cc", ["--version"]).error) return "no C compiler (cc)";
  return undefined;
}

/** The sanitizers' libraries, which must be loaded before Node; undefined where the compiler has none. */
export function sanitizers(): string | undefined {
  const paths = ["libasan.so", "libubsan.so"].map((name) =>
    execFileSync("cc", [`-print-file-name=${name}`], { encoding: "utf8" }).trim(),
  );
  return paths.every((path) => existsSync(path)) ? paths.join(" ") : undefined;
}

export function buildBinding(folder: string, flags?: string): string {
  const env = {
    ...process.env,
    CC_ARM64: "none",
    CC_X64: "none",
    ...(flags !== undefined && { NATIVE_CFLAGS: flags }),
  };
  env[process.arch === "x64" ? "CC_X64" : "CC_ARM64"] = "cc";
  execFileSync("sh", [join(root, "native/build.sh"), folder], { env, stdio: ["ignore", "pipe", "inherit"] });
  return join(folder, BINARY);
}

export function buildShim(folder: string): string {
  const out = join(folder, "vsock-shim.so");
  const flags = ["-std=gnu11", "-O1", "-Wall", "-Wextra", "-Werror", "-fPIC", "-shared", "-o", out];
  execFileSync("cc", [...flags, join(root, "test/native/vsock-shim.c"), "-ldl", "-lpthread"]);
  return out;
}

/** One file that needs nothing beside it but the binding. */
export async function bundleScenarios(folder: string): Promise<string> {
  const outfile = join(folder, "scenarios.mjs");
  await build({
    entryPoints: [join(root, "test/native/main.ts")],
    outfile,
    bundle: true,
    platform: "node",
    format: "esm",
    target: "node20",
    logLevel: "warning",
    banner: { js: 'import { createRequire } from "node:module"; const require = createRequire(import.meta.url);' },
  });
  return outfile;
}
