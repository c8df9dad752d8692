/**
 * Reads a configuration file that only its owner may have written.
 *
 * Who may write it decides what the enclave reaches and where its log goes. So it is a plain file that belongs to root
 * or to this user, and nobody else may write it. It is opened once: what is checked is what is read.
 *
 * @module
 */
import { constants } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { ConfigError } from "../../shared/errors/index.ts";
import { codeOf } from "../observability/observe.ts";

/** 10 000 allowlist entries of the longest names are less. */
const BYTES_MAX = 4 * 1_048_576;
const WRITABLE_BY_OTHERS = 0o022;
const OPEN_TO_OTHERS = 0o077;

export interface FileRules {
  /** Whether nobody but its owner may read it: for what is a secret. */
  readonly isSecret?: boolean;
}

/** @throws {ConfigError} `ERR_CONFIG_FILE` */
export async function readOwnFile(path: string, { isSecret = false }: FileRules = {}): Promise<string> {
  const refused = (reason: string, cause?: unknown): ConfigError =>
    new ConfigError("ERR_CONFIG_FILE", { path, reason }, { cause });
  let file: FileHandle;
  try {
    // A pipe would be waited for.
    file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOCTTY);
  } catch (cause) {
    throw refused(codeOf(cause), cause);
  }
  try {
    const stat = await file.stat();
    if (!stat.isFile()) throw refused("not a plain file");
    if (stat.uid !== 0 && stat.uid !== process.getuid?.()) throw refused("its owner is neither root nor this user");
    if ((stat.mode & WRITABLE_BY_OTHERS) !== 0) throw refused("others may write it: chmod go-w");
    if (isSecret && (stat.mode & OPEN_TO_OTHERS) !== 0) throw refused("others may read it: chmod 600");
    if (stat.size > BYTES_MAX) throw refused(`more than ${BYTES_MAX} bytes`);
    return decode(await readUpTo(file, BYTES_MAX), refused);
  } catch (cause) {
    if (cause instanceof ConfigError) throw cause;
    throw refused(codeOf(cause), cause);
  } finally {
    await file.close();
  }
}

async function readUpTo(file: FileHandle, most: number): Promise<Uint8Array> {
  const bytes = Buffer.alloc(most);
  let length = 0;
  for (;;) {
    const { bytesRead } = await file.read(bytes, length, most - length, length);
    if (bytesRead === 0) return bytes.subarray(0, length);
    length += bytesRead;
  }
}

function decode(bytes: Uint8Array, refused: (reason: string, cause?: unknown) => ConfigError): string {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch (cause) {
    throw refused("not UTF-8", cause);
  }
}
