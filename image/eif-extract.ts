/**
 * Takes an image apart: each section into a file of a new folder.
 *
 * The image is read strictly and measured from the same descriptor first, and what is written is hashed again: it is what
 * was measured. File names come from the section's number and type, never from the image; the folder must not exist, and
 * gets its name when all is in it.
 *
 * @module
 */
import { createHash } from "node:crypto";
import { join } from "node:path";
import { equalBytes } from "../shared/bytes.ts";
import type { EifInspection } from "../shared/eif/inspect.ts";
import { EIF_SECTION_HEADER_BYTES, type SectionType } from "../shared/eif/layout.ts";
import { appendRange, createFile, createFolder } from "./eif-output.ts";
import { changedMeanwhile, inspectOpenEif, withEifSource } from "./file.ts";

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
  return createFolder(folder, (unfinished) =>
    withEifSource(path, async (source) => {
      const inspection = await inspectOpenEif(source, { eachSection: true });
      const sections: ExtractedSection[] = [];
      for (const [index, { type, offset, size }] of inspection.sections.entries()) {
        const file = `${String(index).padStart(2, "0")}-${type}${ENDINGS[type]}`;
        const from = offset + EIF_SECTION_HEADER_BYTES;
        const hash = createHash("sha384");
        const see = (bytes: Uint8Array): void => void hash.update(bytes);
        await createFile(join(unfinished, file), (handle) =>
          appendRange(handle, source, { from, to: from + size, see }),
        );
        const measured = inspection.sectionDigests[index] ?? new Uint8Array(0);
        if (!equalBytes(hash.digest(), measured)) throw changedMeanwhile(path);
        sections.push({ type, file, size });
      }
      return { inspection, sections };
    }),
  );
}
