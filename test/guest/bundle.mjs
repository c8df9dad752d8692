// Makes a test program one file that needs nothing but Node: `node test/guest/bundle.mjs --out FILE [--entry FILE]`.
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { build } from "esbuild";

const here = (path) => fileURLToPath(new URL(path, import.meta.url));

const { values } = parseArgs({ options: { entry: { type: "string" }, out: { type: "string" } } });
const { entry = here("main.ts"), out } = values;
if (out === undefined) {
  process.stderr.write("bundle.mjs: error: --out FILE is missing\n");
  process.exit(2);
}
await build({
  entryPoints: [entry],
  outfile: out,
  bundle: true,
  platform: "node",
  format: "esm",
  target: "node20",
  alias: { vitest: here("vitest.ts") },
  banner: {
    js: "import { createRequire as requireFor } from 'node:module'; const require = requireFor(import.meta.url);",
  },
  legalComments: "none",
  logLevel: "warning",
});
