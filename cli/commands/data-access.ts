/**
 * What `cloister data seal` and `data open` have in common: key, context, KMS client, and a file that is whole or not there.
 *
 * Credentials are found as the AWS SDK finds them; none is an option, since other users see a command's arguments.
 *
 * @module
 */
import { createReadStream, rmSync } from "node:fs";
import { open, realpath, rename, rm } from "node:fs/promises";
import { KMS } from "@aws-sdk/client-kms";
import { kmsFailure } from "../../enclave/kms/failures.ts";
import { checkContext, type EncryptionContext } from "../../shared/envelope/context.ts";
import { checkKeyArn, type KmsCalls } from "../../shared/envelope/materials.ts";
import { ConfigError } from "../../shared/errors/index.ts";
import { readArguments } from "../arguments.ts";
import { UsageError } from "../terminal.ts";

export interface DataCommand {
  readonly input: string;
  readonly output: string;
  readonly keyArn: string;
  readonly context: EncryptionContext;
  readonly kms: KmsCalls & { destroy(): void };
  readonly isJson: boolean;
}

/** The command, or `undefined` where only help is asked for. @throws {UsageError} */
export function readDataCommand(args: readonly string[], usage: string): DataCommand | undefined {
  const string = { type: "string" } as const;
  const boolean = { type: "boolean" } as const;
  const context = { type: "string", multiple: true } as const;
  const options = { key: string, context, output: string, endpoint: string, json: boolean, help: boolean };
  const { values, positionals } = readArguments(args, { options, operands: 1, usage });
  if (values["help"]) return undefined;
  const required = (name: string): string => {
    const value = values[name];
    if (typeof value !== "string" || value === "") throw new UsageError(`--${name} is missing`, usage);
    return value;
  };
  const keyArn = required("key");
  const pairs = (values["context"] ?? []) as unknown as readonly string[];
  const checked = orUsage(usage, () => {
    checkKeyArn(keyArn);
    return checkContext(readPairs(pairs));
  });
  const endpoint = values["endpoint"] === undefined ? {} : { endpoint: required("endpoint") };
  const kms = new KMS({ region: keyArn.split(":")[3] ?? "", ...endpoint });
  const [input = ""] = positionals;
  return { input, output: required("output"), keyArn, context: checked, kms, isJson: values["json"] === true };
}

function readPairs(given: readonly string[]): EncryptionContext {
  const pairs = given.map((text) => {
    const [, name, value] = /^([^=]+)=(.*)$/s.exec(text) ?? [];
    if (name === undefined || value === undefined) throw new TypeError("--context is NAME=VALUE");
    return [name, value] as const;
  });
  if (new Set(pairs.map(([name]) => name)).size !== pairs.length) throw new TypeError("--context has a name twice");
  return Object.fromEntries(pairs);
}

function orUsage<Value>(usage: string, act: () => Value): Value {
  try {
    return act();
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error), usage);
  }
}

const SIGNALS = ["SIGINT", "SIGTERM", "SIGHUP"] as const;

/** The bytes of a file from its beginning; it is opened when the first are asked for. */
export async function* readPieces(path: string): AsyncGenerator<Uint8Array, void> {
  yield* createReadStream(path, { highWaterMark: 1 << 18 });
}

/**
 * Writes a stream to a file that appears when it is whole, readable by this user only; gives how many bytes.
 *
 * @throws {ConfigError} `ERR_CONFIG_FILE`; and what the stream threw, then nothing is left
 */
export async function writeWhole(stream: AsyncIterable<Uint8Array>, { input, output }: DataCommand): Promise<number> {
  if (input !== "-" && (await isSameFile(input, output)))
    throw new ConfigError("ERR_CONFIG_FILE", { path: output, reason: "it is the input" });
  const draft = `${output}.${process.pid}.part`;
  const file = await open(draft, "wx", 0o600).catch((cause: unknown) => fileFailure(output, cause));
  let size = 0;
  // What is not whole does not stay, whatever ends this process.
  const onSignal = (signal: NodeJS.Signals): void => {
    rmSync(draft, { force: true });
    process.kill(process.pid, signal);
  };
  for (const name of SIGNALS) process.once(name, onSignal);
  try {
    for await (const piece of stream) {
      size += piece.length;
      await file.writeFile(piece).catch((cause: unknown) => fileFailure(output, cause));
    }
    await file.sync();
    await file.close();
    await rename(draft, output).catch((cause: unknown) => fileFailure(output, cause));
    return size;
  } catch (error) {
    await file.close().catch(() => undefined); // the first failure is told
    await rm(draft, { force: true });
    throw asRefusal(error, input);
  } finally {
    for (const name of SIGNALS) process.off(name, onSignal);
  }
}

async function isSameFile(input: string, output: string): Promise<boolean> {
  const [one, other] = await Promise.all([input, output].map((path) => realpath(path).catch(() => path)));
  return one === other;
}

function fileFailure(path: string, cause: unknown): never {
  const { code = "not usable" } = cause as NodeJS.ErrnoException;
  throw new ConfigError("ERR_CONFIG_FILE", { path, reason: code }, { cause });
}

/** A file that can not be read is one thing, a KMS that refuses another. */
function asRefusal(error: unknown, input: string): unknown {
  const { syscall, code } = error as NodeJS.ErrnoException;
  if ((syscall === "open" || syscall === "read") && code !== undefined)
    return new ConfigError("ERR_CONFIG_FILE", { path: input, reason: code }, { cause: error });
  return error instanceof RangeError || error instanceof TypeError ? error : kmsFailure("KMS", error);
}
