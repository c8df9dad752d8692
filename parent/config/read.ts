/**
 * Reads `parent.yaml`: what `cloister parent up` runs.
 *
 *   1. open      a file that only its owner may have written                    file.ts
 *   2. parse     strict YAML, with the place of each field                      yaml.ts
 *   3. form      against the published schema                                   form.ts, schema.ts
 *   4. together  what fields must be to each other, and what they name          together.ts
 *
 * Fails closed: a file with any mistake is no configuration. Every mistake in it names file, line and column; what the
 * host and other files are to it is found out at the start.
 *
 * @module
 */
import { dirname, resolve } from "node:path";
import { readOwnFile } from "./file.ts";
import { checkForm, withDefaults } from "./form.ts";
import type { ParentConfig, ParentFile } from "./parent-config.ts";
import { PARENT_SCHEMA } from "./schema.ts";
import { Together } from "./together.ts";
import { parseStrictYaml } from "./yaml.ts";

/** @throws {ConfigError} names file, line and column */
export async function readParentConfig(path: string): Promise<ParentConfig> {
  return parseParentConfig(await readOwnFile(path), path);
}

/** The same of text that has been read. @param path how errors call it, and from where relative paths are taken */
export function parseParentConfig(text: string, path: string): ParentConfig {
  const yaml = parseStrictYaml(text, { path });
  checkForm(PARENT_SCHEMA, yaml.value, yaml.place);
  const file = yaml.value as unknown as ParentFile; // the schema and the type say the same
  const together = new Together({ place: yaml.place, folder: dirname(resolve(path)) });
  const enclave = together.enclave(file.enclave);
  const config = {
    enclave,
    ...(file.egress && { egress: together.egress(file.egress) }),
    ...(file.ingress && { ingress: together.ingress(file.ingress, enclave) }),
    ...(file.credentials && { credentials: together.credentials(file.credentials) }),
    ...(file.configuration && { configuration: together.configuration(file.configuration) }),
    ...(file.logs && { logs: together.logs(file.logs) }),
    ...(file.metrics && { metrics: together.metrics(file.metrics) }),
    limits: { drainMs: file.limits?.drainMs ?? 30_000 },
    written: { file: withDefaults(PARENT_SCHEMA, yaml.value) as unknown as ParentFile, place: yaml.place },
  };
  together.ports(config);
  return config;
}
