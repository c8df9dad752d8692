/**
 * Reads all of an image but the content that is only hashed: structure, command line, metadata, signature.
 *
 * This is the one parser, for images in memory and in files, strict or collecting. It reads a few kilobytes and the
 * metadata, in the order of the file, and takes no memory that a length field asks for.
 *
 * @module
 */
import { isEifError } from "../errors/eif.ts";
import { readSigningCertificate, type SigningCertificate } from "./certificate.ts";
import type { Findings } from "./finding.ts";
import {
  EIF_METADATA_MAX,
  EIF_SECTION_HEADER_BYTES,
  EIF_SIGNATURE_MAX,
  type EifSection,
  type SectionType,
} from "./layout.ts";
import { KERNEL_HEAD_BYTES, lint } from "./lint.ts";
import { ambiguityOf, parseMetadataObject, readMetadata } from "./metadata.ts";
import { readSignatureSection, readSignedPcr0, type SignedPcr0 } from "./signature.ts";
import type { Parser } from "./source.ts";
import { type EifLayout, walkEif } from "./walk.ts";

export interface EifDescription extends EifLayout {
  /** At most the first 4,096 bytes; Linux reads half of that. */
  readonly cmdline: Uint8Array;
  /** JSON text, not measured: nothing vouches for it. */
  readonly metadata?: Uint8Array;
  readonly signature?: EifSignature;
}

/** What the signature section holds; whether it is valid takes the image's PCR0. */
export interface EifSignature {
  /** As it stands in the section. */
  readonly certificatePem: Uint8Array;
  readonly certificate: SigningCertificate;
  /** Absent where it is not ES384 over a PCR0: never in an image that was read strictly. */
  readonly signedPcr0?: SignedPcr0;
}

const CMDLINE_SHOWN = 4096;

/** @throws {EifError} when strict, at the first thing that is wrong */
export function* describeEif(size: number, findings: Findings): Parser<EifDescription> {
  const layout = yield* walkEif(size, findings);
  const kernel = layout.sections.find(({ type }) => type === "kernel");
  const first = layout.sections.find(({ type }) => type === "cmdline");
  const cmdline = yield* readStart(first, CMDLINE_SHOWN);
  const ramdisks = layout.sections.filter(({ type }) => type === "ramdisk").length;
  lint(
    {
      architecture: layout.architecture,
      kernel: yield* readStart(kernel, KERNEL_HEAD_BYTES),
      cmdline,
      cmdlineBytes: first?.size ?? 0,
      ramdisks,
    },
    findings,
  );
  const metadata = yield* readMetadataSection(layout, findings);
  const signature = yield* readSignature(layout, findings);
  return { ...layout, cmdline, ...(metadata && { metadata }), ...(signature && { signature }) };
}

function* readStart(section: EifSection | undefined, most: number): Parser<Uint8Array> {
  if (!section) return new Uint8Array(0);
  return yield { offset: section.offset + EIF_SECTION_HEADER_BYTES, length: Math.min(section.size, most) };
}

/** AWS's reader keeps the last of several. A byte more than the limit is read, so that the parsers see it is too long. */
function lastOf({ sections }: EifLayout, wanted: SectionType): EifSection | undefined {
  return sections.findLast(({ type }) => type === wanted);
}

function* readMetadataSection(layout: EifLayout, findings: Findings): Parser<Uint8Array | undefined> {
  const section = lastOf(layout, "metadata");
  if (!section) return undefined;
  const bytes = yield* readStart(section, EIF_METADATA_MAX + 1);
  const aws = "takes any JSON that its own reader takes, and refuses the image otherwise";
  const object = findings.attempt(() => parseMetadataObject(bytes), aws);
  if (object) {
    const reason = ambiguityOf(bytes);
    if (reason) findings.warn("metadata-ambiguous", `parsers may read the metadata differently: ${reason}`);
    try {
      readMetadata(bytes);
    } catch (error) {
      if (!isEifError(error)) throw error;
      findings.warn("metadata-fields", `${error.message}; AWS's reader refuses the image`);
    }
  }
  return bytes;
}

function* readSignature(layout: EifLayout, findings: Findings): Parser<EifSignature | undefined> {
  const section = lastOf(layout, "signature");
  if (!section) return undefined;
  const bytes = yield* readStart(section, EIF_SIGNATURE_MAX + 1);
  const entry = findings.attempt(
    () => readSignatureSection(bytes),
    "takes the first entry, and panics where there is none",
  );
  if (!entry) return undefined;
  const aws = "takes the first certificate and ignores what stands around it";
  const certificate = findings.attempt(() => readSigningCertificate(entry.certificatePem), aws);
  if (!certificate) return undefined;
  const signedPcr0 = findings.attempt(() => readSignedPcr0(entry.message), "looks at it only to show it");
  const { curve } = certificate;
  if (signedPcr0 && curve !== "P-384") {
    const rule = `the key is on ${curve}, the signature is ES384`;
    findings.error("ERR_EIF_SIGNATURE", { path: "[0].signing_certificate", rule }, "says that it is not valid");
  }
  return { certificatePem: entry.certificatePem, certificate, ...(signedPcr0 && { signedPcr0 }) };
}
