/**
 * Properties of verification over any input. Runs are tenfold under SLOW=1.
 */
import { Decoder } from "cbor-x/decode-no-eval";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  type AttestationPolicy,
  AWS_NITRO_ROOT_G1,
  createChainCache,
  type ImageMeasurements,
  verifyAttestation,
} from "../../shared/attestation/index.ts";
import { decodeAttestationUnverified } from "../../shared/attestation/inspect.ts";
import { parse } from "../../shared/attestation/parse.ts";
import { equalBytes } from "../../shared/bytes.ts";
import { decodeCbor } from "../../shared/cbor/decode.ts";
import { type CborValue, encodeCbor } from "../../shared/cbor/encode.ts";
import { readCertificate } from "../../shared/der/certificate.ts";
import { isAttestationError, isEncodingError } from "../../shared/errors/index.ts";
import { hasVectors, vector, vectorIndex } from "../vectors.ts";
import { change, changed, isAccepted, made, madePolicy, noise, RUNS, tryParse } from "./noise.ts";
import { NOW } from "./test-pki.ts";

describe.skipIf(!hasVectors)("any single-byte change of a genuine document (needs the reference vectors)", () => {
  const genuine = vectorIndex().attestation.filter(
    ({ kind, debug_mode_pcr0_zero }) => kind === "nsm" && !debug_mode_pcr0_zero,
  );

  test.each([genuine.at(0), genuine.at(-1)])("of $file is refused", async (entry) => {
    const document = vector(entry?.file ?? "");
    const { pcrs, timestamp } = decodeAttestationUnverified(document);
    const images = [Object.fromEntries(pcrs) as ImageMeasurements] as const;
    const policy: AttestationPolicy = { ...madePolicy, roots: [AWS_NITRO_ROOT_G1], images };
    const options = { now: timestamp, chainCache: createChainCache() };
    expect(await isAccepted(document, policy, options)).toBe(true);
    await fc.assert(
      fc.asyncProperty(change(document.length), async (edit) => {
        expect(await isAccepted(changed(document, edit), policy, options)).toBe(false);
      }),
      { numRuns: 2 * RUNS },
    );
  });
});

describe("whatever the bytes", () => {
  test("nothing but our own errors is thrown", async () => {
    await fc.assert(
      fc.asyncProperty(noise, (input) => isAccepted(input, madePolicy, { now: NOW }).then(() => true)),
      { numRuns: RUNS },
    );
    const own = (read: () => unknown): void => {
      try {
        read();
      } catch (error) {
        if (!isAttestationError(error) && !isEncodingError(error)) throw error;
      }
    };
    fc.assert(
      fc.property(noise, (input) => {
        own(() => decodeAttestationUnverified(input));
        own(() => decodeCbor(input, { maxDepth: 8, indefinite: true }));
        own(() => readCertificate(input));
      }),
      { numRuns: RUNS * 10 },
    );
  });

  test("a document that is read is written and read again the same", () => {
    fc.assert(
      fc.property(
        fc.oneof(
          noise,
          change(made.length).map((edit) => changed(made, edit)),
        ),
        (input) => {
          const read = tryParse(input);
          if (!read) return;
          const fields = decodeCbor(read.sign1.payload, { maxDepth: 3, indefinite: true });
          const payload = encodeCbor(fields as CborValue);
          const again = encodeCbor([input.subarray(2, 6), new Map(), payload, read.sign1.signature]);
          const { sign1: first, ...claims } = read;
          const { sign1: second, ...claimsAgain } = parse(again);
          expect(claimsAgain).toEqual(claims);
          expect(second.signature).toEqual(first.signature);
          expect(decodeCbor(payload, { maxDepth: 3, indefinite: false })).toEqual(fields);
        },
      ),
      { numRuns: RUNS },
    );
  });

  test("changing the input afterwards changes nothing", async () => {
    const input = Uint8Array.from(made);
    const verifying = verifyAttestation(input, madePolicy, { now: NOW });
    input.fill(0);
    const attestation = await verifying;
    const untouched = await verifyAttestation(made, madePolicy, { now: NOW });
    expect(attestation).toEqual(untouched);
  });

  test("our gate accepts a subset of what cbor-x accepts, and gives the same value", () => {
    const plain = new Decoder({ mapsAsObjects: false, useRecords: false });
    const limits = { maxDepth: 8, indefinite: true };
    const { payload } = parse(made).sign1;
    const edited = change(payload.length).map((edit) => changed(payload, edit));
    let accepted = 0;
    fc.assert(
      fc.property(fc.oneof(fc.uint8Array({ maxLength: 12 }), edited, noise), (input) => {
        let ours: unknown;
        try {
          ours = decodeCbor(input, limits);
        } catch (error) {
          if (!isEncodingError(error)) throw error;
          return;
        }
        accepted++;
        expect(plain.decode(input)).toEqual(ours);
      }),
      { numRuns: RUNS * 10 },
    );
    expect(accepted).toBeGreaterThan(RUNS);
  });

  test("the reconstruction of what was signed is what was signed", () => {
    const { sign1 } = parse(made);
    const signed = encodeCbor(["Signature1", made.subarray(2, 6), new Uint8Array(0), sign1.payload]);
    expect(equalBytes(signed, sign1.signed)).toBe(true);
  });
});
