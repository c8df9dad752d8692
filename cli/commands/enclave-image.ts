/**
 * What a launcher is told of an image file on this host.
 *
 * @module
 */
import { inspectEifFile } from "../../image/file.ts";
import { imageFactsOf } from "../../shared/image-facts.ts";
import type { ImageFacts } from "../../shared/launcher.ts";

/** @throws {EifError} not an image, or none that the strict reader takes */
export async function readImageFacts(path: string): Promise<ImageFacts> {
  return imageFactsOf(await inspectEifFile(path));
}
