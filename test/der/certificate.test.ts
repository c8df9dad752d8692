/** The certificate reader by itself: what no later check would make up for. */
import { describe, expect, test } from "vitest";
import { concat, fromHex } from "../../shared/bytes.ts";
import { type Certificate, readCertificate } from "../../shared/der/certificate.ts";
import { EncodingError } from "../../shared/errors/encoding.ts";
import { bits, extension, sequence, tlv } from "../attestation/der-writer.ts";
import { type CertificateRecipe, makeChain } from "../attestation/test-pki.ts";

/** The leaf, read after an edit of its recipe. */
async function leaf(edit: (recipe: CertificateRecipe) => void): Promise<Certificate> {
  const { certificates } = await makeChain((list) => list.slice(-1).forEach(edit));
  return readCertificate(certificates.at(-1) ?? new Uint8Array(0));
}

test("a list of extensions has one at least", async () => {
  await expect(leaf((recipe) => void (recipe.extensions = []))).rejects.toThrow(EncodingError);
  expect((await leaf((recipe) => void recipe.extensions.splice(1))).extensions).toMatchObject({
    basicConstraints: { critical: true, isCa: false },
    unknownCritical: [],
  });
});

describe("keyUsage", () => {
  const usage = (content: string, unused: number): Promise<Certificate> =>
    leaf((recipe) => void (recipe.extensions = [extension("2.5.29.15", true, bits(fromHex(content), unused))]));

  test.each([
    ["80", 7, { digitalSignature: true, keyCertSign: false }],
    ["04", 2, { digitalSignature: false, keyCertSign: true }],
    ["81", 0, { digitalSignature: true, keyCertSign: false }],
    ["0480", 7, { digitalSignature: false, keyCertSign: true }],
  ])("%s with %i unused bits is %o", async (content, unused, keyUsage) => {
    expect((await usage(content, unused)).extensions.keyUsage).toEqual(keyUsage);
  });

  // A shift takes its count modulo 32: 32 unused bits must not pass for none.
  test.each([
    ["81", 8],
    ["81", 32],
    ["80", 39],
    ["81", 64],
    ["81", 0xe0],
  ])("%s with %i unused bits is refused", async (content, unused) => {
    await expect(usage(content, unused)).rejects.toThrow(EncodingError);
  });
});

describe("the public key", () => {
  const key = (edit: (spki: Uint8Array) => Uint8Array): Promise<Certificate> =>
    leaf((recipe) => void (recipe.parts = (parts) => void (parts.publicKey = edit(parts.publicKey))));

  test("is the point, 97 bytes that begin with 04", async () => {
    const { publicKey } = await key((spki) => spki);
    expect(publicKey.length).toBe(97);
    expect(publicKey[0]).toBe(4);
  });

  test.each<[string, (spki: Uint8Array) => Uint8Array]>([
    ["a byte more in the point", (spki) => rewrap(spki, concat(spki.subarray(-97), Uint8Array.of(0)))],
    ["a byte less", (spki) => rewrap(spki, spki.subarray(-97, -1))],
    ["a byte more behind the point", (spki) => sequence(spki.subarray(2), tlv(0x05))],
    ["the point alone", (spki) => sequence(bits(spki.subarray(-97)))],
  ])("of %s is refused", async (_, edit) => {
    await expect(key(edit)).rejects.toThrow(EncodingError);
  });
});

/** The algorithm as it is, with another point. */
function rewrap(spki: Uint8Array, point: Uint8Array): Uint8Array {
  return sequence(spki.subarray(2, -100), bits(point));
}
