/**
 * Writes what a build gives, each file whole or not at all.
 *
 * A file that has the name already is replaced, since a build gives the same bytes again; what the build reads never is,
 * and nothing is written into a folder that is read.
 *
 * @module
 */
import { randomBytes } from "node:crypto";
import { realpath, rename, rm, writeFile } from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";
import { EifError } from "../../shared/errors/index.ts";

/** @throws {EifError} `ERR_EIF_OUTPUT` an output is an input, is in one, or comes twice */
export async function checkOutputs(outputs: readonly string[], inputs: readonly string[]): Promise<void> {
  const places = new Set<string>();
  for (const input of inputs) {
    const named = await place(input);
    // A link to an input is an input as well as what it leads to.
    places.add(named).add(await realpath(named).catch(() => named));
  }
  for (const output of outputs) {
    for (let at = await place(output); ; at = dirname(at)) {
      if (places.has(at)) throw new EifError("ERR_EIF_OUTPUT", { path: output, reason: "is an input, or in one" });
      if (at === dirname(at)) break;
    }
  }
  const written = new Set(await Promise.all(outputs.map(place)));
  if (written.size < outputs.length) {
    throw new EifError("ERR_EIF_OUTPUT", { path: outputs.at(-1) ?? "", reason: "is written twice" });
  }
}

/** One path for one name in one folder, whatever links lead to the folder. */
async function place(path: string): Promise<string> {
  const whole = resolve(path);
  const folder = await realpath(dirname(whole)).catch(() => dirname(whole));
  return join(folder, basename(whole));
}

/**
 * Under another name first: whoever finds the file finds all of it. The name is new, and so is the file: no link that
 * waits there is written through, and no other's file is removed.
 *
 * @throws {EifError} `ERR_EIF_OUTPUT`
 */
export async function save(path: string, parts: Iterable<string | Uint8Array>): Promise<void> {
  const part = `${path}.${randomBytes(8).toString("hex")}.part`;
  try {
    await writeFile(part, "", { flag: "wx" });
    try {
      await writeFile(part, parts, { flag: "r+" });
      await rename(part, path);
    } catch (cause) {
      await rm(part, { force: true });
      throw cause;
    }
  } catch (cause) {
    const { code = "unwritable" } = cause as NodeJS.ErrnoException;
    throw new EifError("ERR_EIF_OUTPUT", { path, reason: code }, { cause });
  }
}
