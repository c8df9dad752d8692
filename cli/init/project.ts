/**
 * Writes a new project: an enclave's application, its parent, and a test, that build and pass as they are.
 *
 * Nothing that is there is touched: the folder is new, or empty.
 *
 * @module
 */
import { mkdir, readdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { ConfigError } from "../../shared/errors/index.ts";
import { GITIGNORE, packageJson, parentYaml, readme, type Toolkit, TSCONFIG_JSON } from "./settings.ts";
import { APP_TEST_TS, APP_TS } from "./sources.ts";

export interface Project {
  /** Of the package and of its image. */
  readonly name: string;
  readonly folder: string;
  readonly toolkit: Toolkit;
}

/** A package's name that is a file's and a folder's as well, and no option of a command. */
const NAME = /^[a-z][a-z0-9-]{0,39}$/;

/** @throws {ConfigError} `ERR_CONFIG_FIELD_INVALID` */
export function checkName(name: string): void {
  if (NAME.test(name)) return;
  const expected = "1 to 40 lower-case letters, digits and hyphens, a letter first";
  throw new ConfigError("ERR_CONFIG_FIELD_INVALID", { field: "NAME", expected, actual: "another" });
}

/**
 * Gives the names of the files that were written.
 *
 * @throws {ConfigError} `ERR_CONFIG_FIELD_INVALID` the name, `ERR_CONFIG_FILE` the folder
 */
export async function writeProject({ name, folder, toolkit }: Project): Promise<readonly string[]> {
  checkName(name);
  const files = new Map([
    ["package.json", packageJson(name, toolkit)],
    ["tsconfig.json", TSCONFIG_JSON],
    ["app.ts", APP_TS],
    ["app.test.ts", APP_TEST_TS],
    ["parent.yaml", parentYaml(name)],
    [".gitignore", GITIGNORE],
    ["README.md", readme(name)],
  ]);
  const refused = (reason: string, cause?: unknown): ConfigError =>
    new ConfigError("ERR_CONFIG_FILE", { path: folder, reason }, { cause });
  try {
    await mkdir(folder, { recursive: true });
    if ((await readdir(folder)).length > 0) throw refused("it is not empty");
    // Who may write parent.yaml decides what the enclave reaches, so its group may not.
    for (const [file, text] of files) await writeFile(join(folder, file), text, { flag: "wx", mode: 0o644 });
  } catch (error) {
    if (error instanceof ConfigError) throw error;
    throw refused((error as NodeJS.ErrnoException).code ?? "can not be written", error);
  }
  return [...files.keys()];
}
