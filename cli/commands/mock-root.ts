/**
 * Reads the file of a mock root, the secret of whoever develops an enclave without hardware.
 *
 * @module
 */
import type { MockRoot } from "../../mock/nsm/pki.ts";
import { rootFromJson } from "../../mock/nsm/root-file.ts";
import { readOwnFile } from "../../parent/config/file.ts";
import { ConfigError } from "../../shared/errors/index.ts";

/** @throws {ConfigError} not there, readable by others, or something else; says nothing of what it holds */
export async function readMockRoot(path: string): Promise<MockRoot> {
  const text = await readOwnFile(path, { isSecret: true });
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    // No cause: V8's message quotes the text.
    throw new ConfigError("ERR_CONFIG_FILE", { path, reason: "not JSON" });
  }
  return rootFromJson(value);
}
