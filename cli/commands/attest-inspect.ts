/**
 * `cloister attest inspect`: shows what a document says, and believes none of it.
 *
 * @module
 */
import { decodeAttestationUnverified, type UnverifiedAttestation } from "../../shared/attestation/inspect.ts";
import { isAllZero, toHex } from "../../shared/bytes.ts";
import { decodeAs, readArguments, readInput } from "../arguments.ts";
import { type Terminal, UsageError } from "../terminal.ts";

const INSPECT_USAGE = `usage: cloister attest inspect FILE|- [--encoding raw|base64|hex] [--json]

  shows a document's fields UNVERIFIED: no signature, chain or policy is checked

  example: cloister attest inspect document.cose`;

/** What Nitro Enclaves measures; NitroTPM registers are the platform's. */
const MEANING: Readonly<Record<number, string>> = {
  0: "image",
  1: "kernel and boot ramdisk",
  2: "application",
  3: "parent's IAM role",
  4: "parent's instance id",
  8: "signing certificate",
};

export async function attestInspect(args: readonly string[], { print }: Terminal): Promise<number> {
  const boolean = { type: "boolean" } as const;
  const options = { encoding: { type: "string" }, json: boolean, help: boolean } as const;
  const { values, positionals } = readArguments(args, { options, operands: 1, usage: INSPECT_USAGE });
  if (values["help"]) {
    print(INSPECT_USAGE);
    return 0;
  }
  const { encoding = "raw" } = values;
  if (encoding !== "raw" && encoding !== "base64" && encoding !== "hex") {
    throw new UsageError("--encoding is raw, base64 or hex", INSPECT_USAGE);
  }
  const [path = "-"] = positionals;
  const claims = decodeAttestationUnverified(decodeAs(encoding, await readInput(path), path));
  const certificates = await describeCertificates(claims.chain);
  print(values["json"] ? JSON.stringify(toJson(claims, certificates)) : toText(claims, certificates));
  return 0;
}

/** One certificate, as a lenient reader sees it: for people, never for a decision. */
interface CertificateView {
  readonly subject: string;
  readonly issuer: string;
  readonly notBefore: string;
  readonly notAfter: string;
  /** The digest that the issuer signed. */
  readonly digest: string;
  /** DER, base64. */
  readonly der: string;
}

async function describeCertificates(chain: readonly Uint8Array[]): Promise<(CertificateView | { der: string })[]> {
  await import("reflect-metadata");
  const { X509Certificate } = await import("@peculiar/x509");
  return chain.map((bytes) => {
    const der = Buffer.from(bytes).toString("base64");
    try {
      const { subject, issuer, notBefore, notAfter, signatureAlgorithm } = new X509Certificate(Uint8Array.from(bytes));
      return {
        subject: printable(subject),
        issuer: printable(issuer),
        notBefore: notBefore.toISOString(),
        notAfter: notAfter.toISOString(),
        digest: printable(signatureAlgorithm.hash.name),
        der,
      };
    } catch {
      return { der }; // shown as unreadable: nothing is decided here
    }
  });
}

/** Names come from whoever wrote the document: nothing of them may steer a terminal. */
function printable(text: string): string {
  return text.replace(/[^ -~]/g, "?").slice(0, 300);
}

function isDebug({ kind, pcrs }: UnverifiedAttestation): boolean {
  return kind === "nsm" && [0, 1, 2].some((index) => isAllZero(pcrs.get(index) ?? Uint8Array.of(1)));
}

function toJson(claims: UnverifiedAttestation, certificates: readonly object[]): object {
  const { kind, moduleId, timestamp, pcrs, publicKey, userData, nonce, unknownFields } = claims;
  const hex = (bytes: Uint8Array | undefined): string | null => (bytes ? toHex(bytes) : null);
  return {
    verified: false,
    kind,
    moduleId,
    timestamp: timestamp.toISOString(),
    debug: isDebug(claims),
    pcrs: Object.fromEntries(Array.from(pcrs, ([index, value]) => [index, toHex(value)])),
    publicKey: hex(publicKey),
    userData: hex(userData),
    nonce: hex(nonce),
    certificates,
    unknownFields,
  };
}

function toText(claims: UnverifiedAttestation, certificates: readonly (CertificateView | { der: string })[]): string {
  const { kind, moduleId, timestamp, pcrs, publicKey, userData, nonce, unknownFields } = claims;
  const size = (bytes: Uint8Array | undefined): string => (bytes ? `${bytes.length} bytes ${toHex(bytes)}` : "absent");
  return [
    "UNVERIFIED: nobody vouches for what follows",
    `kind        ${kind}`,
    `module_id   ${moduleId}`,
    `timestamp   ${timestamp.toISOString()}`,
    ...(isDebug(claims) ? ["DEBUG MODE  PCR0, PCR1 or PCR2 is all zero"] : []),
    ...Array.from(
      pcrs,
      ([index, value]) =>
        `PCR${index}`.padEnd(12) + `${toHex(value)}  ${(kind === "nsm" && MEANING[index]) || ""}`.trimEnd(),
    ),
    `public_key  ${size(publicKey)}`,
    `user_data   ${size(userData)}`,
    `nonce       ${size(nonce)}`,
    ...certificates.map((certificate, index) => {
      const role = index === 0 ? "root" : index === certificates.length - 1 ? "leaf" : "issuer";
      if (!("subject" in certificate)) return `certificate ${role}, not readable`;
      const { subject, notBefore, notAfter, digest } = certificate;
      return `certificate ${role}, ${notBefore} to ${notAfter}, ${digest}: ${subject}`;
    }),
    ...(unknownFields.length > 0 ? [`unknown     ${unknownFields.map(printable).join(", ")}`] : []),
  ].join("\n");
}
