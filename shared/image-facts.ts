/**
 * What a launcher is told of an image file, from what the strict reader found in it.
 *
 * The command line is measured and the metadata is not; either may say where the image was built to run. Whoever
 * changes the metadata gains nothing: another platform's image does not boot, or boots with other PCRs.
 *
 * @module
 */
import { toHex } from "./bytes.ts";
import type { EifInspection } from "./eif/inspect.ts";
import { EIF_SECTION_HEADER_BYTES } from "./eif/layout.ts";
import { parseMetadataObject } from "./eif/metadata.ts";
import type { ImageFacts, Platform } from "./launcher.ts";

const PLATFORM_WORD = "cloister.platform=";

/** @throws {EifError} the metadata is not what AWS's tools write */
export function imageFactsOf(inspection: EifInspection): ImageFacts {
  const { measurements, cmdline, metadata, sections } = inspection;
  const { pcr0, pcr1, pcr2, pcr8 } = measurements;
  const last = sections.at(-1);
  return {
    sizeBytes: last ? last.offset + EIF_SECTION_HEADER_BYTES + last.size : 0,
    platform: platformOf(cmdline, metadata),
    pcrs: { 0: toHex(pcr0), 1: toHex(pcr1), 2: toHex(pcr2), ...(pcr8 && { 8: toHex(pcr8) }) },
  };
}

function platformOf(cmdline: Uint8Array, metadata: Uint8Array | undefined): ImageFacts["platform"] {
  // Split where the image's init splits it (image/init/system.c).
  const words = new TextDecoder().decode(cmdline).split(/[ \t\n]+/);
  const [said, ...more] = words.filter((word) => word.startsWith(PLATFORM_WORD));
  if (said !== undefined) return more.length === 0 ? (platform(said.slice(PLATFORM_WORD.length)) ?? "other") : "other";
  const custom = metadata && parseMetadataObject(metadata)["CustomMetadata"];
  const written =
    typeof custom === "object" && custom !== null && "platform" in custom ? custom["platform"] : undefined;
  return platform(written) ?? "unknown";
}

function platform(said: unknown): Platform | undefined {
  return said === "nitro" || said === "emulated" || said === "mock" ? said : undefined;
}
