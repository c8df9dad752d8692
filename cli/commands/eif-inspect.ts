/**
 * `cloister eif inspect`: shows everything that is in an image, and which of it nothing vouches for.
 *
 * @module
 */
import { inspectEifFile } from "../../image/file.ts";
import { toHex } from "../../shared/bytes.ts";
import type { EifInspection } from "../../shared/eif/inspect.ts";
import { readArguments } from "../arguments.ts";
import type { Terminal } from "../terminal.ts";
import { findingText, pcrsOf, printable, signatureState } from "./eif-text.ts";

const INSPECT_USAGE = `usage: cloister eif inspect FILE [--allow-nonstandard] [--json]

  shows header, sections, PCRs, command line, metadata, signature and what is odd about them
  what no PCR measures is marked "unmeasured": whoever holds the file can change it
  --allow-nonstandard   goes on where the strict reader refuses, as AWS's reader would, and says where they differ

  example: cloister eif inspect app.eif`;

export async function eifInspect(args: readonly string[], { print }: Terminal): Promise<number> {
  const boolean = { type: "boolean" } as const;
  const options = { json: boolean, help: boolean, "allow-nonstandard": boolean };
  const { values, positionals } = readArguments(args, { options, operands: 1, usage: INSPECT_USAGE });
  if (values["help"]) {
    print(INSPECT_USAGE);
    return 0;
  }
  const allowNonstandard = values["allow-nonstandard"] === true;
  const image = await inspectEifFile(positionals[0] ?? "", { allowNonstandard, eachSection: true });
  print(values["json"] ? JSON.stringify(toJson(image)) : toText(image));
  return 0;
}

const decoder = new TextDecoder();

function sectionsOf({ sections, sectionDigests }: EifInspection): object[] {
  return sections.map(({ type, offset, size }, index) => ({
    type,
    offset,
    size,
    sha384: toHex(sectionDigests[index] ?? new Uint8Array(0)),
    measured: type !== "metadata" && type !== "signature",
  }));
}

function certificateOf({ signature }: EifInspection): object | undefined {
  if (!signature) return undefined;
  const { curve, der, notBefore, notAfter } = signature.certificate;
  return {
    curve,
    notBefore: notBefore.toISOString(),
    notAfter: notAfter.toISOString(),
    der: Buffer.from(der).toString("base64"),
    signedPcr0: signature.signedPcr0 ? toHex(signature.signedPcr0.pcr0) : null,
  };
}

function toJson(image: EifInspection): object {
  const { version, flags, architecture, defaultMemoryBytes, defaultCpus, crc32, size, cmdline, metadata } = image;
  return {
    pcrs: pcrsOf(image.measurements),
    cmdline: decoder.decode(cmdline),
    sections: sectionsOf(image),
    signature: signatureState(image),
    certificate: certificateOf(image) ?? null,
    unmeasured: {
      size,
      version,
      flags,
      architecture,
      defaultMemoryBytes: String(defaultMemoryBytes),
      defaultCpus: String(defaultCpus),
      crc32: hex32(crc32),
      metadata: metadata ? decoder.decode(metadata) : null,
    },
    findings: image.findings,
  };
}

function hex32(value: number): string {
  return value.toString(16).padStart(8, "0");
}

function toText(image: EifInspection): string {
  const { version, architecture, defaultMemoryBytes, defaultCpus, crc32, size, metadata } = image;
  return [
    ...Object.entries(pcrsOf(image.measurements)).map(([name, value]) => `${name.padEnd(12)}${value}`),
    `cmdline     ${cmdlineText(image)}`,
    ...image.sections.map(({ type, size: bytes }, index) => {
      const digest = toHex(image.sectionDigests[index] ?? new Uint8Array(0));
      const mark = type === "metadata" || type === "signature" ? ", unmeasured" : "";
      return `section ${String(index).padEnd(4)}${type}, ${bytes} bytes${mark}, SHA-384 ${digest}`;
    }),
    `size        ${size} bytes`,
    `header      version ${version}, ${architecture}, ${defaultMemoryBytes} bytes of memory, ${defaultCpus} CPUs, ` +
      `CRC-32 ${hex32(crc32)}; unmeasured`,
    `metadata    ${metadata ? `${printable(decoder.decode(metadata))}; unmeasured` : "none"}`,
    signatureText(image),
    ...image.findings.map((finding) => findingText(finding)),
  ].join("\n");
}

function cmdlineText({ cmdline, sections }: EifInspection): string {
  const isCut = (sections.find(({ type }) => type === "cmdline")?.size ?? 0) > cmdline.length;
  return `${printable(decoder.decode(cmdline))}${isCut ? "…" : ""}`;
}

function signatureText(image: EifInspection): string {
  const state = signatureState(image);
  if (!image.signature) return `signature   ${state}`;
  const { curve, notBefore, notAfter } = image.signature.certificate;
  const validity = `${notBefore.toISOString()} to ${notAfter.toISOString()}`;
  return `signature   ${state}, covers PCR0 and nothing else; certificate ${curve}, ${validity}`;
}
