/**
 * The verifier as a web page would get it: one minified file, made anew from the sources.
 *
 * @module
 */
import { fileURLToPath } from "node:url";
import { runInNewContext } from "node:vm";
import { build } from "esbuild";
import ts from "typescript";

const root = fileURLToPath(new URL("../..", import.meta.url));

export interface VerifierBundle {
  readonly text: string;
  /** The files it was made of, from the repository's root. */
  readonly inputs: readonly string[];
  /** What it still imports when it runs. */
  readonly imports: readonly string[];
}

export interface BundleOptions {
  /** `esm` has the exports of `cloister/attestation`; `iife` puts them on a global `cloister`. */
  readonly format?: "esm" | "iife";
  /** Packages that stay outside. */
  readonly external?: string[];
}

export async function bundleVerifier({ format = "esm", external = [] }: BundleOptions = {}): Promise<VerifierBundle> {
  const { outputFiles, metafile } = await build({
    entryPoints: [`${root}shared/attestation/index.ts`],
    absWorkingDir: root,
    bundle: true,
    external,
    format,
    globalName: "cloister",
    legalComments: "none",
    logLevel: "silent",
    metafile: true,
    minify: true,
    platform: "browser",
    target: "es2023",
    write: false,
  });
  return {
    text: outputFiles[0]?.text ?? "",
    inputs: Object.keys(metafile.inputs),
    imports: Object.values(metafile.outputs).flatMap((output) => output.imports.map((each) => each.path)),
  };
}

/** Names that a script takes from its surroundings and that are not the language's own. */
export function surroundingsOf(text: string): readonly string[] {
  const file = ts.createSourceFile("bundle.js", text, ts.ScriptTarget.ESNext, true, ts.ScriptKind.JS);
  const host: ts.CompilerHost = {
    ...ts.createCompilerHost({}),
    getSourceFile: (name) => (name === "bundle.js" ? file : undefined),
    fileExists: (name) => name === "bundle.js",
    writeFile: () => undefined,
  };
  const options = { allowJs: true, checkJs: true, noLib: true, types: [], target: ts.ScriptTarget.ESNext };
  const program = ts.createProgram(["bundle.js"], options, host);
  const found = new Set<string>();
  for (const { code, start = 0, length = 0 } of program.getSemanticDiagnostics(file)) {
    if (CANNOT_FIND_NAME.has(code)) found.add(text.slice(start, start + length));
  }
  const language = new Set(runInNewContext("Object.getOwnPropertyNames(globalThis)") as string[]);
  return [...found].filter((name) => !language.has(name)).sort();
}

/** TypeScript's diagnostics for a name that nothing declares; the variants suggest a library or a types package. */
const CANNOT_FIND_NAME: ReadonlySet<number> = new Set([2304, 2552, 2580, 2581, 2582, 2583, 2584, 2591, 2592, 2593]);
