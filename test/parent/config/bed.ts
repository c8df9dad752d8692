/** Files for the reader of parent.yaml, and what it says to them. */
import { chmodSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseParentConfig } from "../../../parent/config/read.ts";
import { isConfigError } from "../../../shared/errors/index.ts";
import { scratchFolder } from "../../transport/streams.ts";

/** The smallest file, and one with a way out. */
export const RUN = "enclave:\n  platform: nitro\n  image: app.eif\n";
export const EGRESS = `${RUN}egress:\n  allowlist:\n    - kms.eu-central-1.amazonaws.com:443\n`;

const folder = scratchFolder();
let files = 0;

export function configFile(text: string | Uint8Array, mode = 0o644): string {
  const path = join(folder, `${++files}.yaml`);
  writeFileSync(path, text);
  chmodSync(path, mode);
  return path;
}

/** A refusal as `code field at`, without the file's name; `taken` where there is none. */
export function verdict(text: string): string {
  try {
    parseParentConfig(text, "parent.yaml");
    return "taken";
  } catch (error) {
    return shown(error);
  }
}

export function shown(error: unknown): string {
  if (!isConfigError(error)) throw error;
  const { details } = error;
  if ("line" in details) return `${error.code} ${details.line}:${details.column}`;
  if (!("field" in details)) return error.code;
  const at = details.at?.replace(/^.*?:(?=[0-9]+:[0-9]+$)/, "") ?? "nowhere";
  return `${error.code.replace("ERR_CONFIG_FIELD_", "")} ${details.field} ${at}`;
}
