/**
 * Builds an enclave image that boots: for EC2 (`nitro`) or for the emulated enclave in QEMU (`emulated`).
 *
 *   ramdisk 0   /init, /modules/order and the kernel's modules, the empty folders of the new root      PCR0, PCR1
 *   ramdisk 1   /cloister/exec, and the runtime and the application below /rootfs                      PCR0, PCR2
 *
 * The kernel unpacks both into one file system, the second over the first. In an image that is built here nothing of the
 * application replaces what starts it, since everything of the second ramdisk is below those two names; an image of
 * another builder with the same PCR1 may do so. Archives are not compressed.
 *
 * QEMU puts the ramdisks at the top of memory, over its ACPI tables unless the last page has room: an image for
 * `emulated` is padded so that it has. One for `nitro` never is.
 *
 * Same input, same bytes: no clock, no file system, no environment.
 *
 * @module
 */
import { createHash } from "node:crypto";
import { utf8 } from "../shared/bytes.ts";
import { type ArchiveEntry, cpioParts } from "../shared/eif/cpio-write.ts";
import type { Architecture } from "../shared/eif/layout.ts";
import type { EifMeasurements } from "../shared/eif/measure.ts";
import { eifParts } from "../shared/eif/write.ts";
import { EifError } from "../shared/errors/eif.ts";
import { extendPcr, zeroPcr } from "../shared/nsm/pcr.ts";
import { type Exec, writeExec } from "./exec.ts";
import { imageMetadata } from "./identity.ts";
import { checkKernel, kernelVersion } from "./kernel.ts";

/** Entries by path, relative to the root directory of the application. */
export type Tree = ReadonlyMap<string, ArchiveEntry>;

export interface KernelModule {
  /** The file's name, such as `nsm.ko`; not compressed. */
  readonly name: string;
  readonly bytes: Uint8Array;
}

export interface ImageOptions {
  /** Where the image boots; told in its metadata. An emulated one is refused by the launcher for EC2. */
  readonly platform: "nitro" | "emulated";
  readonly architecture: Architecture;
  /** bzImage or, for arm64, Image. */
  readonly kernel: Uint8Array;
  /** Without a NUL. For `emulated` it must say `cloister.platform=emulated`, for `nitro` it must not. */
  readonly cmdline: string;
  /** Our init, a static executable. */
  readonly init: Uint8Array;
  /** In the order in which they are loaded. */
  readonly modules: readonly KernelModule[];
  /** What the application finds as its file system. */
  readonly root: Tree;
  readonly exec: Exec;
  /** Shown by tools, not measured. Default `app`. */
  readonly name?: string;
  /** Shown by tools, not measured. Default `0`. */
  readonly version?: string;
}

export interface Image {
  /** The file's bytes, to be written one after the other. Large ones are those that were given. */
  readonly parts: readonly Uint8Array[];
  readonly measurements: EifMeasurements;
  /** Everything in the ramdisks by its path there, for the bill of materials. */
  readonly contents: Tree;
}

/** Where the application's root directory is before init makes it the root. */
const ROOT = "rootfs";
const MOUNT_POINTS = ["dev", "proc", "run", "sys", "tmp"];
/** QEMU keeps its ACPI tables in the last page of memory; measured: 1 KiB used of it is well below what they need. */
const PAGE_BYTES = 4096;
const LAST_PAGE_BYTES = 1024;
/** Of a command line on x86, its NUL counted: a kernel cuts what is longer. */
const COMMAND_LINE_SIZE = 2048;
const CONTENT_MAX = 2 ** 31 - 1;
const EMULATED_WORD = "cloister.platform=emulated";

/**
 * @throws {EifError} `ERR_EIF_INPUT`
 */
export async function buildImage(options: ImageOptions): Promise<Image> {
  const { platform, architecture, kernel, cmdline, name = "app", version = "0" } = options;
  if (platform !== "nitro" && platform !== "emulated") throw new TypeError(`no image is built for ${String(platform)}`);
  checkKernel(kernel, architecture);
  checkCmdline(cmdline, platform);
  const { bootstrap, application, contents } = buildRamdisks(options);
  if (platform === "emulated") application.push(padding(sizeOf(bootstrap) + sizeOf(application)));
  const metadata = imageMetadata({ name, version, platform, kernelVersion: kernelVersion(kernel) });
  return {
    parts: refusing("the image", () =>
      eifParts({ architecture, kernel, cmdline, ramdisks: [bootstrap, application], metadata }),
    ),
    measurements: await measureParts([kernel, utf8(cmdline), ...bootstrap], application),
    contents,
  };
}

/** What a kernel is given as its initial file system, in parts: the second archive follows the first. */
export interface Ramdisks {
  readonly bootstrap: Uint8Array[];
  readonly application: Uint8Array[];
  readonly contents: Tree;
}

/**
 * The two archives alone; one after the other they also boot a guest that is no enclave.
 *
 * @throws {EifError} `ERR_EIF_INPUT`
 */
export function buildRamdisks(options: Pick<ImageOptions, "init" | "modules" | "root" | "exec">): Ramdisks {
  const first = firstRamdisk(options);
  const second = secondRamdisk(options);
  let total = 0;
  for (const entry of [...first.values(), ...second.values()]) total += entry.kind === "file" ? entry.data.length : 0;
  if (total > CONTENT_MAX) {
    throw new EifError("ERR_EIF_INPUT", { input: "the file tree", rule: `has at most ${CONTENT_MAX} bytes` });
  }
  return { bootstrap: archive(first), application: archive(second), contents: new Map([...first, ...second]) };
}

function checkCmdline(cmdline: string, platform: ImageOptions["platform"]): void {
  if (cmdline === "" || cmdline.includes("\0") || utf8(cmdline).length >= COMMAND_LINE_SIZE) {
    const rule = `it has 1 to ${COMMAND_LINE_SIZE - 1} bytes, none of them NUL`;
    throw new EifError("ERR_EIF_INPUT", { input: "the command line", rule });
  }
  const words = cmdline.split(/\s+/).filter((word) => word.startsWith("cloister.platform="));
  const wanted = platform === "emulated" ? [EMULATED_WORD] : [];
  if (words.join() !== wanted.join()) {
    const rule = platform === "emulated" ? `it says ${EMULATED_WORD}` : "it names no platform";
    throw new EifError("ERR_EIF_INPUT", { input: "the command line", rule });
  }
}

function firstRamdisk({ init, modules }: Pick<ImageOptions, "init" | "modules">): Tree {
  const entries = new Map<string, ArchiveEntry>([
    ["init", { kind: "file", data: init, mode: 0o755 }],
    ["modules/order", { kind: "file", data: utf8(modules.map(({ name }) => `${name}\n`).join("")), mode: 0o644 }],
  ]);
  for (const { name, bytes } of modules) {
    const path = `modules/${name}`;
    if (!/^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/.test(name) || entries.has(path)) {
      throw new EifError("ERR_EIF_INPUT", { input: `module ${name}`, rule: "its name is plain, and its own" });
    }
    entries.set(path, { kind: "file", data: bytes, mode: 0o644 });
  }
  for (const folder of MOUNT_POINTS) entries.set(`${ROOT}/${folder}`, { kind: "directory", mode: 0o755 });
  return entries;
}

function secondRamdisk({ root, exec }: Pick<ImageOptions, "root" | "exec">): Tree {
  const entries = new Map<string, ArchiveEntry>([
    ["cloister/exec", { kind: "file", data: writeExec(exec), mode: 0o644 }],
  ]);
  for (const [path, entry] of root) {
    if (MOUNT_POINTS.includes(path) && entry.kind !== "directory") {
      throw new EifError("ERR_EIF_INPUT", { input: `/${path}`, rule: "it is a folder: something is mounted there" });
    }
    entries.set(`${ROOT}/${path}`, entry);
  }
  return entries;
}

function archive(entries: Tree): Uint8Array[] {
  return refusing("the file tree", () => [...cpioParts(entries)]);
}

/** What a writer refuses comes from an input here, not from a programmer. */
function refusing<Result>(input: string, write: () => Result): Result {
  try {
    return write();
  } catch (cause) {
    if (!(cause instanceof RangeError)) throw cause;
    throw new EifError("ERR_EIF_INPUT", { input, rule: cause.message }, { cause });
  }
}

function padding(size: number): Uint8Array {
  return new Uint8Array((PAGE_BYTES + LAST_PAGE_BYTES - (size % PAGE_BYTES)) % PAGE_BYTES);
}

function sizeOf(parts: readonly Uint8Array[]): number {
  return parts.reduce((sum, part) => sum + part.length, 0);
}

async function measureParts(boot: readonly Uint8Array[], app: readonly Uint8Array[]): Promise<EifMeasurements> {
  const whole = createHash("sha384");
  const applicationOnly = createHash("sha384");
  for (const part of boot) whole.update(part);
  const bootOnly = whole.copy();
  for (const part of app) {
    whole.update(part);
    applicationOnly.update(part);
  }
  const [pcr0, pcr1, pcr2] = await Promise.all(
    [whole, bootOnly, applicationOnly].map((hash) => extendPcr(zeroPcr(), new Uint8Array(hash.digest()))),
  );
  if (!pcr0 || !pcr1 || !pcr2) throw new TypeError("three registers");
  return { pcr0, pcr1, pcr2 };
}
