/**
 * The AWS CLI of one world: what it answers to a command, and what it is refused with.
 *
 * Most of a command's time is Python's, which reads the CLI's modules. `aws_cli_forks.py` reads them once, and runs each
 * command in a fork of itself; `program` runs the installed program.
 *
 * @module
 */
import { spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { AWS, PYTHON, type Ran, run, startWorld, type World } from "./world.ts";

export type Output = Readonly<Record<string, unknown>>;
export type Parameters = Readonly<Record<string, string | number | boolean | object>>;
export type Environment = Readonly<Record<string, string>>;

export interface Cli extends AsyncDisposable {
  readonly world: World;
  /** The answer to e.g. `kms create-key`. */
  call(command: string, parameters?: Parameters, environment?: Environment): Promise<Output>;
  /** The error that the CLI names in its message; `accepted` where there is none. */
  refusal(command: string, parameters?: Parameters, environment?: Environment): Promise<string>;
  /** As the installed program says it. */
  program(command: string, environment?: Environment): Promise<Ran>;
  /** Bytes as the CLI takes them from a file. */
  fileOf(bytes: Uint8Array): string;
}

export async function startCli(): Promise<Cli> {
  const world = await startWorld();
  const forks = startForks(world);
  const { AWS_ENDPOINT_URL: url = "", ...own } = world.environment;
  const argumentsOf = (command: string, parameters: Parameters = {}): readonly string[] => [
    ...[...command.split(" "), "--endpoint-url", url, "--output", "json"],
    ...flagsOf(parameters),
  ];
  const attempt = (command: string, parameters: Parameters = {}, environment: Environment = {}): Promise<Ran> =>
    forks.run(argumentsOf(command, parameters), { ...own, ...environment });
  return {
    world,
    call: async (command, parameters, environment) => {
      const { status, stdout, stderr } = await attempt(command, parameters, environment);
      if (status !== 0) throw new Error(`${command}: ${stderr}`);
      return (stdout.trim() === "" ? {} : JSON.parse(stdout)) as Output;
    },
    refusal: async (command, parameters, environment) => {
      const { status, stderr } = await attempt(command, parameters, environment);
      if (status === 0) return "accepted";
      return /An error occurred \((\w+)\)/.exec(stderr)?.[1] ?? stderr;
    },
    program: (command, environment = {}) =>
      run({ ...world, environment: own }, [AWS, ...argumentsOf(command)], { environment }),
    fileOf: (bytes) => {
      const path = join(world.folder, randomBytes(8).toString("hex"));
      writeFileSync(path, bytes);
      return `fileb://${path}`;
    },
    [Symbol.asyncDispose]: async () => {
      await forks.end();
      await world[Symbol.asyncDispose]();
    },
  };
}

/** `keyId` → `--key-id`; true is a flag; other objects are JSON; bytes go in and out in base64, as in CLI version 2. */
function flagsOf(parameters: Parameters): readonly string[] {
  return Object.entries(parameters).flatMap(([name, value]) => {
    const flag = `--${name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;
    return value === true ? [flag] : [flag, typeof value === "object" ? JSON.stringify(value) : String(value)];
  });
}

interface Forks {
  run(args: readonly string[], environment: Environment): Promise<Ran>;
  end(): Promise<void>;
}

function startForks({ folder, environment }: World): Forks {
  const script = fileURLToPath(new URL("aws_cli_forks.py", import.meta.url));
  const parent = spawn(PYTHON, [script], { env: environment, stdio: ["pipe", "pipe", "inherit"] });
  const waiting = new Map<string, (status: number) => void>();
  const ended = new Promise<void>((done) => parent.once("close", () => done()));
  parent.stdin.on("error", () => {}); // It has ended: who waits is told.
  createInterface({ input: parent.stdout }).on("line", (line) => {
    const [id = "", status] = line.split(" ");
    waiting.get(id)?.(Number(status));
    waiting.delete(id);
  });
  let commands = 0;
  return {
    run: async (args, given) => {
      const id = `command-${++commands}`;
      const answered = new Promise<number>((done) => waiting.set(id, done));
      parent.stdin.write(`${JSON.stringify({ id, arguments: args, environment: given, folder })}\n`);
      const status = await Promise.race([answered, ended]);
      if (status === undefined) throw new Error("the parent of the forks has ended");
      const [stdout, stderr] = ["out", "err"].map((end) => readFileSync(join(folder, `${id}.${end}`), "utf8"));
      return { status, stdout: stdout ?? "", stderr: stderr ?? "" };
    },
    end: () => {
      parent.stdin.end();
      return ended;
    },
  };
}
