/**
 * Names what a person who reviews an image wants to see. Warnings only: nothing here refuses an image.
 *
 * @module
 */
import type { Findings } from "./finding.ts";
import type { Architecture } from "./layout.ts";

export interface LintInput {
  readonly architecture: Architecture;
  /** The start of the kernel, at least `KERNEL_HEAD_BYTES` where it has as many. */
  readonly kernel: Uint8Array;
  /** The start of the command line. */
  readonly cmdline: Uint8Array;
  /** Of the whole command line. */
  readonly cmdlineBytes: number;
  readonly ramdisks: number;
}

/** As far as the marks of a kernel reach. */
export const KERNEL_HEAD_BYTES = 0x206;
/** Linux COMMAND_LINE_SIZE, the NUL included: x86 and arm64 have the same. */
const CMDLINE_MAX = 2048;

export function lint(image: LintInput, findings: Findings): void {
  lintCmdline(image, findings);
  lintArchitecture(image, findings);
  if (image.ramdisks === 1) {
    findings.warn("pcr2-constant", "one ramdisk: PCR2 is the constant 21b9efbc… and pins nothing, PCR1 equals PCR0");
  }
}

/** AWS's builder writes no NUL. The kernel stops reading at one, while PCRs measure what stands behind it. */
function lintCmdline({ cmdline, cmdlineBytes }: LintInput, { warn }: Findings): void {
  if (cmdlineBytes >= CMDLINE_MAX)
    warn("cmdline-length", `the kernel reads ${CMDLINE_MAX - 1} bytes of ${cmdlineBytes}`);
  const nul = cmdline.indexOf(0);
  if (nul >= 0 && nul < cmdlineBytes - 1) warn("cmdline-nul", `a NUL at ${nul}: the kernel does not read what follows`);
  else if (nul >= 0) warn("cmdline-nul", "ends with a NUL, which AWS's builder does not write");
  const text = String.fromCharCode(...(nul >= 0 ? cmdline.subarray(0, nul) : cmdline));
  if (/[^ -~]/.test(text)) warn("cmdline-text", "has bytes that are no printable ASCII");
  const parameters = parametersOf(text);
  for (const { name } of parameters) {
    if (/^(rd)?init$/.test(name)) warn("cmdline-init", "names its own init");
    if (/^initrd(mem)?$/.test(name)) warn("cmdline-initrd", "says where ramdisks are");
    if (name === "bootconfig") warn("cmdline-bootconfig", "a ramdisk may end with more of the command line");
    if (DEBUGGING.test(name)) warn("cmdline-debug", "turns on debugging, or a shell");
  }
  const consoles = parameters.filter(({ name }) => name === "console");
  if (consoles.length > 1 || consoles.some(({ value }) => !/^ttyS0(,|$)/.test(value))) {
    warn("cmdline-console", "has another console than AWS's one, ttyS0");
  }
}

const DEBUGGING = /^(debug|initcall_debug|ignore_loglevel|earlyprintk|earlycon|kgdboc|single|[1sS]|emergency|rescue)$/;

interface Parameter {
  /** With `_` where `-` stands: to the kernel they are the same. */
  readonly name: string;
  readonly value: string;
}

/** As Linux's `next_arg` cuts: a space in quotes does not end a word, quotes around a word or a value are not part of it. */
function parametersOf(text: string): readonly Parameter[] {
  return Array.from(text.matchAll(/(?:"[^"]*"?|[^\s"])+/g), ([word]) => {
    const whole = unquoted(word);
    const equals = whole.indexOf("=");
    const name = equals < 0 ? whole : whole.slice(0, equals);
    return { name: name.replaceAll("-", "_"), value: equals < 0 ? "" : unquoted(whole.slice(equals + 1)) };
  });
}

function unquoted(text: string): string {
  return text.startsWith('"') ? text.slice(1).replace(/"$/, "") : text;
}

/** Linux boot protocol §1.1 (HdrS at 0x202), arm64 booting.rst §4 (ARM\x64 at 0x38). */
function lintArchitecture({ architecture, kernel }: LintInput, { warn }: Findings): void {
  const at = (offset: number): string => String.fromCharCode(...kernel.subarray(offset, offset + 4));
  const found = at(0x202) === "HdrS" ? "x86_64" : at(0x38) === "ARM\x64" ? "arm64" : undefined;
  if (found && found !== architecture) {
    warn("architecture", `the header says ${architecture}, the kernel is for ${found}; the header is not measured`);
  }
}
