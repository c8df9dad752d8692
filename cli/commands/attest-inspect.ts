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
  print(values["json"] ? JSON.stringify(toJson(claims)) : toText(claims));
  return 0;
}

function isDebug({ kind, pcrs }: UnverifiedAttestation): boolean {
  return kind === "nsm" && [0, 1, 2].some((index) => isAllZero(pcrs.get(index) ?? Uint8Array.of(1)));
}

function toJson(claims: UnverifiedAttestation): object {
  const { kind, moduleId, timestamp, pcrs, publicKey, userData, nonce, chain, unknownFields } = claims;
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
    certificates: chain.map((der) => Buffer.from(der).toString("base64")),
    unknownFields,
  };
}

function toText(claims: UnverifiedAttestation): string {
  const { kind, moduleId, timestamp, pcrs, publicKey, userData, nonce, chain } = claims;
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
    `chain       ${chain.length} certificates, root first: ${chain.map((der) => der.length).join(", ")} bytes`,
  ].join("\n");
}
