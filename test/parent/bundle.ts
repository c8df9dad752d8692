import { build } from "esbuild";

/** Compiles sources for a process of their own: Node 20 does not run TypeScript. Paths are relative to the project. */
export async function bundle(contents: string, outfile: string): Promise<void> {
  const stdin = { contents, resolveDir: process.cwd(), loader: "ts" as const };
  await build({ stdin, bundle: true, platform: "node", format: "esm", outfile, logLevel: "error" });
}
