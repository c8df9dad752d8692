/**
 * x509-limbo (revision of 2023-12-02, 135 cases) against our path validation.
 *
 * Our reader knows one profile, P-384 with ecdsa-with-SHA384, and no case is in it. So each case is run twice:
 *
 *   as it is    every case must be refused, whatever limbo expects; the two whose keys are partly on P-384 too
 *   moved       limbo's own certificates with the keys and signatures exchanged for P-384 ones (limbo.ts), and our
 *               verdict compared with limbo's
 *
 * The verdict is that of `authenticate`, the product's own step 2, over every order of the intermediates: a chain counts
 * as accepted when all that is left to refuse is the document's signature, which is nonsense here.
 *
 * What this proves: over structures that others wrote, no chain is accepted that limbo refuses, but for the deviations
 * below. What it does not: anything about host names, name constraints or path building, which attestation has not, nor
 * about RSA and P-256, which are refused outright.
 */
import { describe, expect, test } from "vitest";
import { authenticate } from "../../shared/attestation/authenticate.ts";
import { dangerouslyTrustRoot } from "../../shared/attestation/index.ts";
import { isAttestationError } from "../../shared/errors/index.ts";
import { hasVectors, vector } from "../vectors.ts";
import { derOf, type LimboCase, moveToP384, ordersOf } from "./limbo.ts";

const cases: readonly LimboCase[] = hasVectors
  ? (
      JSON.parse(Buffer.from(vector("conformance/x509-limbo/limbo-2023-12-02.json")).toString()) as {
        testcases: LimboCase[];
      }
    ).testcases
  : [];

/** Left out of the comparison by name: the network, host names, name constraints, and a setting that we have not. */
const OTHER_TOPICS = /^online::|::(nc|san)::|max-chain-depth/;
const applicable = cases.filter(({ id }) => !OTHER_TOPICS.test(id));

/** Cases that limbo refuses and we accept, each with its reason. */
const ACCEPTED: Readonly<Record<string, string>> = {
  "rfc5280::aki::leaf-missing-aki": "AWS's leaf certificates have none",
  "rfc5280::aki::intermediate-missing-aki": "55 of 124 genuine instance certificates have none",
  "rfc5280::aki::cross-signed-root-missing-aki":
    "the root is pinned byte for byte: what it says of its own issuer is not read",
  "rfc5280::ski::root-missing-ski":
    "names and signatures chain; an identifier is a hint, compared where both are there",
  "rfc5280::ski::intermediate-missing-ski": "55 of 124 genuine instance certificates have none",
  "webpki::aki::root-with-aki-ski-mismatch":
    "the root is pinned byte for byte: what it says of its own issuer is not read",
  "webpki::eku::ee-anyeku": "a rule of the Web's PKI; no extended key usage has a meaning here",
  "webpki::eku::ee-without-eku":
    "a rule of the Web's PKI, and against rfc5280::eku::ee-without-eku; AWS's leaf has none",
  "webpki::eku::root-has-eku": "a rule of the Web's PKI; no extended key usage has a meaning here",
  "webpki::malformed-aia": "an extension that is not critical and not known is not read (row X21)",
  "rfc5280::eku::ee-wrong-eku": "no extended key usage has a meaning here: a document is not a TLS server (row X23)",
};

/** Cases that limbo accepts and we refuse, each with its reason. */
const REFUSED: Readonly<Record<string, string>> = {
  "webpki::cryptographydotio-chain": "a genuine RSA chain: its keys can not be moved",
  "pathlen::validation-ignores-pathlen-in-leaf": "AWS attestation_process.md §3.2.3.3: a leaf has no pathLen (row X16)",
  "pathlen::self-issued-certs-pathlen":
    "every authority counts against pathLen: AWS's chains have none that is self-issued",
  "rfc5280::no-keyusage": "AWS attestation_process.md §3.2.3.3: a leaf has keyUsage (row X15)",
};

/** A signature that nobody made over bytes that nobody wrote. */
const SIGN1 = { payload: new Uint8Array(1), signature: new Uint8Array(96).fill(1), signed: new Uint8Array(1) };

async function accepts(
  roots: readonly Uint8Array[],
  issuers: readonly Uint8Array[],
  leaf: Uint8Array,
  now: Date,
): Promise<boolean> {
  for (const root of roots) {
    for (const order of ordersOf(issuers)) {
      if (await accept(root, order, leaf, now)) return true;
    }
  }
  return false;
}

async function accept(
  root: Uint8Array,
  intermediates: readonly Uint8Array[],
  leaf: Uint8Array,
  now: Date,
): Promise<boolean> {
  const claims = {
    kind: "nsm",
    moduleId: "i-0",
    timestamp: now,
    pcrs: new Map(),
    unknownFields: [],
    sign1: SIGN1,
  } as const;
  const parsed = { ...claims, issuers: [root, ...intermediates], leaf } as const;
  const error: unknown = await authenticate(parsed, { roots: [dangerouslyTrustRoot(root)], now }).catch(
    (reason: unknown) => reason,
  );
  if (!isAttestationError(error)) throw error;
  return error.code === "ERR_ATTESTATION_SIGNATURE";
}

const timeOf = ({ validation_time }: LimboCase): Date => new Date(validation_time ?? "2023-12-02T00:00:00Z");

describe.skipIf(!hasVectors)("x509-limbo (needs the reference vectors)", () => {
  test("135 cases, 65 of them applicable; 11 accepted and 4 refused against limbo's word", () => {
    expect([cases.length, applicable.length]).toEqual([135, 65]);
    expect([Object.keys(ACCEPTED).length, Object.keys(REFUSED).length]).toEqual([11, 4]);
  });

  test("S09, X29: as they are, on P-256 and RSA, none is accepted", async () => {
    const accepted: string[] = [];
    for (const limbo of cases) {
      const [roots, intermediates] = [limbo.trusted_certs.map(derOf), limbo.untrusted_intermediates.map(derOf)];
      if (await accepts(roots, intermediates, derOf(limbo.peer_certificate), timeOf(limbo))) accepted.push(limbo.id);
    }
    expect(accepted).toEqual([]);
  });

  for (const limbo of applicable) {
    test(`X45: ${limbo.id}, moved to P-384: ${limbo.expected_result}`, async () => {
      const { roots, intermediates, leaf, isMoved } = await moveToP384(limbo);
      const isAccepted = await accepts(roots, intermediates, leaf, timeOf(limbo));
      expect(isMoved || !isAccepted).toBe(true);
      const deviates = limbo.id in (isAccepted ? ACCEPTED : REFUSED);
      const verdict = isAccepted ? "SUCCESS" : "FAILURE";
      expect(verdict).toBe(deviates ? opposite(limbo.expected_result) : limbo.expected_result);
    });
  }

  test("X45: the deviations are of cases that there are", () => {
    const known = new Set(applicable.map(({ id }) => id));
    expect([...Object.keys(ACCEPTED), ...Object.keys(REFUSED)].filter((id) => !known.has(id))).toEqual([]);
  });
});

function opposite(result: LimboCase["expected_result"]): LimboCase["expected_result"] {
  return result === "SUCCESS" ? "FAILURE" : "SUCCESS";
}
