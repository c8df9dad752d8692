/**
 * Decides whether an image file may be started, and with how much memory. Nothing has been started by then.
 *
 *   1. inspect    the file is read, strictly, and measured
 *   2. appraise   it is the image that somebody expects
 *   3. size       the memory that was asked for, or the least that fits the image
 *   4. check      what every launcher refuses
 *
 * It is asked before each start: the file may be another one by then. The launcher opens the path again, and on Nitro
 * and in mock mode compares what it measured with these PCRs.
 *
 * @module
 */
import { appraiseEif, type ExpectedImage } from "../../shared/eif/expected.ts";
import type { EifInspection } from "../../shared/eif/inspect.ts";
import { imageFactsOf } from "../../shared/image-facts.ts";
import { checkLaunch, type LaunchOptions, minimumMemoryMiB, type Platform } from "../../shared/launcher.ts";

/** What is to be run; all but the image, which is read from the file before each start. */
export interface SupervisedLaunch extends Omit<LaunchOptions, "image" | "signal" | "memoryMiB"> {
  /** Default: four times the size of the image, 64 at least. An application that needs more says so. */
  readonly memoryMiB?: number;
}

export interface ImageCheck {
  readonly platform: Platform;
  readonly launch: SupervisedLaunch;
  /** Reads and measures the file, such as `inspectEifFile`. */
  readonly inspect: (eifPath: string) => Promise<EifInspection>;
  /** What the image must be. */
  readonly expected: ExpectedImage | "unchecked";
  readonly now: () => Date;
}

/**
 * @throws {EifError} no image, or another one: `ERR_EIF_MEASUREMENT`, `ERR_EIF_TABLE`, `ERR_EIF_SIGNATURE_INVALID`
 * @throws {LauncherError} `ERR_LAUNCHER_IMAGE_PLATFORM`, `ERR_LAUNCHER_MEMORY`
 * @throws {ConfigError} an option out of its range
 */
export async function checkImage({ platform, launch, inspect, expected, now }: ImageCheck): Promise<LaunchOptions> {
  const inspection = await inspect(launch.eifPath);
  if (expected !== "unchecked") appraiseEif(inspection, expected, { now: now() });
  const image = imageFactsOf(inspection);
  return checkLaunch(platform, { ...launch, image, memoryMiB: launch.memoryMiB ?? minimumMemoryMiB(image) });
}
