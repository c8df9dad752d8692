/**
 * Enclave images: build, read, measure.
 *
 * @module
 */

export type { CpioEntry } from "../shared/eif/cpio.ts";
export { readCpio } from "../shared/eif/cpio.ts";
export type { ArchiveEntry, ArchiveOwner } from "../shared/eif/cpio-write.ts";
export { writeCpio } from "../shared/eif/cpio-write.ts";
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
export type { EntryOptions } from "./entry.ts";
export { deviceEntry, mockEntry } from "./entry.ts";
export type { EifFileOptions } from "./file.ts";
export { measureEifFile, readEifFile } from "./file.ts";
