/**
 * Reads an enclave image that is in memory, strictly: one layout, one meaning.
 *
 * The same parser as for files (`describe.ts`), then the checksum, which finds accidents and stops nobody. PCRs hash
 * content without lengths: bytes moved over a section boundary leave them equal. Compare `sections` too.
 * Gives views of the input and allocates nothing that a length field asks for.
 *
 * @module
 */
import { EifError } from "../errors/eif.ts";
import { crc32 } from "./crc32.ts";
import { describeEif } from "./describe.ts";
import { strict } from "./finding.ts";
import { EIF_FIELD, EIF_HEADER_BYTES, EIF_SECTION_HEADER_BYTES, type Eif, type EifSection } from "./layout.ts";
import { parseBytes } from "./source.ts";

/**
 * @throws {EifError} `ERR_EIF_HEADER`, `ERR_EIF_SECTION`, `ERR_EIF_SIGNATURE`, `ERR_EIF_CRC`
 */
export function readEif(bytes: Uint8Array): Eif {
  const description = parseBytes(describeEif(bytes.length, strict()), bytes);
  checkCrc(description.crc32, crc32(bytes.subarray(0, EIF_FIELD.crc), bytes.subarray(EIF_HEADER_BYTES)));
  const { architecture, defaultMemoryBytes, defaultCpus, sections } = description;
  const content = ({ offset, size }: EifSection): Uint8Array =>
    bytes.subarray(offset + EIF_SECTION_HEADER_BYTES, offset + EIF_SECTION_HEADER_BYTES + size);
  const all = (type: EifSection["type"]): Uint8Array[] => sections.filter((s) => s.type === type).map(content);
  const [kernel = new Uint8Array()] = all("kernel");
  const [cmdline = new Uint8Array()] = all("cmdline");
  const [metadata] = all("metadata");
  const [signature] = all("signature");
  return {
    architecture,
    defaultMemoryBytes,
    defaultCpus,
    kernel,
    cmdline,
    ramdisks: all("ramdisk"),
    ...(metadata && { metadata }),
    ...(signature && { signature }),
    sections,
  };
}

/** @throws {EifError} `ERR_EIF_CRC` */
export function checkCrc(expected: number, actual: number): void {
  if (actual !== expected) throw new EifError("ERR_EIF_CRC", { expected: hex32(expected), actual: hex32(actual) });
}

function hex32(value: number): string {
  return value.toString(16).padStart(8, "0");
}
