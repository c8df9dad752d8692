/**
 * Makes a program for a guest one file that needs nothing but Node: for the measurements here, and for `test/emulated`.
 *
 * @module
 */
import { type BuildOptions, build } from "esbuild";

/** `require` for what is bundled from CommonJS, under a name that a module of ours does not import. */
const BANNER =
  "import { createRequire as requireFor } from 'node:module'; const require = requireFor(import.meta.url);";

/** @param entry path of a module, compiled or not */
export async function bundleProgram(entry: string, options: Pick<BuildOptions, "alias"> = {}): Promise<Uint8Array> {
  const { outputFiles } = await build({
    entryPoints: [entry],
    bundle: true,
    write: false,
    platform: "node",
    format: "esm",
    target: "node20",
    legalComments: "none",
    logLevel: "warning",
    banner: { js: BANNER },
    ...options,
  });
  const [file] = outputFiles;
  if (!file) throw new Error(`no bundle of ${entry}`);
  return file.contents;
}
