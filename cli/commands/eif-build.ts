/**
 * `cloister eif build`: makes an image from a folder, a root file system or a container archive, and what lies beside it.
 *
 * @module
 */
import { readFile } from "node:fs/promises";
import { basename, dirname, isAbsolute, join, relative, resolve } from "node:path";
import {
  type Boot,
  buildFromRecipe,
  type ImageLock,
  Inputs,
  makeManifest,
  parseLock,
  type Recipe,
  type Source,
  updateLock,
  writeLock,
  writeManifest,
  writeSbom,
} from "../../image/building.ts";
import { checkInputs } from "../../image/inputs.ts";
import { EMULATED_CMDLINE, EMULATED_MODULES } from "../../image/recipe.ts";
import { EifError } from "../../shared/errors/index.ts";
import { readArguments } from "../arguments.ts";
import { type Terminal, UsageError } from "../terminal.ts";
import { checkOutputs, save } from "./eif-build-output.ts";

const BUILD_USAGE = `usage: cloister eif build --platform nitro|emulated|mock --output FILE SOURCE LOCK [options]

  SOURCE, one of
    --app DIR            a Node application: app.mjs (an entry is written for it) or main.mjs
      --node FILE        the Node executable of the image's architecture; not for mock
      --libraries DIR    where its shared libraries are; may be given again
      --native FILE      the addon for vsock and NSM, or none
      --roots FILE       {"attestationRoots": [base64], "tlsRoots": [PEM]}; not for nitro, which has AWS's
      --config FILE      JSON handed to the application
    --rootfs DIR --exec FILE    a file system; FILE is JSON: program, arguments, directory, uid, gid, environment
    --archive FILE       from docker save, or an OCI layout as tar
  LOCK, one of
    --lock FILE          every input from outside must be as this file pins it, and every pin be used
    --unlocked           whatever the inputs are; with --update-lock FILE they are pinned there
  boot
    --blobs DIR          nitro: kernel, command line, NSM driver; default /usr/share/nitro_enclaves/blobs
    --kernel FILE --modules DIR [--cmdline TEXT]   emulated: Debian's cloud kernel and its modules, unpacked
    --init FILE          instead of compiling it; --compiler NAME|PATH, default cc
  --architecture x86_64|arm64, default x86_64; --name TEXT; --image-version TEXT; --json

  writes FILE, FILE.manifest.json (see eif rebuild) and FILE.spdx.json, and prints the PCRs; files of these names are
  replaced, unless they are inputs or in a folder that is one

  example: cloister eif build --platform nitro --app dist --node node --libraries lib --native none --lock image.lock.json --output app.eif`;

/** The options that name a file or a folder to read. */
const INPUTS = [
  ...["app", "node", "libraries", "native", "roots", "config", "rootfs", "exec", "archive", "lock"],
  ...["blobs", "kernel", "modules", "init"],
];

type Values = Readonly<Record<string, string | boolean | readonly string[] | undefined>>;

const TEXTS = [
  ...["platform", "output", "app", "node", "native", "roots", "config", "rootfs", "exec", "archive", "lock"],
  ...["update-lock", "blobs", "kernel", "modules", "cmdline", "init", "compiler", "architecture", "name"],
  "image-version",
];

export async function eifBuild(args: readonly string[], { print }: Terminal): Promise<number> {
  const text = { type: "string" } as const;
  const flag = { type: "boolean" } as const;
  const options = {
    ...Object.fromEntries(TEXTS.map((name) => [name, text])),
    libraries: { type: "string", multiple: true } as const,
    unlocked: flag,
    json: flag,
    help: flag,
  };
  const { values } = readArguments(args, { options, operands: 0, usage: BUILD_USAGE });
  if (values["help"]) {
    print(BUILD_USAGE);
    return 0;
  }
  const output = required(values, "output");
  const base = dirname(resolve(output));
  const recipe = toRecipe(values, base);
  const id = `${recipe.platform}/${recipe.architecture}`;
  const written = [output, `${output}.manifest.json`, `${output}.spdx.json`];
  if (values["update-lock"] !== undefined) written.push(required(values, "update-lock"));
  await checkOutputs(written, inputPaths(values));
  const pins = await readPins(values, id);
  const inputs = new Inputs(pins);
  const compiler = values["compiler"] === undefined ? {} : { compiler: required(values, "compiler") };
  const image = await buildFromRecipe(recipe, { base, inputs, ...compiler });
  if (pins !== "unlocked") checkInputs(inputs.used("pinned"), pins);
  const manifest = makeManifest(recipe, { image, inputs });
  await save(output, image.parts);
  await save(`${output}.manifest.json`, [writeManifest(manifest)]);
  await save(`${output}.spdx.json`, [writeSbom(manifest, image)]);
  if (typeof values["update-lock"] === "string") {
    const path = values["update-lock"];
    await save(path, [writeLock(updateLock(await readLock(path, "may be missing"), id, inputs.used("pinned")))]);
  }
  if (values["json"]) print(JSON.stringify({ ...manifest.measurements, ...manifest.image }));
  else for (const [name, value] of Object.entries(manifest.measurements)) print(`${name} ${value}`);
  return 0;
}

function required(values: Values, name: string): string {
  const value = values[name];
  if (typeof value !== "string" || value === "") throw new UsageError(`--${name} is missing`, BUILD_USAGE);
  return value;
}

function optional(values: Values, name: string, otherwise: string): string {
  return values[name] === undefined ? otherwise : required(values, name);
}

function oneOf<Value extends string>(name: string, value: string, known: readonly Value[]): Value {
  const found = known.find((each) => each === value);
  if (found === undefined) throw new UsageError(`--${name} is one of ${known.join(", ")}`, BUILD_USAGE);
  return found;
}

/** Files and folders that are read; the recipe has them too, but not the lock. */
function inputPaths(values: Values): readonly string[] {
  return INPUTS.flatMap((name) => (values[name] ?? []) as string | readonly string[]).filter((path) => path !== "none");
}

/** Paths are relative to the output's folder, so that the manifest means the same in another clone; others as given. */
function toRecipe(values: Values, base: string): Recipe {
  const path = (given: string): string => {
    const found = relative(base, resolve(given)) || ".";
    return given === "none" || (isAbsolute(given) && found.startsWith("..")) ? given : found;
  };
  const platform = oneOf("platform", required(values, "platform"), ["mock", "emulated", "nitro"] as const);
  const architecture = optional(values, "architecture", "x86_64");
  return {
    platform,
    architecture: oneOf("architecture", architecture, ["x86_64", "arm64"] as const),
    name: optional(values, "name", "app"),
    version: optional(values, "image-version", "0"),
    boot: platform === "mock" ? { kind: "none" } : toBoot(values, platform, path),
    init:
      values["init"] === undefined
        ? { kind: "compiled", compiler: basename(optional(values, "compiler", "cc")) }
        : { kind: "file", path: path(required(values, "init")) },
    source: toSource(values, platform, path),
  };
}

function toBoot(values: Values, platform: "emulated" | "nitro", path: (given: string) => string): Boot {
  if (platform === "nitro") {
    return { kind: "blobs", folder: path(optional(values, "blobs", "/usr/share/nitro_enclaves/blobs")) };
  }
  const folder = required(values, "modules");
  return {
    kind: "kernel",
    kernel: path(required(values, "kernel")),
    cmdline: optional(values, "cmdline", EMULATED_CMDLINE),
    modules: EMULATED_MODULES.map((name) => path(join(folder, name))),
  };
}

const APP_OPTIONS = ["node", "libraries", "native", "roots", "config"];

function toSource(values: Values, platform: Recipe["platform"], path: (given: string) => string): Source {
  const kinds = (["app", "rootfs", "archive"] as const).filter((kind) => values[kind] !== undefined);
  const [kind, ...more] = kinds;
  if (kind === undefined || more.length > 0) {
    throw new UsageError("one of --app, --rootfs and --archive is needed", BUILD_USAGE);
  }
  const input = path(required(values, kind));
  const isAlone = APP_OPTIONS.every((name) => values[name] === undefined);
  if (kind !== "app" && !isAlone) throw new UsageError(`--${APP_OPTIONS.join(", --")} go with --app`, BUILD_USAGE);
  if (kind === "rootfs") return { kind, folder: input, exec: path(required(values, "exec")) };
  if (kind === "archive") return { kind, file: input };
  const isMock = platform === "mock";
  return {
    kind,
    folder: input,
    node: isMock ? "none" : path(required(values, "node")),
    libraries: isMock ? [] : ((values["libraries"] ?? []) as readonly string[]).map(path),
    native: isMock ? "none" : path(required(values, "native")),
    roots: path(optional(values, "roots", "none")),
    config: path(optional(values, "config", "none")),
  };
}

async function readPins(values: Values, id: string): Promise<ImageLock[string] | "unlocked"> {
  const isUnlocked = values["unlocked"] === true;
  if (isUnlocked === (values["lock"] !== undefined)) {
    throw new UsageError("one of --lock and --unlocked is needed", BUILD_USAGE);
  }
  if (isUnlocked) return "unlocked";
  const lock = await readLock(required(values, "lock"), "must be there");
  return lock[id] ?? {};
}

async function readLock(path: string, absence: "may be missing" | "must be there"): Promise<ImageLock> {
  try {
    return parseLock(new Uint8Array(await readFile(path)), path);
  } catch (cause) {
    if (cause instanceof EifError) throw cause;
    const { code = "unreadable" } = cause as NodeJS.ErrnoException;
    if (code === "ENOENT" && absence === "may be missing") return {};
    throw new EifError("ERR_EIF_FILE", { path, reason: code }, { cause });
  }
}
