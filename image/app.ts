/**
 * Builds an enclave image from an application's files.
 *
 * The files go into the last ramdisk under `app/`, so PCR2 measures exactly them, and PCR1 what starts them in an image
 * that is built here. PCR1 alone proves nothing of what starts: a later ramdisk of another image may replace files of the
 * first. Pin PCR0, PCR1 and PCR2 together.
 * An image for platform `mock` has a placeholder where a real one has a kernel and an init: it is measured and run by
 * the mock hypervisor and boots nowhere. Same input, same bytes: the build time is fixed.
 *
 * @module
 */
import { utf8 } from "../shared/bytes.ts";
import { writeCpio } from "../shared/eif/cpio-write.ts";
import type { Architecture } from "../shared/eif/layout.ts";
import { type EifMeasurements, measureEif } from "../shared/eif/measure.ts";
import { readEif } from "../shared/eif/read.ts";
import { buildEif } from "../shared/eif/write.ts";
import { imageMetadata } from "./identity.ts";

export interface AppImageOptions {
  /** The application's files by relative path; `main.mjs` is started. */
  readonly files: ReadonlyMap<string, Uint8Array>;
  /** Where the image runs; `buildImage` is for the others. */
  readonly platform: "mock";
  /** Default `x86_64`. In the header, which no PCR measures. */
  readonly architecture?: Architecture;
  /** Shown by tools, not measured. Default `app`. */
  readonly name?: string;
  /** Shown by tools, not measured. Default `0`. */
  readonly version?: string;
}

export interface AppImage {
  readonly eif: Uint8Array;
  readonly measurements: EifMeasurements;
}

/** The file that is started, relative to the application's folder. */
const APP_ENTRY = "main.mjs";
/** The folder of the application in its ramdisk. */
const APP_FOLDER = "app";

const KERNEL = utf8("placeholder kernel of a mock image: boots nowhere\n");
const INIT = utf8("placeholder init of a mock image: the mock hypervisor starts app/main.mjs\n");
const CMDLINE = "cloister.platform=mock";

/**
 * @throws {RangeError} no `main.mjs`, or a path that is not plain and relative
 * @example
 * const { eif, measurements } = await buildAppImage({ files: new Map([["main.mjs", source]]), platform: "mock" });
 */
export async function buildAppImage(options: AppImageOptions): Promise<AppImage> {
  const { files, platform, architecture = "x86_64", name = "app", version = "0" } = options;
  if (platform !== "mock") throw new TypeError(`images for platform ${String(platform)} are not built here`);
  if (!files.has(APP_ENTRY)) throw new RangeError(`the application has a file ${APP_ENTRY}`);
  const app = new Map([...files].map(([path, bytes]) => [`${APP_FOLDER}/${path}`, bytes] as const));
  const eif = buildEif({
    architecture,
    kernel: KERNEL,
    cmdline: CMDLINE,
    ramdisks: [writeCpio(new Map([["init", INIT]])), writeCpio(app)],
    metadata: imageMetadata({ name, version, platform }),
  });
  return { eif, measurements: await measureEif(readEif(eif)) };
}
