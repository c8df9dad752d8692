/**
 * `cloister init`: a new project that builds and whose test passes at once.
 *
 * It depends on the version of the toolkit that wrote it; on the folder itself when that is no installed package.
 *
 * @module
 */
import { relative, resolve, sep } from "node:path";
import { fileURLToPath } from "node:url";
import { readArguments, readJson } from "../arguments.ts";
import { checkName, writeProject } from "../init/project.ts";
import type { Toolkit } from "../init/settings.ts";
import type { Terminal } from "../terminal.ts";

const INIT_USAGE = `usage: cloister init NAME

  writes a folder NAME with an enclave's application (app.ts), its parent (parent.yaml), and a test that builds the
  image, runs it in mock mode, and asks it as a client does; the folder must be new or empty

  example: cloister init hello && cd hello && npm install && npm test`;

export async function init(args: readonly string[], { print, tell }: Terminal): Promise<number> {
  const options = { help: { type: "boolean" } } as const;
  const { values, positionals } = readArguments(args, { options, operands: 1, usage: INIT_USAGE });
  if (values["help"]) {
    print(INIT_USAGE);
    return 0;
  }
  const [name = ""] = positionals;
  checkName(name);
  const folder = resolve(name);
  for (const file of await writeProject({ name, folder, toolkit: await thisToolkit(folder) })) print(`${name}/${file}`);
  tell(`cloister: next: cd ${name} && npm install && npm test`);
  return 0;
}

async function thisToolkit(folder: string): Promise<Toolkit> {
  const root = fileURLToPath(new URL("../../../", import.meta.url));
  const { version, devDependencies } = await readJson(resolve(root, "package.json"));
  const isInstalled = root.split(sep).includes("node_modules");
  const specifier = isInstalled ? String(version) : `file:${relative(folder, root)}`;
  return { specifier, versions: devDependencies as Toolkit["versions"] };
}
