/**
 * Takes an image apart: each section into a file of a new folder.
 *
 * The image is read strictly and measured from the same descriptor first. File names come from the section's number and
 * type, never from the image; the folder must not exist.
 *
 * @module
 */
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import type { EifInspection } from "../shared/eif/inspect.ts";
import { EIF_SECTION_HEADER_BYTES, type SectionType } from "../shared/eif/layout.ts";
import { appendRange, createFile, outputError } from "./eif-output.ts";
import { inspectOpenEif, withEifSource } from "./file.ts";

export interface ExtractedSection {
  readonly type: SectionType;
  /** Below the folder. */
  readonly file: string;
  readonly size: number;
}

export interface ExtractedEif {
  readonly inspection: EifInspection;
  readonly sections: readonly ExtractedSection[];
}

const ENDINGS: Readonly<Record<SectionType, string>> = {
  kernel: "",
  cmdline: ".txt",
  ramdisk: "",
  signature: ".cbor",
  metadata: ".json",
};

/** @throws {EifError} what the strict reader refuses; `ERR_EIF_OUTPUT` where the folder exists or can not be written */
export function extractEifFile(path: string, folder: string): Promise<ExtractedEif> {
  return withEifSource(path, async (source) => {
    const inspection = await inspectOpenEif(source);
    await mkdir(folder, { mode: 0o755 }).catch((cause: unknown) => {
      throw outputError(folder, cause);
    });
    const sections: ExtractedSection[] = [];
    for (const [index, { type, offset, size }] of inspection.sections.entries()) {
      const file = `${String(index).padStart(2, "0")}-${type}${ENDINGS[type]}`;
      const from = offset + EIF_SECTION_HEADER_BYTES;
      await createFile(join(folder, file), (handle) => appendRange(handle, source, { from, to: from + size }));
      sections.push({ type, file, size });
    }
    return { inspection, sections };
  });
}
