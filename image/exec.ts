/**
 * Writes what an image's init runs: `/cloister/exec`, read by `image/init/app.c`.
 *
 * Strings, each ended by a NUL, to the last byte of the file:
 *
 *   "cloister.exec.1", working directory, uid, gid, program, number of variables, the variables,
 *   number of arguments, the arguments
 *
 * One text, one meaning: counts stand before what they count, numbers are decimal without leading zeros, and nothing is
 * looked up when it runs. The program is an absolute path; the environment holds these variables and no other.
 *
 * @module
 */
import { utf8 } from "../shared/bytes.ts";
import { EifError } from "../shared/errors/eif.ts";
import { parseRecord } from "./lock.ts";

export interface Exec {
  /** Absolute path in the image. */
  readonly program: string;
  /** With the name that the program sees as its own; at least one, at most 1 024. */
  readonly arguments: readonly string[];
  /** Working directory, absolute. */
  readonly directory: string;
  readonly uid: number;
  readonly gid: number;
  /** `NAME=value`, at most 1 024. */
  readonly environment: readonly string[];
}

const VERSION = "cloister.exec.1";
const STRINGS_MAX = 1024;
const BYTES_MAX = 128 * 1024;
const ID_MAX = 0xffff_fffe;

/**
 * @throws {EifError} `ERR_EIF_INPUT` what init would refuse
 */
export function writeExec({ program, arguments: args, directory, uid, gid, environment }: Exec): Uint8Array {
  const refuse = (rule: string): never => {
    throw new EifError("ERR_EIF_INPUT", { input: "what the image runs", rule });
  };
  if (!program.startsWith("/")) refuse("the program is an absolute path");
  if (!directory.startsWith("/")) refuse("the working directory is an absolute path");
  for (const id of [uid, gid]) if (!Number.isInteger(id) || id < 0 || id > ID_MAX) refuse("an owner has 32 bits");
  if (args.length < 1 || args.length > STRINGS_MAX) refuse(`it has 1 to ${STRINGS_MAX} arguments`);
  if (environment.length > STRINGS_MAX) refuse(`it has at most ${STRINGS_MAX} variables`);
  if (environment.some((variable) => !/^[^=]+=/s.test(variable))) refuse("a variable is NAME=value");
  const counted = (list: readonly string[]): string[] => [String(list.length), ...list];
  const strings = [VERSION, directory, String(uid), String(gid), program, ...counted(environment), ...counted(args)];
  if (strings.some((text) => text.includes("\0"))) refuse("no text has a NUL byte");
  const bytes = utf8(strings.map((text) => `${text}\0`).join(""));
  if (bytes.length > BYTES_MAX) refuse(`it takes at most ${BYTES_MAX} bytes`);
  return bytes;
}

/**
 * Reads an `Exec` from JSON: every field, and no other.
 *
 * @param label names the file in errors
 * @throws {EifError} `ERR_EIF_INPUT`
 */
export function parseExec(bytes: Uint8Array, label: string): Exec {
  const { program, arguments: args, directory, uid, gid, environment, ...rest } = parseRecord(bytes, label);
  const isText = (value: unknown): value is string => typeof value === "string";
  const areTexts = (value: unknown): value is string[] => Array.isArray(value) && value.every(isText);
  if (Object.keys(rest).length > 0 || !isText(program) || !isText(directory)) throw malformed(label);
  if (!areTexts(args) || !areTexts(environment) || typeof uid !== "number" || typeof gid !== "number") {
    throw malformed(label);
  }
  return { program, arguments: args, directory, uid, gid, environment };
}

function malformed(input: string): EifError {
  const rule = "has program, arguments, directory, uid, gid and environment, nothing else";
  return new EifError("ERR_EIF_INPUT", { input, rule });
}
