/**
 * Runs rows of the reference table of negative cases. Each row is the accepted baseline with one thing changed, twice:
 * signed anew under our own test PKI, so that only the rule under test can refuse it; and with the signatures from before
 * the change, where it must be refused whatever the row is about.
 *
 * A title begins with the row's id; `test/rows.test.ts` counts the ids that tests declare.
 *
 * @module
 */
import { describe, expect, test } from "vitest";
import {
  type AttestationPolicy,
  dangerouslyTrustRoot,
  type VerifiedAttestation,
  verifyAttestation,
} from "../../shared/attestation/index.ts";
import { type AnyAttestationError, isAttestationError } from "../../shared/errors/index.ts";
import type { Forged } from "./cbor-writer.ts";
import { type CertificateRecipe, type Edits, makeDocument, NOW, type PayloadFields, PCR } from "./test-pki.ts";

export const NONCE: Uint8Array = new Uint8Array(32).fill(9);

export interface Row extends Edits {
  readonly id: string;
  readonly why: string;
  readonly policy?: Partial<AttestationPolicy>;
  readonly now?: Date;
  readonly clockSkewMs?: number;
  readonly expect: string;
  /** The change is in how it is signed, or there is none: nothing is left of the row without its signature. */
  readonly isSigning?: true;
  /** What an accepted document must say. */
  readonly says?: (attestation: VerifiedAttestation) => void;
}

export const SIZE = "ERR_ATTESTATION_SIZE";
export const MALFORMED = "ERR_ATTESTATION_MALFORMED";
export const ALGORITHM = "ERR_ATTESTATION_ALGORITHM";
export const ROOT = "ERR_ATTESTATION_ROOT_UNTRUSTED";
export const CHAIN = "ERR_ATTESTATION_CHAIN";
export const TIME = "ERR_ATTESTATION_CERTIFICATE_TIME";
export const TIMESTAMP = "ERR_ATTESTATION_TIMESTAMP";
export const SIGNATURE = "ERR_ATTESTATION_SIGNATURE";

/** The policy that the baseline document satisfies. */
export function policyFor(root: Uint8Array): AttestationPolicy {
  return {
    kind: "nsm",
    roots: [dangerouslyTrustRoot(root)],
    images: [{ 0: PCR(1), 1: PCR(2), 2: PCR(3) }],
    nonce: NONCE,
    maxAgeMs: 60_000,
    userData: "unchecked",
    publicKey: "unchecked",
  };
}

export async function codeOf(verifying: Promise<unknown>): Promise<string> {
  try {
    await verifying;
    return "accepted";
  } catch (error) {
    if (!isAttestationError(error)) throw error;
    assertFacts(error);
    return error.code;
  }
}

const PLACE = /^(document|protected|unprotected|signature|payload(\.[a-z_]+(\[\d+\])?)?)$/;

/** A refusal says what it is about: every fact of its code, a place that exists, and no `undefined` in its words. */
function assertFacts({ code, message, details }: AnyAttestationError): void {
  const facts: Readonly<Record<string, unknown>> = details;
  expect(message).not.toMatch(/undefined|NaN|\b(must be|must name|says|says it)\s*$/);
  // Of a signature there is nothing to tell, and a document without PCR0 can be of a revoked image.
  if (code !== SIGNATURE) expect(Object.keys(facts)).not.toHaveLength(0);
  for (const [name, value] of Object.entries(facts)) if (name !== "pcr0") expect(value, name).not.toBe("");
  if ("path" in facts) expect(facts["path"]).toMatch(PLACE);
  if ("certificate" in facts) expect(facts["certificate"]).toBeGreaterThanOrEqual(0);
  if ("actualBytes" in facts) expect(facts["actualBytes"]).toBeGreaterThanOrEqual(-1);
}

async function judge(row: Row, isResigned: boolean): Promise<string> {
  const { document, root } = await makeDocument(row, isResigned);
  const { policy, now = NOW, clockSkewMs = 0 } = row;
  const verifying = verifyAttestation(document, { ...policyFor(root), ...policy }, { now, clockSkewMs });
  return codeOf(verifying.then((attestation) => row.says?.(attestation)));
}

export function describeRows(area: string, rows: readonly Row[]): void {
  describe(area, () => {
    for (const row of rows) {
      test(`${row.id}: ${row.why} → ${row.expect}`, async () => expect(await judge(row, true)).toBe(row.expect));
    }
    const edited = rows.filter(({ isSigning, chain, certificates, payload, payloadBytes, message }) =>
      [chain, certificates, payload, payloadBytes, message].some((edit) => edit !== undefined && !isSigning),
    );
    for (const row of edited) {
      test(`${row.id} as bytes alone: ${row.why}`, async () => expect(await judge(row, false)).not.toBe("accepted"));
    }
  });
}

/** Several changes that one row names: `[why, edits]` each, all with the same verdict. */
export function variants(id: string, expected: string, cases: readonly (readonly [string, Partial<Row>])[]): Row[] {
  return cases.map(([why, edits]) => ({ id, why, expect: expected, ...edits }));
}

export const field = (name: string, value: Forged): Edits => ({
  payload: (fields: PayloadFields) => void fields.set(name, value),
});

/** One certificate's recipe changed; 0 is the root, 4 the leaf. */
export const certificate = (index: number, edit: (recipe: CertificateRecipe) => void): Edits => ({
  chain: (list) => {
    const recipe = list[index];
    if (!recipe) throw new RangeError(`no certificate ${index}`);
    edit(recipe);
  },
});

export const withExtensions = (index: number, ...extensions: Uint8Array[]): Edits =>
  certificate(index, (recipe) => void (recipe.extensions = extensions));

/** The list of certificates in the document changed, with none signed anew. */
export const certificates = (edit: (list: (Uint8Array | undefined)[]) => (Uint8Array | undefined)[]): Edits => ({
  certificates: (list) => edit(list).filter((der) => der !== undefined),
});

export const hours = (count: number): Date => new Date(NOW.getTime() + count * 3_600_000);
export const flip = (bytes: Uint8Array, at: number, bit = 1): Uint8Array => bytes.with(at, (bytes.at(at) ?? 0) ^ bit);
