/**
 * `cloister enclave exec`: a program in any language as an enclave, in one command.
 *
 * It writes the application's folder, and `cloister parent up --build` does the rest:
 *
 *   app.mjs             names the program; written here
 *   cloister-exec.mjs   the runtime around it, bundled with this package
 *   …                   the files of --app, among which the program starts
 *
 * @module
 */
import { copyFile, cp, mkdir, mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { nitroRoots, parseRoots } from "../../image/building.ts";
import { deviceEntry } from "../../image/entry.ts";
import { ConfigError } from "../../shared/errors/index.ts";
import { type Arguments, readArguments, readInput } from "../arguments.ts";
import { type Terminal, UsageError } from "../terminal.ts";
import { parentUp } from "./parent-up.ts";

const EXEC_USAGE = `usage: cloister enclave exec --config FILE [options] -- PROGRAM [ARGUMENT...]

  runs a program in any language in an enclave, beside an HTTP service on its loopback that attests, decrypts, makes data
  keys and gives credentials, and a CONNECT proxy; the program finds them by its environment (docs/first-hour.md)
  --config FILE      parent.yaml, whose platform is mock or emulated; the image is built as parent up --build does
  --app DIR          files for the image; the program starts in their folder
  --forward PORT     clients' requests go to 127.0.0.1:PORT, where the program serves HTTP; without it they get 404
  --dangerously-log-output   what the program writes goes to the parent's log, in clear: to find out why it does not start
  --output DIR       writes the application's folder and runs nothing; takes no --config
  --entry ROOTS      with --output: also main.mjs, for an enclave that boots a root file system of your own (eif build
                     --rootfs); nitro for AWS's roots, or a JSON file of others
  --tls-root FILE    as parent up; --emulator DIR as well

  example: cloister enclave exec --config parent.yaml --app app --forward 8000 -- python3 main.py`;

/** Beside the compiled runtime; the build makes it. */
const RUNTIME = fileURLToPath(new URL("../../enclave/exec/exec.bundle.mjs", import.meta.url));
const RUNTIME_NAME = "cloister-exec.mjs";
const OWN = ["app.mjs", "main.mjs", RUNTIME_NAME];

export async function enclaveExec(args: readonly string[], terminal: Terminal): Promise<number> {
  const string = { type: "string" } as const;
  const paths = { config: string, app: string, output: string, entry: string, emulator: string } as const;
  const list = { type: "string", multiple: true } as const;
  const flag = { type: "boolean" } as const;
  const options = { ...paths, "tls-root": list, forward: string, "dangerously-log-output": flag, help: flag } as const;
  const [own, command] = divide(args);
  const { values } = readArguments(own, { options, operands: 0, usage: EXEC_USAGE });
  if (values["help"]) {
    terminal.print(EXEC_USAGE);
    return 0;
  }
  if (command.length === 0) throw new UsageError("the program stands behind --", EXEC_USAGE);
  const { config, output, app, entry } = values;
  if ((config === undefined) === (output === undefined)) {
    throw new UsageError("one of --config and --output is needed", EXEC_USAGE);
  }
  if (entry !== undefined && output === undefined) throw new UsageError("--entry goes with --output", EXEC_USAGE);
  const dangerouslyLogOutput = values["dangerously-log-output"] === true && ({ dangerouslyLogOutput: true } as const);
  const settings = { definition: { command, forward: forwardOf(values), ...dangerouslyLogOutput }, app };
  if (typeof output === "string") {
    const main = typeof entry === "string" ? await entryFor(entry) : undefined;
    await writeFolder(output, { ...settings, main });
    return 0;
  }
  const folder = await mkdtemp(join(tmpdir(), "cloister-exec-"));
  try {
    await writeFolder(folder, settings);
    return await parentUp([...upArguments(values), "--build", folder], terminal);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

function divide(args: readonly string[]): readonly [own: readonly string[], command: readonly string[]] {
  const at = args.indexOf("--");
  return at < 0 ? [args, []] : [args.slice(0, at), args.slice(at + 1)];
}

function forwardOf({ forward }: Arguments["values"]): number | "off" {
  if (forward === undefined) return "off";
  const port = typeof forward === "string" && /^[1-9][0-9]{0,4}$/.test(forward) ? Number(forward) : 0;
  if (port < 1 || port > 65_535) throw new UsageError("--forward is a port, 1 to 65535", EXEC_USAGE);
  return port;
}

function upArguments(values: Arguments["values"]): readonly string[] {
  const given = ["config", "emulator", "tls-root"].flatMap((name) => {
    const all = [values[name] ?? []].flat() as readonly string[];
    return all.map((value) => [`--${name}`, value]);
  });
  return given.flat();
}

interface FolderSettings {
  /** What `defineExec` takes, as JSON. */
  readonly definition: object;
  readonly app: string | boolean | undefined;
  /** The entry file of an enclave that boots. Left out where the build writes it. */
  readonly main?: Uint8Array | undefined;
}

/** Such an entry has no configuration: the program reads files of its image. */
async function entryFor(roots: string): Promise<Uint8Array> {
  return deviceEntry({ ...(roots === "nitro" ? nitroRoots() : parseRoots(await readInput(roots), roots)), config: {} });
}

async function writeFolder(folder: string, { definition, app, main }: FolderSettings): Promise<void> {
  const refused = (path: string, reason: string): ConfigError => new ConfigError("ERR_CONFIG_FILE", { path, reason });
  try {
    await mkdir(folder, { recursive: true });
    if ((await readdir(folder)).length > 0) throw refused(folder, "it is not empty");
    if (typeof app === "string") {
      const taken = (await readdir(app)).find((name) => OWN.includes(name));
      if (taken !== undefined) throw refused(join(app, taken), "this name is the runtime's");
      await cp(app, folder, { recursive: true, verbatimSymlinks: true });
    }
    await copyFile(RUNTIME, join(folder, RUNTIME_NAME));
    await writeFile(join(folder, "app.mjs"), appOf(definition));
    if (main) await writeFile(join(folder, "main.mjs"), main);
  } catch (error) {
    if (error instanceof ConfigError) throw error;
    const { code = "unreadable", path = folder } = error as NodeJS.ErrnoException;
    throw refused(path, code);
  }
}

function appOf(definition: object): string {
  return `import { defineExec } from "./${RUNTIME_NAME}";

const definition = ${JSON.stringify(definition, null, 2)};
export const enclave = defineExec({ ...definition, directory: import.meta.dirname });
`;
}
