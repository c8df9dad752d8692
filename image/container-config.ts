/**
 * Turns a container image's configuration into what init runs: Entrypoint, Cmd, Env, WorkingDir, User.
 *
 * What Docker looks up at each start is looked up once, in the image's own files: the program in PATH, a user's and a
 * group's number in /etc/passwd and /etc/group. The environment is the image's, measured with it, and nothing is added.
 *
 * Source: OCI image specification 1.1, config.md; Docker's defaults for PATH and for a user without a group.
 *
 * @module
 */
import { utf8 } from "../shared/bytes.ts";
import { EifError } from "../shared/errors/eif.ts";
import type { Exec } from "./exec.ts";
import type { LayeredTree } from "./layers.ts";

/** As the image says it; nothing is believed yet. */
export interface ContainerConfig {
  readonly Entrypoint?: unknown;
  readonly Cmd?: unknown;
  readonly Env?: unknown;
  readonly WorkingDir?: unknown;
  readonly User?: unknown;
}

/** Linux's PATH_MAX, for the variable PATH as well. */
const PATH_MAX = 4096;
const PATH_FOLDERS_MAX = 256;
/** Of /etc/passwd and /etc/group, in bytes. */
const ACCOUNTS_MAX = 1024 * 1024;
const DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/** @throws {EifError} `ERR_EIF_INPUT` */
export function execOf(config: ContainerConfig, tree: LayeredTree): Exec {
  const args = [...list(config.Entrypoint, "Entrypoint"), ...list(config.Cmd, "Cmd")];
  const [name] = args;
  if (name === undefined || name === "") throw refused("Entrypoint or Cmd names a program");
  const environment = list(config.Env, "Env");
  const directory = text(config.WorkingDir, "WorkingDir") || "/";
  if (!directory.startsWith("/") || utf8(directory).length > PATH_MAX) {
    throw refused(`WorkingDir is an absolute path of at most ${PATH_MAX} bytes`);
  }
  const path = environment.findLast((variable) => variable.startsWith("PATH="))?.slice("PATH=".length) ?? DEFAULT_PATH;
  return {
    program: findProgram(name, { tree, directory, path }),
    arguments: args,
    directory,
    environment,
    ...findUser(text(config.User, "User"), tree),
  };
}

function findProgram(
  name: string,
  { tree, directory, path }: { readonly tree: LayeredTree; readonly directory: string; readonly path: string },
): string {
  for (const text of [name, path]) {
    if (utf8(text).length > PATH_MAX) throw refused(`its program and PATH have at most ${PATH_MAX} bytes`);
  }
  const folders = name.startsWith("/") ? [""] : name.includes("/") ? [directory] : path.split(":");
  if (folders.length > PATH_FOLDERS_MAX) throw refused(`PATH has at most ${PATH_FOLDERS_MAX} folders`);
  for (const folder of folders) {
    const place = name.startsWith("/") ? name : `${folder.replace(/\/$/, "")}/${name}`;
    if (utf8(place).length > PATH_MAX) throw refused(`its program's path has at most ${PATH_MAX} bytes`);
    if (place.startsWith("/") && ((tree.resolve(place)?.mode ?? 0) & 0o111) !== 0) return place;
  }
  throw refused("its program is an executable file in the image");
}

function findUser(user: string, tree: LayeredTree): { readonly uid: number; readonly gid: number } {
  if (user === "") return { uid: 0, gid: 0 };
  const [owner = "", group, ...more] = user.split(":");
  if (more.length > 0 || owner === "" || group === "") throw refused("User is a user, or a user and a group");
  const row = rows(tree, "/etc/passwd").find(([name, , uid]) => name === owner || uid === owner);
  const uid = number(owner) ?? number(row?.[2]);
  if (uid === undefined) throw refused("its user is a number or in /etc/passwd");
  if (group === undefined) return { uid, gid: number(row?.[3]) ?? 0 };
  const gid = number(group) ?? number(rows(tree, "/etc/group").find(([name]) => name === group)?.[2]);
  if (gid === undefined) throw refused("its group is a number or in /etc/group");
  return { uid, gid };
}

function rows(tree: LayeredTree, path: string): readonly (readonly string[])[] {
  const bytes = tree.resolve(path)?.data ?? new Uint8Array();
  if (bytes.length > ACCOUNTS_MAX) throw refused(`${path} has at most ${ACCOUNTS_MAX} bytes`);
  return new TextDecoder()
    .decode(bytes)
    .split("\n")
    .map((line) => line.split(":"));
}

function number(text: string | undefined): number | undefined {
  return text !== undefined && /^(0|[1-9][0-9]{0,9})$/.test(text) ? Number(text) : undefined;
}

function text(value: unknown, name: string): string {
  if (value === undefined || value === null) return "";
  if (typeof value !== "string") throw refused(`${name} is text`);
  return value;
}

function list(value: unknown, name: string): readonly string[] {
  if (value === undefined || value === null) return [];
  if (!Array.isArray(value) || !value.every((each) => typeof each === "string")) throw refused(`${name} is texts`);
  return value as string[];
}

function refused(rule: string): EifError {
  return new EifError("ERR_EIF_INPUT", { input: "the image's config", rule });
}
