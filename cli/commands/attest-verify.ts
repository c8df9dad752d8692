/**
 * `cloister attest verify`: decides whether a document proves what a policy demands.
 *
 * @module
 */
import {
  attestationPolicyFromJson,
  type VerifiedAttestation,
  verifyAttestation,
} from "../../shared/attestation/index.ts";
import { toHex } from "../../shared/bytes.ts";
import { isToolkitError } from "../../shared/errors/index.ts";
import { decodeAs, readArguments, readInput, readJson } from "../arguments.ts";
import { type Terminal, UsageError } from "../terminal.ts";

const VERIFY_USAGE = `usage: cloister attest verify FILE|- --policy POLICY.json [--encoding raw|base64|hex] [--at TIME] [--json]

  verifies an attestation document under a policy; "-" reads standard input
  --policy FILE    the policy (schemas/attestation-policy.json)
  --encoding E     how FILE is written; default raw, never guessed
  --at TIME        judge at this moment (ISO 8601 with zone) instead of now: for archives, proves nothing about now

  example: cloister attest verify document.cose --policy policy.json`;

export async function attestVerify(args: readonly string[], { print }: Terminal): Promise<number> {
  const string = { type: "string" } as const;
  const boolean = { type: "boolean" } as const;
  const options = { policy: string, encoding: string, at: string, json: boolean, help: boolean };
  const { values, positionals } = readArguments(args, { options, operands: 1, usage: VERIFY_USAGE });
  if (values["help"]) {
    print(VERIFY_USAGE);
    return 0;
  }
  const { policy, encoding = "raw", at } = values;
  if (typeof policy !== "string") throw new UsageError("--policy is missing", VERIFY_USAGE);
  if (encoding !== "raw" && encoding !== "base64" && encoding !== "hex") {
    throw new UsageError("--encoding is raw, base64 or hex", VERIFY_USAGE);
  }
  const now = typeof at === "string" ? readTime(at) : new Date();
  const [path = "-"] = positionals;
  const document = decodeAs(encoding, await readInput(path), path);
  const judged = { judgedAt: now.toISOString(), ...(at !== undefined && { live: false }) };
  try {
    const attestation = await verifyAttestation(document, attestationPolicyFromJson(await readJson(policy)), { now });
    print(values["json"] ? JSON.stringify({ ...toJson(attestation), ...judged }) : toText(attestation));
    if (at !== undefined && !values["json"])
      print(`judged at ${judged.judgedAt} (--at), which proves nothing about now`);
    return 0;
  } catch (error) {
    if (values["json"] && isToolkitError(error))
      print(JSON.stringify({ verified: false, ...error.toJSON(), ...judged }));
    throw error;
  }
}

/** ISO 8601 with seconds and a zone: a time without one means another moment on another machine. */
function readTime(text: string): Date {
  const time = new Date(text);
  const isFull = /^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,3})?(Z|[+-][0-9]{2}:[0-9]{2})$/.test(
    text,
  );
  if (!isFull || Number.isNaN(time.getTime())) {
    throw new UsageError("--at is a time with its zone, such as 2026-01-31T12:00:00Z", VERIFY_USAGE);
  }
  return time;
}

function toJson({ kind, moduleId, timestamp, pcrs, debug, ...rest }: VerifiedAttestation): object {
  const hex = (bytes: Uint8Array | undefined): string | null => (bytes ? toHex(bytes) : null);
  return {
    verified: true,
    kind,
    moduleId,
    timestamp: timestamp.toISOString(),
    debug,
    pcrs: Object.fromEntries(Array.from(pcrs, ([index, value]) => [index, toHex(value)])),
    publicKey: hex(rest.publicKey),
    userData: hex(rest.userData),
    nonce: hex(rest.nonce),
  };
}

function toText(attestation: VerifiedAttestation): string {
  const { kind, moduleId, timestamp, pcrs, debug } = attestation;
  const lines = [`verified: ${kind} document of ${moduleId}, made ${timestamp.toISOString()}`];
  if (debug) lines.push("DEBUG MODE: the parent can read this enclave's memory");
  for (const index of [0, 1, 2]) lines.push(`PCR${index} ${toHex(pcrs.get(index) ?? new Uint8Array(0))}`);
  return lines.join("\n");
}
