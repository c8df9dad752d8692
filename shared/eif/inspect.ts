/**
 * Reads, measures and judges an image of any size: everything that can be said of a file alone.
 *
 *   1. describe   structure, cross-checked before anything is hashed
 *   2. digest     one pass: PCR0, PCR1, PCR2, checksum
 *   3. compare    the checksum with the header's, the signature with PCR0
 *
 * Strictly, the first error is thrown. With `allowNonstandard` errors are findings, the PCRs are those that AWS's reader
 * would compute, and each finding says what that reader does. Whether the image is the expected one is asked in `appraise.ts`.
 *
 * @module
 */
import { measureCertificate } from "./certificate.ts";
import { describeEif, type EifDescription } from "./describe.ts";
import { digestSource, type EifDigests } from "./digest-source.ts";
import { collecting, type EifFinding, strict } from "./finding.ts";
import type { EifMeasurements } from "./measure.ts";
import { checkCrc } from "./read.ts";
import { isSignedBy } from "./signature.ts";
import { type EifSource, parseSource } from "./source.ts";

export interface InspectOptions {
  readonly digests: EifDigests;
  /** Default false: the first error is thrown. True: errors are findings, measured as AWS's reader would. */
  readonly allowNonstandard?: boolean;
  /** Whether each section is hashed by itself too. Default false. */
  readonly eachSection?: boolean;
}

export interface EifInspection extends EifDescription {
  readonly measurements: EifMeasurements;
  /** SHA-384 of each section's content; empty where not asked for. */
  readonly sectionDigests: readonly Uint8Array[];
  /** Whether the certificate's key signed this PCR0. Absent where the image is not signed. */
  readonly signatureValid?: boolean;
  readonly findings: readonly EifFinding[];
}

/** @throws {EifError} */
export async function inspectEif(source: EifSource, options: InspectOptions): Promise<EifInspection> {
  const { digests, allowNonstandard = false, eachSection = false } = options;
  const findings = allowNonstandard ? collecting() : strict();
  const description = await parseSource(describeEif(source.size, findings), source);
  const digested = await digestSource(source, description, { digests, eachSection });
  findings.attempt(() => checkCrc(description.crc32, digested.crc32), "computes it, and refuses nothing");
  const { signature } = description;
  const { measurements } = digested;
  const signed = signature && {
    measurements: { ...measurements, ...(await pcr8Of(description)) },
    signatureValid: await isValid(signature, measurements),
  };
  return { ...description, measurements, ...signed, sectionDigests: digested.sections, findings: findings.all };
}

async function isValid(
  signature: NonNullable<EifDescription["signature"]>,
  { pcr0 }: EifMeasurements,
): Promise<boolean> {
  const { signedPcr0, certificate } = signature;
  return signedPcr0 !== undefined && (await isSignedBy(signedPcr0, { certificate, expected: pcr0 }));
}

/** Of several signature sections AWS's reader hashes all certificates, which no hypervisor is known to do: none is given. */
async function pcr8Of({ signature, sections }: EifDescription): Promise<{ pcr8?: Uint8Array }> {
  if (!signature || sections.filter(({ type }) => type === "signature").length > 1) return {};
  return { pcr8: await measureCertificate(signature.certificate) };
}
