/**
 * Reads a command's arguments and the files they name.
 *
 * @module
 */
import { createReadStream } from "node:fs";
import { type ParseArgsConfig, parseArgs } from "node:util";
import { ConfigError } from "../shared/errors/index.ts";
import { UsageError } from "./terminal.ts";

/** From standard input: a document is at most 32 KiB; as hex twice that. */
const STDIN_MAX = 1024 * 1024;
/** A file that is named may be a data set; a device has no end. */
const FILE_MAX = 64 * 1024 * 1024;

type Options = NonNullable<ParseArgsConfig["options"]>;

export interface Arguments {
  readonly values: Readonly<Record<string, string | boolean | undefined>>;
  readonly positionals: readonly string[];
}

/** @throws {UsageError} an option that is not known, or that stands twice, or another number of operands */
export function readArguments(
  args: readonly string[],
  { options, operands, usage }: { readonly options: Options; readonly operands: number; readonly usage: string },
): Arguments {
  let parsed: Arguments;
  try {
    const config = { args: [...args], options, allowPositionals: true, strict: true, tokens: true } as const;
    const { values, positionals, tokens } = parseArgs(config);
    assertOnce(tokens, options);
    parsed = { values: values as Arguments["values"], positionals };
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error), usage);
  }
  if (parsed.positionals.length !== operands && !parsed.values["help"] && !parsed.values["version"]) {
    throw new UsageError(`expected ${operands} operand(s), got ${parsed.positionals.length}`, usage);
  }
  return parsed;
}

/** Of two values the first would be taken for nothing, and not be looked at. */
function assertOnce(tokens: readonly { readonly kind: string; readonly name?: string }[], options: Options): void {
  const given = new Set<string>();
  for (const { kind, name } of tokens) {
    if (kind !== "option" || name === undefined || options[name]?.multiple) continue;
    if (given.has(name)) throw new TypeError(`--${name} stands twice`);
    given.add(name);
  }
}

/** The bytes of a file or pipe, or of standard input for `-`: so many and no more. @throws {ConfigError} `ERR_CONFIG_FILE` */
export async function readInput(path: string): Promise<Uint8Array> {
  const [input, most] = path === "-" ? [process.stdin, STDIN_MAX] : [createReadStream(path), FILE_MAX];
  try {
    const chunks: Buffer[] = [];
    let size = 0;
    for await (const chunk of input) {
      size += (chunk as Buffer).length;
      if (size > most) throw new ConfigError("ERR_CONFIG_FILE", { path, reason: `more than ${most} bytes` });
      chunks.push(chunk as Buffer);
    }
    return new Uint8Array(Buffer.concat(chunks));
  } catch (cause) {
    if (cause instanceof ConfigError) throw cause;
    const { code = "unreadable" } = cause as { code?: string };
    throw new ConfigError("ERR_CONFIG_FILE", { path, reason: code }, { cause });
  }
}

/** A JSON object from a file. @throws {ConfigError} `ERR_CONFIG_FILE` */
export async function readJson(path: string): Promise<Readonly<Record<string, unknown>>> {
  const bytes = await readInput(path);
  try {
    const value: unknown = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
    if (typeof value === "object" && value !== null && !Array.isArray(value)) return value as Record<string, unknown>;
  } catch {
    // No cause: V8's message quotes the text.
    throw new ConfigError("ERR_CONFIG_FILE", { path, reason: "not JSON" });
  }
  throw new ConfigError("ERR_CONFIG_FILE", { path, reason: "not a JSON object" });
}

/** Bytes in the encoding that the caller named; never guessed. */
export function decodeAs(encoding: string, bytes: Uint8Array, path: string): Uint8Array {
  if (encoding === "raw") return bytes;
  const text = new TextDecoder().decode(bytes).replace(/\s+/g, "");
  const isEncoded =
    encoding === "hex" ? /^([0-9a-fA-F]{2})+$/ : /^([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/;
  if (!isEncoded.test(text)) throw new ConfigError("ERR_CONFIG_FILE", { path, reason: `not ${encoding}` });
  return new Uint8Array(Buffer.from(text, encoding === "hex" ? "hex" : "base64"));
}
