/**
 * Documents with their verdicts, as JSON: what every place that runs the verifier is asked.
 *
 * @module
 */
import { createMockNsm } from "../../mock/nsm/index.ts";
import { decodeAttestationUnverified } from "../../shared/attestation/inspect.ts";
import { toHex, utf8 } from "../../shared/bytes.ts";
import { vector, vectorIndex } from "../vectors.ts";

export interface Row {
  readonly name: string;
  /** Hex. */
  readonly document: string;
  /** As `attestationPolicyFromJson` reads it. */
  readonly policy: object;
  /** ISO 8601, or `its own time` for `verifyHistoricalAttestation`. */
  readonly at: string;
  readonly expect: string;
}

/** Every genuine document as it is, and twice with one bit flipped: in its signature, in what it says of itself. */
export function genuineRows(): Row[] {
  return vectorIndex().attestation.flatMap(({ file, debug_mode_pcr0_zero }) => {
    const document = vector(file);
    const { kind, pcrs, moduleId } = decodeAttestationUnverified(document);
    const policy = {
      kind,
      roots: ["aws"],
      images: [Object.fromEntries([...pcrs].map(([index, register]) => [index, toHex(register)]))],
      nonce: "unchecked",
      maxAgeMs: "unchecked",
      userData: "unchecked",
      publicKey: "unchecked",
      ...(debug_mode_pcr0_zero && { dangerouslyAllowDebug: true }),
    };
    const at = "its own time";
    return [
      { name: file, document: toHex(document), policy, at, expect: "accepted" },
      ...flipped(document, moduleId).map((each) => ({ ...each, policy, at, expect: "ERR_ATTESTATION_SIGNATURE" })),
    ];
  });
}

function flipped(document: Uint8Array, moduleId: string): Pick<Row, "name" | "document">[] {
  const hex = toHex(document);
  const claim = hex.indexOf(toHex(utf8(moduleId))) / 2 + moduleId.length - 1;
  return [
    { name: "a bit of its signature", document: toHex(withBitFlipped(document, document.length - 1)) },
    { name: "a bit of its module_id", document: toHex(withBitFlipped(document, claim)) },
  ];
}

function withBitFlipped(document: Uint8Array, offset: number): Uint8Array {
  return document.map((byte, index) => (index === offset ? byte ^ 1 : byte));
}

/** A document of the mock under the root made for it, the same with a bit flipped, and the same under AWS's root. */
export async function mockRows(): Promise<Row[]> {
  const at = "2026-06-01T12:00:00.000Z";
  const [pcr0, pcr1, pcr2] = [1, 2, 3].map((byte) => new Uint8Array(48).fill(byte)) as [
    Uint8Array,
    Uint8Array,
    Uint8Array,
  ];
  const nonce = new Uint8Array(32).fill(7);
  const { device, rootCertificate } = await createMockNsm({
    measurements: { pcr0, pcr1, pcr2 },
    now: () => new Date(at),
  });
  const document = await device.attest({ nonce });
  await device.close();
  const policy = {
    kind: "nsm",
    roots: [{ dangerouslyTrustRoot: Buffer.from(rootCertificate).toString("base64") }],
    images: [{ 0: toHex(pcr0), 1: toHex(pcr1), 2: toHex(pcr2) }],
    nonce: toHex(nonce),
    maxAgeMs: 60_000,
    userData: "unchecked",
    publicKey: "unchecked",
  };
  const damaged = toHex(withBitFlipped(document, document.length - 1));
  const row = { name: "a mock document", document: toHex(document), policy, at };
  return [
    { ...row, expect: "accepted" },
    { ...row, name: "a bit of its signature", document: damaged, expect: "ERR_ATTESTATION_SIGNATURE" },
    {
      ...row,
      name: "under AWS's root",
      policy: { ...policy, roots: ["aws"] },
      expect: "ERR_ATTESTATION_ROOT_UNTRUSTED",
    },
    {
      ...row,
      name: "with another nonce",
      policy: { ...policy, nonce: "08".repeat(32) },
      expect: "ERR_ATTESTATION_NONCE_MISMATCH",
    },
  ];
}
