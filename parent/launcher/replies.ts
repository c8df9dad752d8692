/**
 * Reads what `nitro-cli` prints: JSON after lines for people, with fields that came and went between its versions.
 *
 * What a launcher needs must be there and of its type. Measurements came with nitro-cli 1.2; the name is not needed.
 *
 * Source: aws-nitro-enclaves-cli, `src/common/json_output.rs`.
 *
 * @module
 */
import { LauncherError } from "../../shared/errors/launcher.ts";
import type { EnclaveDescription } from "../../shared/launcher.ts";

/** What `run-enclave` and `describe-enclaves` both tell of an enclave. */
export interface NitroEnclave {
  readonly enclaveId: string;
  readonly processId: number;
  readonly cid: number;
  readonly cpuCount: number;
  readonly memoryMiB: number;
}

export interface DescribedNitroEnclave extends NitroEnclave {
  readonly state: EnclaveDescription["state"];
  readonly debug: boolean;
  readonly pcrs: Readonly<Record<string, string>>;
}

type Fields = Readonly<Record<string, unknown>>;

/** @throws {LauncherError} `ERR_LAUNCHER_TOOL_ANSWER` */
export function readStarted(output: string): NitroEnclave {
  const tool = "nitro-cli run-enclave";
  return identity(tool, object(tool, json(tool, output)));
}

/** `EMPTY`: there is nothing in it that runs. */
const STATES: Readonly<Record<string, EnclaveDescription["state"]>> = {
  RUNNING: "running",
  TERMINATING: "terminating",
  EMPTY: "exited",
};

/**
 * All enclaves, or the one of an id: then what is told of others does not matter.
 *
 * @throws {LauncherError} `ERR_LAUNCHER_TOOL_ANSWER`
 */
export function readDescribed(output: string, enclaveId?: string): readonly DescribedNitroEnclave[] {
  const tool = "nitro-cli describe-enclaves";
  const list = json(tool, output);
  if (!Array.isArray(list)) throw answer(tool, "a list");
  const entries: readonly unknown[] = list;
  return entries.filter((entry) => enclaveId === undefined || idOf(entry) === enclaveId).map(described);
}

function idOf(entry: unknown): unknown {
  return (entry as Fields | null)?.["EnclaveID"];
}

function described(entry: unknown): DescribedNitroEnclave {
  const tool = "nitro-cli describe-enclaves";
  const fields = object(tool, entry);
  const { State: name, Flags: flags, Measurements: measurements = {} } = fields;
  const state = typeof name === "string" && Object.hasOwn(STATES, name) ? STATES[name] : undefined;
  if (state === undefined) throw answer(tool, `State is one of ${Object.keys(STATES).join(", ")}`);
  if (typeof flags !== "string") throw answer(tool, "Flags is text");
  return {
    ...identity(tool, fields),
    state,
    // AWS's page says "Debug", its program "DEBUG_MODE".
    debug: /debug/i.test(flags),
    pcrs: registers(object(tool, measurements)),
  };
}

/** @throws {LauncherError} `ERR_LAUNCHER_TOOL_ANSWER` it does not say that this enclave was terminated */
export function readTerminated(output: string, enclaveId: string): void {
  const tool = "nitro-cli terminate-enclave";
  const { EnclaveID: id, Terminated: terminated } = object(tool, json(tool, output));
  if (id !== enclaveId || terminated !== true) throw answer(tool, "this EnclaveID and Terminated true");
}

function identity(tool: string, fields: Fields): NitroEnclave {
  const { EnclaveID: enclaveId } = fields;
  if (typeof enclaveId !== "string") throw answer(tool, "EnclaveID is text");
  const integer = (field: string): number => {
    const value = fields[field];
    if (typeof value !== "number" || !Number.isSafeInteger(value) || value < 0)
      throw answer(tool, `${field} is a number`);
    return value;
  };
  return {
    enclaveId,
    processId: integer("ProcessID"),
    cid: integer("EnclaveCID"),
    cpuCount: integer("NumberOfCPUs"),
    memoryMiB: integer("MemoryMiB"),
  };
}

function registers(measurements: Fields): Readonly<Record<string, string>> {
  const found = Object.entries(measurements).flatMap(([name, value]) => {
    const index = /^PCR([0-9]{1,2})$/.exec(name)?.[1];
    return index !== undefined && typeof value === "string" ? [[index, value.toLowerCase()] as const] : [];
  });
  return Object.fromEntries(found);
}

/** The first line that opens JSON, and all that follows. */
function json(tool: string, output: string): unknown {
  const start = output.search(/^[[{]/m);
  try {
    if (start >= 0) return JSON.parse(output.slice(start));
  } catch (cause) {
    throw new LauncherError("ERR_LAUNCHER_TOOL_ANSWER", { tool, rule: "JSON" }, { cause });
  }
  throw answer(tool, "JSON");
}

function object(tool: string, value: unknown): Fields {
  if (typeof value !== "object" || value === null || Array.isArray(value)) throw answer(tool, "an object");
  return value as Fields;
}

function answer(tool: string, rule: string): LauncherError {
  return new LauncherError("ERR_LAUNCHER_TOOL_ANSWER", { tool, rule: `expected ${rule}` });
}
