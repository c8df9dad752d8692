/**
 * The program that an enclave runs: what it is told, how it is signalled, how it ends.
 *
 * It gets the variables of its definition and the toolkit's, and nothing that the parent chose. Its output goes where the
 * enclave's own goes: to the console, which exists in debug mode only; to the parent's log where the definition says so.
 *
 * @module
 */
import { type ChildProcess, spawn } from "node:child_process";
import { constants } from "node:os";
import type { Readable } from "node:stream";
import { EnclaveError } from "../../shared/errors/index.ts";
import type { Token } from "./token.ts";

export interface ProgramOptions {
  readonly command: readonly string[];
  readonly environment: Readonly<Record<string, string>>;
  /** Default: this process's own. */
  readonly directory?: string | undefined;
  /** Gets each line that it writes; without it output goes where this process's goes. */
  readonly onLine?: ((line: string) => void) | undefined;
  /** Between the first request to end and the last resort, in milliseconds. */
  readonly shutdownMs: number;
}

export interface Program {
  /** Its exit code; as in a shell 128 and the signal's number where one ended it. */
  readonly ended: Promise<number>;
  /** Passes a signal on. One that asks for the end is followed by SIGKILL when it does not come. */
  signal(name: NodeJS.Signals): void;
}

/** What the loopback services of one enclave are told to the program by. */
export interface Told {
  readonly service: string;
  readonly proxy: string;
  readonly token: Token;
  /** PEM file of the image's TLS roots. */
  readonly roots: string;
  /** Where the program serves HTTP to the enclave's clients. */
  readonly forward: number | "off";
}

const PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/** The parent cuts longer texts. */
const LINE_MAX = 2_048;
const PIECE = /.{1,2048}/gs;
/** For output that is still under way, when a process that the program left behind holds its end open. */
const LAST_OUTPUT_MS = 1_000;
const ENDING: readonly NodeJS.Signals[] = ["SIGTERM", "SIGINT"];

/** By what names the libraries of other languages look for a way out, for credentials, and for roots. */
export function environmentOf({ service, proxy, token, roots, forward }: Told): Readonly<Record<string, string>> {
  const url = `http://${token.userinfo}@${proxy}`;
  const here = "127.0.0.1,localhost";
  return {
    ...{ PATH, CLOISTER_URL: `http://${service}`, CLOISTER_TOKEN: token.text },
    AWS_CONTAINER_CREDENTIALS_FULL_URI: `http://${service}/v1/credentials`,
    ...{ AWS_CONTAINER_AUTHORIZATION_TOKEN: token.bearer, AWS_EC2_METADATA_DISABLED: "true" },
    ...{ HTTPS_PROXY: url, https_proxy: url, NO_PROXY: here, no_proxy: here },
    ...{ SSL_CERT_FILE: roots, CURL_CA_BUNDLE: roots, REQUESTS_CA_BUNDLE: roots, AWS_CA_BUNDLE: roots },
    ...(forward !== "off" && { PORT: String(forward) }),
  };
}

/** @throws {EnclaveError} `ERR_ENCLAVE_PROGRAM` */
export async function startProgram(options: ProgramOptions): Promise<Program> {
  const { command, environment, directory, onLine, shutdownMs } = options;
  const [file = "", ...args] = command;
  const output = onLine ? "pipe" : "inherit";
  const child = spawn(file, args, { env: { ...environment }, cwd: directory, stdio: ["ignore", output, output] });
  if (onLine) for (const stream of [child.stdout, child.stderr]) stream && readLines(stream, onLine);
  await started(child);
  const ended = new Promise<number>((resolve) => {
    child.once("exit", (code: number | null, signal: NodeJS.Signals | null) => {
      const end = (): void => resolve(code ?? 128 + (signal ? constants.signals[signal] : 0));
      child.once("close", end);
      setTimeout(end, LAST_OUTPUT_MS).unref();
    });
  });
  let last: ReturnType<typeof setTimeout> | undefined;
  void ended.then(() => clearTimeout(last));
  return {
    ended,
    signal(name) {
      child.kill(name);
      if (ENDING.includes(name)) last ??= setTimeout(() => child.kill("SIGKILL"), shutdownMs);
    },
  };
}

/** Lines of any length, in pieces that a log takes. */
function readLines(stream: Readable, onLine: (line: string) => void): void {
  let held = "";
  const tell = (lines: readonly string[]): void => {
    for (const line of lines) for (const piece of line.match(PIECE) ?? []) onLine(piece);
  };
  stream.setEncoding("utf8").on("data", (chunk: string) => {
    const lines = `${held}${chunk}`.split("\n");
    held = lines.pop() ?? "";
    if (held.length <= LINE_MAX) return tell(lines);
    tell([...lines, held]);
    held = "";
  });
  stream.once("end", () => tell([held]));
}

function started(child: ChildProcess): Promise<void> {
  return new Promise((resolve, reject) => {
    child.once("spawn", resolve).on("error", (cause: NodeJS.ErrnoException) => {
      reject(new EnclaveError("ERR_ENCLAVE_PROGRAM", { reason: cause.code ?? "unknown" }, { cause }));
    });
  });
}
