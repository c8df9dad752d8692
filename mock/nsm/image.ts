/**
 * Takes an enclave image apart, the way the mock hypervisor runs it: read once, measured and unpacked from those bytes.
 *
 * @module
 */
import { constants } from "node:fs";
import { mkdir, open, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { readCpio } from "../../shared/eif/cpio.ts";
import { type EifMeasurements, measureEif } from "../../shared/eif/measure.ts";
import { readOpenFile } from "../../shared/eif/open-file.ts";
import { readEif } from "../../shared/eif/read.ts";
import { EifError } from "../../shared/errors/eif.ts";

/** An image that can be run: what it measures to, and the files of its application. */
export interface LoadedImage {
  readonly measurements: EifMeasurements;
  /** By path, each under `app/`. Views of the bytes that were measured. */
  readonly files: ReadonlyMap<string, Uint8Array>;
}

/** What is started, in the image's last ramdisk. */
export const ENTRY = "app/main.mjs";

/**
 * @throws {EifError} not a regular file, not an image, or without an application that runs here
 */
export async function loadImage(path: string): Promise<LoadedImage> {
  const eif = readEif(await readOnce(path));
  const ramdisk = eif.ramdisks.at(-1);
  if (!ramdisk || eif.ramdisks.length < 2) {
    throw new EifError("ERR_EIF_ARCHIVE", { entry: ENTRY, rule: "the image has no ramdisk for an application" });
  }
  const files = new Map<string, Uint8Array>();
  for (const entry of readCpio(ramdisk)) {
    if (entry.path !== "app" && !entry.path.startsWith("app/")) {
      throw new EifError("ERR_EIF_ARCHIVE", { entry: entry.path, rule: "all files are under app/" });
    }
    if (entry.kind === "file") files.set(entry.path, entry.data);
  }
  if (!files.has(ENTRY)) throw new EifError("ERR_EIF_ARCHIVE", { entry: ENTRY, rule: "the application has this file" });
  return { measurements: await measureEif(eif), files };
}

/** Writes the files below a folder that is empty; nothing is overwritten. */
export async function unpack(files: ReadonlyMap<string, Uint8Array>, folder: string): Promise<void> {
  for (const [path, bytes] of files) {
    const target = join(folder, path);
    await mkdir(join(target, ".."), { recursive: true, mode: 0o700 });
    await writeFile(target, bytes, { flag: "wx", mode: 0o400 });
  }
}

async function readOnce(path: string): Promise<Uint8Array> {
  try {
    await using file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
    return await readOpenFile(file, path);
  } catch (cause) {
    if (cause instanceof EifError) throw cause;
    const reason = (cause as NodeJS.ErrnoException).code ?? "unreadable";
    throw new EifError("ERR_EIF_FILE", { path, reason }, { cause });
  }
}
