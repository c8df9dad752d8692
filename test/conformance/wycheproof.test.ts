/**
 * Wycheproof's ECDSA P-384 vectors through the code that checks documents and certificates.
 *
 *   P1363  r ‖ s as in documents: importVerifyKey and isSigned, as authenticate.ts calls them
 *   ASN.1  the signature stands in a certificate: what readCertificate gives goes to isSigned
 *
 * Proves that this code accepts and refuses exactly what the vectors say. It says nothing about timing, and nothing about
 * keys on other curves: the reader never lets one reach WebCrypto.
 */
import { describe, expect, test } from "vitest";
import { fromHex } from "../../shared/bytes.ts";
import { importVerifyKey, isSigned } from "../../shared/cose/es384.ts";
import { readCertificate } from "../../shared/der/certificate.ts";
import { isEncodingError } from "../../shared/errors/index.ts";
import { bits, ordinaryParts } from "../attestation/der-writer.ts";
import { makeChain } from "../attestation/test-pki.ts";
import { hasVectors, vector } from "../vectors.ts";

interface Group {
  readonly publicKey: { readonly uncompressed: string };
  readonly tests: readonly { tcId: number; comment: string; msg: string; sig: string; result: "valid" | "invalid" }[];
}

function groupsOf(file: string): readonly Group[] {
  const text = Buffer.from(vector(`conformance/wycheproof/${file}`)).toString();
  return (JSON.parse(text) as { testGroups: readonly Group[] }).testGroups;
}

/** Runs every vector; gives how many there are and which ones came out otherwise than they say. */
async function run(
  file: string,
  verify: (key: Uint8Array, signature: Uint8Array, message: Uint8Array) => Promise<boolean>,
) {
  const cases = groupsOf(file).flatMap(({ publicKey, tests }) =>
    tests.map((each) => ({ point: publicKey.uncompressed, ...each })),
  );
  const mismatches: string[] = [];
  for (const { point, tcId, comment, msg, sig, result } of cases) {
    const isValid = await verify(fromHex(point), fromHex(sig), fromHex(msg));
    if (isValid !== (result === "valid")) mismatches.push(`${tcId} ${comment}: ${result}`);
  }
  return { count: cases.length, valid: cases.filter(({ result }) => result === "valid").length, mismatches };
}

describe.skipIf(!hasVectors)("Wycheproof P-384 (needs the reference vectors)", () => {
  test("S12: SHA-384, P1363", async () => {
    const verify = async (key: Uint8Array, signature: Uint8Array, message: Uint8Array): Promise<boolean> =>
      isSigned(await importVerifyKey(key), signature, message);
    const outcome = await run("ecdsa_secp384r1_sha384_p1363_test.json", verify);
    expect(outcome).toEqual({ count: 280, valid: 193, mismatches: [] });
  });

  test("S07: SHA-512 signatures are not SHA-384 signatures", async () => {
    let accepted = 0;
    for (const { publicKey, tests } of groupsOf("ecdsa_secp384r1_sha512_p1363_test.json")) {
      const key = await importVerifyKey(fromHex(publicKey.uncompressed));
      for (const { msg, sig } of tests) accepted += (await isSigned(key, fromHex(sig), fromHex(msg))) ? 1 : 0;
    }
    expect(accepted).toBe(0);
  });

  test("X40: SHA-384, ASN.1, through the certificate reader", async () => {
    const [root = new Uint8Array(0)] = (await makeChain()).certificates;
    const { tbs } = readCertificate(root);
    const { algorithm, certificate } = ordinaryParts();
    const verify = async (key: Uint8Array, signature: Uint8Array, message: Uint8Array): Promise<boolean> => {
      try {
        const read = readCertificate(certificate(tbs, algorithm, bits(signature)));
        return await isSigned(await importVerifyKey(key), read.signature, message);
      } catch (error) {
        if (!isEncodingError(error)) throw error;
        return false;
      }
    };
    const outcome = await run("ecdsa_secp384r1_sha384_test.json", verify);
    expect(outcome).toEqual({ count: 504, valid: 194, mismatches: [] });
  });
});
