/**
 * How commands speak: the result on standard output, everything else on standard error; colour only on a terminal.
 *
 * What is printed comes from files and peers that nobody vouches for. So whatever a command writes, control characters
 * reach the terminal as `\u` and four digits, which in JSON is the same text; the colours are the only exception.
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

/** Where a terminal's text goes. */
export interface TerminalOutput {
  readonly stdout: { write(text: string): unknown };
  readonly stderr: { write(text: string): unknown; readonly writableLength?: number };
  readonly hasColour: boolean;
  readonly debug: boolean;
}

/** What may wait for a reader of standard error, in bytes: a command that runs for months must not keep more. */
const UNREAD_MAX = 1_048_576;

/** C0 but tab and newline, DEL, C1, and what turns or breaks the direction of a line. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
const CONTROLS = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/g;

/** The same text, with `\u001b` and its like written out: it steers no terminal. */
export function escapeControls(text: string): string {
  return text.replace(CONTROLS, (control) => `\\u${control.charCodeAt(0).toString(16).padStart(4, "0")}`);
}

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
  return terminalOver({ stdout: process.stdout, stderr: process.stderr, hasColour, debug });
}

export function terminalOver({ stdout, stderr, hasColour, debug }: TerminalOutput): Terminal {
  const safe = hasColour ? escapeAllButColours : escapeControls;
  let leftOut = 0;
  const tellBounded = (line: string): void => {
    if ((stderr.writableLength ?? 0) > UNREAD_MAX) return void leftOut++;
    if (leftOut > 0) stderr.write(`cloister: ${leftOut} lines were left out: nobody read\n`);
    leftOut = 0;
    stderr.write(line);
  };
  return {
    print: (text) => void stdout.write(`${safe(text)}\n`),
    tell: (text) => tellBounded(`${safe(text)}\n`),
    paint: (style, text) =>
      hasColour ? `\u001b[${STYLES[style][0]}m${escapeControls(text)}\u001b[${STYLES[style][1]}m` : text,
    debug,
  };
}

function escapeAllButColours(text: string): string {
  const codes = new Set(Object.values(STYLES).flatMap((pair) => pair.map((code) => `\u001b[${code}m`)));
  // biome-ignore lint/suspicious/noControlCharactersInRegex: colours begin with one
  const parts = text.split(/(\u001b\[\d+m)/);
  return parts.map((part) => (codes.has(part) ? part : escapeControls(part))).join("");
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

const hints = new WeakMap<Error, string>();

/** The same error, with what to do about it here. */
export function withHint<Refusal extends Error>(error: Refusal, hint: string): Refusal {
  hints.set(error, hint);
  return error;
}

/** Writes an error and gives the exit code that names its kind; a stack only when asked. */
export function report(error: unknown, { tell: say, debug }: Terminal): number {
  const tell = (text: string): void => say(escapeControls(text));
  if (error instanceof UsageError) {
    tell(`cloister: error: ${error.message}\n${error.usage}`);
    const hint = hints.get(error);
    if (hint !== undefined) tell(`cloister: hint: ${hint}`);
    return EXIT_CODES.usage;
  }
  if (!isToolkitError(error)) {
    tell(`cloister: error: internal error: ${error instanceof Error ? error.message : String(error)}`);
    if (debug && error instanceof Error) tell(error.stack ?? "");
    else tell("cloister: hint: this is a bug; run again with --debug for the stack");
    return 1;
  }
  tell(`cloister: error: ${error.message} [${error.code}]`);
  const hint = hints.get(error) ?? HINTS[error.code];
  if (hint) tell(`cloister: hint: ${hint}`);
  if (debug) tell(error.stack ?? "");
  return EXIT_CODES[error.kind];
}
