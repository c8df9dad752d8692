/**
 * What does not compile (`tsc -p test/tsconfig.json`: each expected error must be one), and what happens to those who make
 * it compile with a cast.
 */
import { beforeAll, describe, expect, expectTypeOf, test } from "vitest";
import {
  type AttestationPolicy,
  type AuthenticAttestation,
  authenticateAttestation,
  createChallengeIssuer,
  createReplayGuard,
  dangerouslyTrustRoot,
  type HistoricalAttestation,
  type VerifiedAttestation,
  verifyAttestation,
  verifyHistoricalAttestation,
} from "../../shared/attestation/index.ts";
import { decodeAttestationUnverified, type UnverifiedAttestation } from "../../shared/attestation/inspect.ts";
import { policyFor } from "./row.ts";
import { makeDocument, NOW } from "./test-pki.ts";

const guard = createReplayGuard({ windowMs: 1, monotonicMs: () => 0 });
const issuer = createChallengeIssuer({ lifetimeMs: 1, monotonicMs: () => 0 });

describe("types", () => {
  let document: Uint8Array;
  let root: Uint8Array;
  beforeAll(async () => void ({ document, root } = await makeDocument()));

  test("only verifyAttestation gives a VerifiedAttestation", () => {
    expectTypeOf(verifyAttestation).returns.resolves.toEqualTypeOf<VerifiedAttestation>();
    expectTypeOf<UnverifiedAttestation>().not.toExtend<VerifiedAttestation>();
    expectTypeOf<AuthenticAttestation>().not.toExtend<VerifiedAttestation>();
    expectTypeOf<HistoricalAttestation>().not.toExtend<VerifiedAttestation>();
    expectTypeOf(guard.admit).parameter(0).toEqualTypeOf<VerifiedAttestation>();
    expectTypeOf(issuer.redeem).parameter(0).toEqualTypeOf<VerifiedAttestation>();
  });

  test("a VerifiedAttestation can not be written down", async () => {
    const attestation = await verifyAttestation(document, policyFor(root), { now: NOW });
    const { kind, moduleId, timestamp, pcrs, unknownFields, certificateExpires } = attestation;
    const fields = {
      kind,
      moduleId,
      timestamp,
      pcrs,
      unknownFields,
      certificateExpires,
      authentic: true,
      debug: false,
    } as const;
    // @ts-expect-error the brand is missing, and its symbol can not be named
    const made: VerifiedAttestation = fields;
    expect(() => guard.admit(made)).toThrow(TypeError);
  });

  test("unverified claims are refused where verified ones are needed", () => {
    const unverified = decodeAttestationUnverified(document);
    // @ts-expect-error nobody vouches for these claims
    expect(() => guard.admit(unverified)).toThrow(TypeError);
    // @ts-expect-error nobody vouches for these claims
    expect(() => issuer.redeem(unverified)).toThrow(TypeError);
  });

  test("authentic claims, which no policy was asked about, are refused", async () => {
    const { roots } = policyFor(root);
    const authentic = await authenticateAttestation(document, { roots, now: NOW });
    // @ts-expect-error no policy was asked
    expect(() => guard.admit(authentic)).toThrow(TypeError);
    // @ts-expect-error no policy was asked
    expect(() => issuer.redeem(authentic)).toThrow(TypeError);
  });

  test("T08: a document judged at its own time is refused", async () => {
    const historical = await verifyHistoricalAttestation(document, policyFor(root));
    expect(historical.historical).toBe(true);
    // @ts-expect-error it proves that an enclave was, not that it is
    expect(() => guard.admit(historical)).toThrow(TypeError);
    // @ts-expect-error it proves that an enclave was, not that it is
    expect(() => issuer.redeem(historical)).toThrow(TypeError);
  });

  test("D33: a root other than AWS's is named dangerous where it is trusted", async () => {
    // @ts-expect-error plain bytes are no trust anchor
    const unnamed: AttestationPolicy = { ...policyFor(root), roots: [root] };
    expect(unnamed.roots.length).toBe(1);
    const named: AttestationPolicy = { ...policyFor(root), roots: [dangerouslyTrustRoot(root)] };
    expect((await verifyAttestation(document, named, { now: NOW })).authentic).toBe(true);
    // @ts-expect-error not even as text
    expect(() => dangerouslyTrustRoot("root.der")).toThrow(TypeError);
    expect(() => dangerouslyTrustRoot(new Uint8Array(0))).toThrow(TypeError);
  });

  test("D30, D32: a policy without its fields does not compile", () => {
    const { nonce: _nonce, ...noNonce } = policyFor(root);
    const { roots: _roots, ...noRoots } = policyFor(root);
    // @ts-expect-error the nonce is required, if only as "unchecked"
    expectTypeOf(noNonce).toExtend<AttestationPolicy>();
    // @ts-expect-error a root is required
    expectTypeOf(noRoots).toExtend<AttestationPolicy>();
    // @ts-expect-error one image at least
    const noImage: AttestationPolicy = { ...policyFor(root), images: [] };
    expect(noImage.images.length).toBe(0);
  });
});
