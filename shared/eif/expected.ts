/**
 * Decides whether an image is the one that somebody expects, and reads what they expect from JSON.
 *
 *   { "Measurements": { "HashAlgorithm": "Sha384 { ... }", "PCR0": hex, "PCR1": hex, "PCR2": hex, "PCR8"?: hex },
 *     "Sections"?: [{ "type": "kernel", "size": 1 }, …] }
 *
 * That is what `nitro-cli build-enclave` prints, and `cloister eif measure --json` with the section table. PCRs hash
 * content without its boundaries, so without `Sections` bytes may have moved between kernel, command line and ramdisks.
 *
 * @module
 */
import { fromHex, toHex } from "../bytes.ts";
import { ConfigError } from "../errors/config.ts";
import { EifError } from "../errors/eif.ts";
import type { EifInspection } from "./inspect.ts";
import type { EifSection } from "./layout.ts";
import type { EifMeasurements } from "./measure.ts";

export interface ExpectedImage {
  readonly measurements: EifMeasurements;
  /** Kernel, command line and ramdisks, in order; absent where nobody pinned them. */
  readonly sections?: readonly MeasuredSection[];
}

/** A section that PCRs measure, without its content. Metadata and signature are not measured and may differ. */
export interface MeasuredSection {
  readonly type: (typeof MEASURED)[number];
  /** In bytes. */
  readonly size: number;
}

const MEASURED = ["kernel", "cmdline", "ramdisk"] as const;

type Json = Readonly<Record<string, unknown>>;

const PCRS = ["PCR0", "PCR1", "PCR2", "PCR8"] as const;

/**
 * Refuses an image that is not the expected one. A signature that is there must be valid, whoever made it: only PCR8,
 * where it is expected, says whose it is.
 *
 * @throws {EifError} `ERR_EIF_SIGNATURE_INVALID`, `ERR_EIF_MEASUREMENT`, `ERR_EIF_CERTIFICATE_TIME`, `ERR_EIF_TABLE`
 */
export function appraiseEif(image: EifInspection, expected: ExpectedImage, { now }: { readonly now: Date }): void {
  if (image.signatureValid === false) throw new EifError("ERR_EIF_SIGNATURE_INVALID", { reason: reasonOf(image) });
  const { measurements } = expected;
  for (const [index, wanted, actual] of [
    [0, measurements.pcr0, image.measurements.pcr0],
    [1, measurements.pcr1, image.measurements.pcr1],
    [2, measurements.pcr2, image.measurements.pcr2],
    [8, measurements.pcr8, image.measurements.pcr8],
  ] as const) {
    const hex = actual ? toHex(actual) : "absent";
    if (wanted && toHex(wanted) !== hex) {
      throw new EifError("ERR_EIF_MEASUREMENT", { index, expected: toHex(wanted), actual: hex });
    }
  }
  checkTime(image, now);
  if (expected.sections) checkTable(measuredSections(image.sections), expected.sections);
}

export function measuredSections(sections: readonly EifSection[]): readonly MeasuredSection[] {
  return sections.flatMap(({ type, size }) => (isMeasured(type) ? [{ type, size }] : []));
}

function reasonOf({ signature, measurements }: EifInspection): string {
  const pcr0 = signature?.signedPcr0?.pcr0;
  if (pcr0 && toHex(pcr0) !== toHex(measurements.pcr0)) return "it covers another PCR0";
  return "the certificate's key did not make it";
}

/** Nitro does not start an image whose certificate has expired. */
function checkTime({ signature }: EifInspection, now: Date): void {
  if (!signature) return;
  const { notBefore, notAfter } = signature.certificate;
  if (now >= notBefore && now <= notAfter) return;
  const [from, to] = [notBefore.toISOString(), notAfter.toISOString()];
  throw new EifError("ERR_EIF_CERTIFICATE_TIME", { notBefore: from, notAfter: to, at: now.toISOString() });
}

function checkTable(actual: readonly MeasuredSection[], expected: readonly MeasuredSection[]): void {
  const show = (section: MeasuredSection | undefined): string =>
    section ? `${section.type} of ${section.size} bytes` : "absent";
  for (let section = 0; section < Math.max(actual.length, expected.length); section++) {
    const [wanted, found] = [show(expected[section]), show(actual[section])];
    if (wanted !== found) throw new EifError("ERR_EIF_TABLE", { section, expected: wanted, actual: found });
  }
}

/**
 * What a parsed JSON value expects.
 *
 * @throws {ConfigError} a field that is missing, unknown or of another form
 */
export function expectedImageFromJson(json: unknown): ExpectedImage {
  const top = object("file", json, ["Measurements", "Sections"]);
  const pcrs = object("Measurements", top["Measurements"], ["HashAlgorithm", ...PCRS]);
  const algorithm = pcrs["HashAlgorithm"];
  // The second name is what AWS's crate prints since it changed its hash library.
  if (algorithm !== undefined && !(typeof algorithm === "string" && /^Sha(384|512_48)\b/.test(algorithm))) {
    throw invalid("Measurements.HashAlgorithm", "Sha384", algorithm);
  }
  const [pcr0, pcr1, pcr2] = [pcr(pcrs, "PCR0"), pcr(pcrs, "PCR1"), pcr(pcrs, "PCR2")];
  const pcr8 = pcrs["PCR8"] === undefined ? undefined : pcr(pcrs, "PCR8");
  const sections = top["Sections"] === undefined ? undefined : sectionsOf(top["Sections"]);
  return { measurements: { pcr0, pcr1, pcr2, ...(pcr8 && { pcr8 }) }, ...(sections && { sections }) };
}

function pcr(pcrs: Json, name: (typeof PCRS)[number]): Uint8Array {
  const value = pcrs[name];
  if (typeof value === "string" && /^[0-9a-fA-F]{96}$/.test(value)) return fromHex(value);
  throw invalid(`Measurements.${name}`, "96 hex digits", value);
}

function sectionsOf(value: unknown): readonly MeasuredSection[] {
  if (!Array.isArray(value)) throw invalid("Sections", "an array", value);
  return value.map((entry: unknown, index) => {
    const { type, size } = object(`Sections[${index}]`, entry, ["type", "size"]);
    const isSize = typeof size === "number" && Number.isSafeInteger(size) && size > 0;
    if (!isSize) throw invalid(`Sections[${index}].size`, "a number of bytes", size);
    if (!isMeasured(type)) throw invalid(`Sections[${index}].type`, MEASURED.join(" or "), type);
    return { type, size };
  });
}

function isMeasured(type: unknown): type is MeasuredSection["type"] {
  return MEASURED.some((measured) => measured === type);
}

function object(field: string, value: unknown, known: readonly string[]): Json {
  if (typeof value !== "object" || value === null || Array.isArray(value)) throw invalid(field, "an object", value);
  const stranger = Object.keys(value).find((key) => !known.includes(key));
  if (stranger !== undefined)
    throw new ConfigError("ERR_CONFIG_FIELD_UNKNOWN", { field: `${field}.${stranger}`, known });
  return value as Json;
}

function invalid(field: string, expected: string, value: unknown): ConfigError {
  if (value === undefined) return new ConfigError("ERR_CONFIG_FIELD_MISSING", { field, expected });
  return new ConfigError("ERR_CONFIG_FIELD_INVALID", { field, expected, actual: typeof value });
}
