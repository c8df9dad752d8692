/**
 * Looks at a kernel: that it is one for the architecture, and which version it says it is.
 *
 * Source: Linux `Documentation/arch/x86/boot.rst` (HdrS, kernel_version), `Documentation/arch/arm64/booting.rst`.
 *
 * @module
 */
import type { Architecture } from "../shared/eif/layout.ts";
import { EifError } from "../shared/errors/eif.ts";

const X86 = { magicAt: 0x202, magic: "HdrS", versionAt: 0x20e, versionFrom: 0x200 } as const;
const ARM64 = { magicAt: 0x38, magic: "ARM\x64" } as const;
/** Up to the last field that is read here. */
const HEADER_BYTES = X86.versionAt + 2;
const VERSION_MAX = 64;

/**
 * @throws {EifError} `ERR_EIF_INPUT`
 */
export function checkKernel(kernel: Uint8Array, architecture: Architecture): void {
  const { magicAt, magic } = architecture === "x86_64" ? X86 : ARM64;
  if (latin1(kernel, magicAt, magic.length) !== magic || kernel.length < HEADER_BYTES) {
    const rule = architecture === "x86_64" ? "it is a bzImage" : "it is an arm64 Image";
    throw new EifError("ERR_EIF_INPUT", { input: "the kernel", rule });
  }
}

/** Such as `6.12.48-cloud-amd64`; `unknown` where the format does not say. */
export function kernelVersion(kernel: Uint8Array): string {
  if (latin1(kernel, X86.magicAt, X86.magic.length) !== X86.magic || kernel.length < HEADER_BYTES) return "unknown";
  const view = new DataView(kernel.buffer, kernel.byteOffset, kernel.byteLength);
  const text = latin1(kernel, X86.versionFrom + view.getUint16(X86.versionAt, true), VERSION_MAX);
  return /^[A-Za-z0-9._+~-]+(?=[ \0])/.exec(text)?.[0] ?? "unknown";
}

function latin1(bytes: Uint8Array, at: number, length: number): string {
  return String.fromCharCode(...bytes.subarray(at, at + length));
}
