/**
 * Why an enclave was not started, found, shown or ended.
 *
 * @module
 */
import { type CodeTable, ToolkitError } from "./toolkit-error.ts";

export interface LauncherRefusals {
  /** This host has not what the platform needs, such as `nitro-cli`. `reason` is the system's error name. */
  readonly ERR_LAUNCHER_HOST: { readonly needs: string; readonly reason: string };
  /** The image was made for another platform. */
  readonly ERR_LAUNCHER_IMAGE_PLATFORM: { readonly platform: string; readonly image: string };
  /** An enclave needs four times the size of its image, and 64 MiB at least. */
  readonly ERR_LAUNCHER_MEMORY: { readonly minimumMiB: number; readonly memoryMiB: number };
  /** Another enclave has this context id. */
  readonly ERR_LAUNCHER_CID_TAKEN: { readonly cid: number };
  /** No enclave has this id: never started, ended, or terminated before. */
  readonly ERR_LAUNCHER_ENCLAVE_UNKNOWN: { readonly enclaveId: string };
  /** Another parent that runs keeps the enclave of this name, such as `nitro-cid-16`. `pid` is its process. */
  readonly ERR_LAUNCHER_KEPT: { readonly name: string; readonly pid: number };
  /** Only an enclave in debug mode has a console. */
  readonly ERR_LAUNCHER_NO_CONSOLE: { readonly enclaveId: string };
  /** The state folder is not one that only this user can write. */
  readonly ERR_LAUNCHER_STATE_FOLDER: { readonly path: string; readonly rule: string };
  /** Other launchers held the state folder all the time. */
  readonly ERR_LAUNCHER_LOCKED: { readonly path: string; readonly timeoutMs: number };
  /** A tool of the platform refused or did not start. `reason`: its own code, such as `E26`, its exit code, or the system's. */
  readonly ERR_LAUNCHER_TOOL_FAILED: { readonly tool: string; readonly reason: string };
  /** A tool answered something else than its documentation says. */
  readonly ERR_LAUNCHER_TOOL_ANSWER: { readonly tool: string; readonly rule: string };
  /** A tool did not end in time and was killed. */
  readonly ERR_LAUNCHER_TIMEOUT: { readonly tool: string; readonly timeoutMs: number };
  /** No sign of life from the guest, however often it was started. */
  readonly ERR_LAUNCHER_BOOT: { readonly attempts: number; readonly waitedFor: string };
  /** What runs is not the image that was measured; it was terminated. Hex. */
  readonly ERR_LAUNCHER_PCR_MISMATCH: { readonly index: number; readonly expected: string; readonly actual: string };
  /** The enclave runs and did not become ready, or was not taken into service. `reason` is the code of why not. */
  readonly ERR_LAUNCHER_NOT_READY: { readonly enclaveId: string; readonly reason: string };
  /** The enclave ended, and nobody here asked for it. `found` is its state, or `gone`. */
  readonly ERR_LAUNCHER_ENDED: { readonly enclaveId: string; readonly found: string };
}

export type LauncherCode = keyof LauncherRefusals;

export const LAUNCHER_TABLE: CodeTable<LauncherRefusals> = {
  ERR_LAUNCHER_HOST: { kind: "host lacks", message: (d) => `this host lacks ${d.needs}: ${d.reason}` },
  ERR_LAUNCHER_IMAGE_PLATFORM: {
    kind: "refused by policy",
    message: (d) => `an image for platform ${d.image} does not run on platform ${d.platform}`,
  },
  ERR_LAUNCHER_MEMORY: {
    kind: "usage",
    message: (d) =>
      `the enclave needs ${d.minimumMiB} MiB of memory at least (four times its image, and 64), it was given ${d.memoryMiB}`,
  },
  ERR_LAUNCHER_CID_TAKEN: { kind: "usage", message: (d) => `an enclave with context id ${d.cid} runs already` },
  ERR_LAUNCHER_ENCLAVE_UNKNOWN: { kind: "usage", message: (d) => `no enclave has the id ${d.enclaveId}` },
  ERR_LAUNCHER_KEPT: { kind: "usage", message: (d) => `another parent, process ${d.pid}, keeps ${d.name}` },
  ERR_LAUNCHER_NO_CONSOLE: {
    kind: "refused by policy",
    message: (d) => `${d.enclaveId} does not run in debug mode, so it has no console`,
  },
  ERR_LAUNCHER_STATE_FOLDER: {
    kind: "refused by policy",
    message: (d) => `will not keep state in ${d.path}: ${d.rule}`,
  },
  ERR_LAUNCHER_LOCKED: {
    kind: "unreachable",
    message: (d) => `other launchers held ${d.path} for ${d.timeoutMs} ms`,
  },
  ERR_LAUNCHER_TOOL_FAILED: { kind: "host lacks", message: (d) => `${d.tool} failed: ${d.reason}` },
  ERR_LAUNCHER_TOOL_ANSWER: { kind: "not authentic", message: (d) => `${d.tool} answered something else: ${d.rule}` },
  ERR_LAUNCHER_TIMEOUT: { kind: "unreachable", message: (d) => `${d.tool} did not end in ${d.timeoutMs} ms` },
  ERR_LAUNCHER_BOOT: {
    kind: "unreachable",
    message: (d) => `the guest was started ${d.attempts} times and never showed ${d.waitedFor}`,
  },
  ERR_LAUNCHER_PCR_MISMATCH: {
    kind: "not authentic",
    message: (d) => `PCR${d.index} of the image file is ${d.expected}, what runs measures ${d.actual}`,
  },
  ERR_LAUNCHER_NOT_READY: {
    kind: "unreachable",
    message: (d) => `${d.enclaveId} runs and did not become ready: ${d.reason}`,
  },
  ERR_LAUNCHER_ENDED: { kind: "unreachable", message: (d) => `${d.enclaveId} ended by itself: ${d.found}` },
};

export class LauncherError<Code extends LauncherCode = LauncherCode> extends ToolkitError<
  Code,
  LauncherRefusals[Code]
> {
  override readonly name = "LauncherError";
  constructor(code: Code, details: LauncherRefusals[Code], options?: ErrorOptions) {
    super(code, details, LAUNCHER_TABLE[code], options);
  }
}

/** The same error as a discriminated union, so that `switch (error.code)` narrows `details`. */
export type AnyLauncherError = { [Code in LauncherCode]: LauncherError<Code> }[LauncherCode];

export function isLauncherError(error: unknown): error is AnyLauncherError {
  return error instanceof LauncherError;
}
