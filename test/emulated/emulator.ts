/**
 * Where the emulator is: `CLOISTER_EMULATOR`, or what `make emulator` left in the cache. Without either the suites that
 * need it are skipped by name; one that is named and is none is an error.
 *
 * @module
 */
import { existsSync, readFileSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import type { EmulatorFiles } from "../../mock/emulator/commands.ts";

function locate(): string | undefined {
  const named = process.env["CLOISTER_EMULATOR"];
  if (named !== undefined) return named;
  const pointer = join(process.env["XDG_CACHE_HOME"] ?? join(homedir(), ".cache"), "cloister", "emulator-current");
  return existsSync(pointer) ? readFileSync(pointer, "utf8").trim() : undefined;
}

const folder = locate();

export const hasEmulator: boolean = folder !== undefined;
if (folder !== undefined && !existsSync(join(folder, "qemu-system-x86_64")))
  throw new Error(`no emulator in ${folder}`);

export const emulator: EmulatorFiles = { folder: folder ?? "" };
