/**
 * How the `eif` commands show an image: for people, and as JSON with the same facts.
 *
 * @module
 */

import { toHex } from "../../shared/bytes.ts";
import type { EifFinding } from "../../shared/eif/finding.ts";
import type { EifInspection } from "../../shared/eif/inspect.ts";
import type { EifMeasurements } from "../../shared/eif/measure.ts";
import type { Terminal } from "../terminal.ts";

/** As much of a text as is shown. */
const SHOWN = 4_096;

/** Text out of an image: nothing of it may steer a terminal, and what was cut off has a mark. */
export function printable(text: string): string {
  return text.slice(0, SHOWN).replace(/[^ -~]/g, "?") + (text.length > SHOWN ? "…" : "");
}

/** PCR name → hex, in the order of their numbers; PCR8 where the image is signed. */
export function pcrsOf({ pcr0, pcr1, pcr2, pcr8 }: EifMeasurements): Readonly<Record<string, string>> {
  return { PCR0: toHex(pcr0), PCR1: toHex(pcr1), PCR2: toHex(pcr2), ...(pcr8 && { PCR8: toHex(pcr8) }) };
}

/** What `nitro-cli build-enclave` prints. */
export function measurementsJson(measurements: EifMeasurements): object {
  return { HashAlgorithm: "Sha384 { ... }", ...pcrsOf(measurements) };
}

/** Findings on standard error: they are remarks, not the result. */
export function tellFindings(findings: readonly EifFinding[], { tell }: Terminal): void {
  for (const finding of findings) tell(`cloister: ${findingText(finding)}`);
}

export function findingText(finding: EifFinding): string {
  const text = `${finding.severity}: ${printable(finding.message)} [${finding.code}]`;
  return finding.severity === "error" ? `${text}; AWS's reader ${finding.aws}` : text;
}

export function signatureState(image: EifInspection): "none" | "valid" | "invalid" | "unreadable" {
  if (image.signature) return image.signatureValid ? "valid" : "invalid";
  return image.sections.some(({ type }) => type === "signature") ? "unreadable" : "none";
}
