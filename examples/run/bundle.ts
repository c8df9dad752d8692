/**
 * Makes an example's `app.ts` the one file that goes into its image.
 *
 * @module
 */
import { build } from "esbuild";

/** CommonJS that is bundled asks for `require`. */
const BANNER =
  "import { createRequire as requireFor } from 'node:module'; const require = requireFor(import.meta.url);";
/** Of `pg`, for other runtimes and other drivers. */
const LEFT_OUT = ["pg-native", "cloudflare:sockets"];

export async function bundleApp(entry: string, outfile: string): Promise<void> {
  await build({
    ...{ entryPoints: [entry], outfile, external: LEFT_OUT, bundle: true, platform: "node", format: "esm" },
    ...{ target: "node20", legalComments: "none", logLevel: "warning", banner: { js: BANNER } },
  });
}
