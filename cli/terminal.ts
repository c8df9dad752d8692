/**
 * How commands speak: the result on standard output, everything else on standard error; colour only on a terminal.
 *
 * @module
 */
import { EXIT_CODES, isToolkitError } from "../shared/errors/index.ts";

export interface Terminal {
  /** The result, on standard output. */
  readonly print: (text: string) => void;
  /** Progress and remarks, on standard error. */
  readonly tell: (text: string) => void;
  readonly paint: (style: Style, text: string) => string;
  /** Whether errors show their stack. */
  readonly debug: boolean;
}

export type Style = "bold" | "dim" | "green" | "red" | "yellow";

const STYLES: Readonly<Record<Style, readonly [number, number]>> = {
  bold: [1, 22],
  dim: [2, 22],
  green: [32, 39],
  red: [31, 39],
  yellow: [33, 39],
};

export function createTerminal({ debug }: { readonly debug: boolean }): Terminal {
  // Whoever reads the output may stop reading: that ends the command, once, and is no fault of it.
  let isUnread = false;
  for (const stream of [process.stdout, process.stderr]) {
    stream.on("error", ({ code }: NodeJS.ErrnoException) => {
      if (isUnread) return;
      isUnread = true;
      if (code !== "EPIPE") process.stderr.write(`cloister: error: can not write the output: ${code}\n`);
      process.kill(process.pid, "SIGTERM");
    });
  }
  const hasColour = process.stdout.isTTY === true && !process.env["NO_COLOR"];
  return {
    print: (text) => void process.stdout.write(`${text}\n`),
    tell: (text) => void process.stderr.write(`${text}\n`),
    paint: (style, text) => (hasColour ? `\u001b[${STYLES[style][0]}m${text}\u001b[${STYLES[style][1]}m` : text),
    debug,
  };
}

/** A command line that is not one: exit code 2 and the usage. */
export class UsageError extends Error {
  override readonly name = "UsageError";
  readonly usage: string;
  constructor(message: string, usage: string) {
    super(message);
    this.usage = usage;
  }
}

/** What to do about a refusal, where there is something to do. */
const HINTS: Readonly<Record<string, string>> = {
  ERR_ATTESTATION_SIZE: "a document is COSE_Sign1 bytes; decode base64 or hex first, or say --encoding",
  ERR_ATTESTATION_MALFORMED: "is the file the raw document? base64 and hex need --encoding",
  ERR_ATTESTATION_DEBUG_MODE: "run the enclave without --debug-mode; to accept it, write dangerouslyAllowDebug",
  ERR_ATTESTATION_STALE: "ask the enclave for a fresh document, or raise maxAgeMs",
  ERR_ATTESTATION_ROOT_UNTRUSTED: "the root is not among those that the policy names",
  ERR_CONFIG_FIELD_MISSING: "every security-relevant field is required; a check is switched off by writing that down",
};

/** Writes an error and gives the exit code that names its kind; a stack only when asked. */
export function report(error: unknown, { tell, debug }: Terminal): number {
  if (error instanceof UsageError) {
    tell(`cloister: error: ${error.message}\n${error.usage}`);
    return EXIT_CODES.usage;
  }
  if (!isToolkitError(error)) {
    tell(`cloister: error: internal error: ${error instanceof Error ? error.message : String(error)}`);
    if (debug && error instanceof Error) tell(error.stack ?? "");
    else tell("cloister: hint: this is a bug; run again with --debug for the stack");
    return 1;
  }
  tell(`cloister: error: ${error.message} [${error.code}]`);
  const hint = HINTS[error.code];
  if (hint) tell(`cloister: hint: ${hint}`);
  if (debug) tell(error.stack ?? "");
  return EXIT_CODES[error.kind];
}
