/**
 * Enclave images: build, read, measure.
 *
 * @module
 */

export type { CpioEntry } from "../shared/eif/cpio.ts";
export { readCpio } from "../shared/eif/cpio.ts";
export type { ArchiveEntry, ArchiveOwner } from "../shared/eif/cpio-write.ts";
export { writeCpio } from "../shared/eif/cpio-write.ts";
export type { EifDiff, EifDifference } from "../shared/eif/diff.ts";
export { diffEif } from "../shared/eif/diff.ts";
export type { EifFinding } from "../shared/eif/finding.ts";
export type { EifInspection } from "../shared/eif/inspect.ts";
export type { Architecture, Eif, EifSection, SectionType } from "../shared/eif/layout.ts";
export type { EifMeasurements } from "../shared/eif/measure.ts";
export { measureEif } from "../shared/eif/measure.ts";
export type { EifMetadata, Json } from "../shared/eif/metadata.ts";
export { readMetadata } from "../shared/eif/metadata.ts";
export { readEif } from "../shared/eif/read.ts";
export type { EifContent } from "../shared/eif/write.ts";
export { buildEif } from "../shared/eif/write.ts";
export type { AppImage, AppImageOptions } from "./app.ts";
export { buildAppImage } from "./app.ts";
export type { ExtractedEif } from "./eif-extract.ts";
export { extractEifFile } from "./eif-extract.ts";
export type { EifSigner, SignEifOptions } from "./eif-sign.ts";
export { signEifFile, toBeSignedOfFile } from "./eif-sign.ts";
export type { EntryOptions } from "./entry.ts";
export { deviceEntry, mockEntry } from "./entry.ts";
export type { EifFileOptions, InspectFileOptions } from "./file.ts";
export { inspectEifFile, measureEifFile, readEifFile } from "./file.ts";
