import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { concat, fromHex, toHex, utf8 } from "../../shared/bytes.ts";
import { encodeCbor } from "../../shared/cbor/encode.ts";
import { measureCertificate, readSigningCertificate } from "../../shared/eif/certificate.ts";
import { appraiseEif } from "../../shared/eif/expected.ts";
import { type EifInspection, inspectEif } from "../../shared/eif/inspect.ts";
import { measureEif } from "../../shared/eif/measure.ts";
import { readEif } from "../../shared/eif/read.ts";
import { isSignedBy, readDetachedSignature, readSignatureSection, readSignedPcr0 } from "../../shared/eif/signature.ts";
import { bytesSource } from "../../shared/eif/source.ts";
import { integer, NULL, oid, sequence, signatureValue } from "../attestation/der-writer.ts";
import { CMDLINE, craft, KERNEL, nodeDigests, type Part, RAMDISK, SIGNATURE, verdict } from "./craft.ts";
import {
  entry,
  type IdentityEdit,
  type MessageEdit,
  makeIdentity,
  NOW,
  pemOf,
  sectionOf,
  signMessage,
  twin,
} from "./signing.ts";

const parts: readonly Part[] = [
  [KERNEL, utf8("kernel")],
  [CMDLINE, utf8("console=ttyS0")],
  [RAMDISK, utf8("init")],
  [RAMDISK, utf8("app")],
];
const { pcr0 } = await measureEif(readEif(craft(parts)));
const ECDSA_OID = oid("1.2.840.10045.4.3.3");
const identity = makeIdentity();
const other = makeIdentity();
const signedWith = (section: Uint8Array): Uint8Array => craft([...parts, [SIGNATURE, section]]);
const ordinary = (edit: MessageEdit = {}, who = identity): Uint8Array =>
  signedWith(sectionOf(entry(who.pem, signMessage(who, pcr0, edit))));
const inspect = (file: Uint8Array, allowNonstandard = false): Promise<EifInspection> =>
  inspectEif(bytesSource(file), { digests: nodeDigests, allowNonstandard });

describe("a signed image", () => {
  test("is accepted: valid, and PCR8 over the certificate's DER", async () => {
    const image = await inspect(ordinary());
    expect(image.signatureValid).toBe(true);
    expect(toHex(image.measurements.pcr8 ?? new Uint8Array())).toBe(toHex(await measureCertificate(identity)));
    expect((await inspect(craft(parts))).measurements.pcr8).toBeUndefined();
  });

  test("E28: PCR8 is extend(0, SHA384(DER)), as AWS's crate computes it, and not SHA384(DER)", async () => {
    const file = new Uint8Array(readFileSync(new URL("vectors/signed.eif", import.meta.url)));
    const known = JSON.parse(readFileSync(new URL("vectors/signed.json", import.meta.url), "utf8"));
    const { measurements, signatureValid, signature } = await inspect(file);
    const { pcr8 = new Uint8Array() } = measurements;
    expect([toHex(measurements.pcr0), toHex(measurements.pcr1), toHex(measurements.pcr2), toHex(pcr8)]).toEqual([
      known.PCR0,
      known.PCR1,
      known.PCR2,
      known.PCR8,
    ]);
    expect(signatureValid).toBe(true);
    const naive = createHash("sha384").update(signature?.certificate.der ?? new Uint8Array());
    expect(naive.digest("hex")).not.toBe(toHex(pcr8));
  });
});

describe("the section's shape", () => {
  const good = signMessage(identity, pcr0);
  const swapped = (field: string, value: unknown) =>
    sectionOf(new Map<string, never>([...(entry(identity.pem, good) as Map<string, never>), [field, value as never]]));
  test.each<[string, Uint8Array]>([
    ["E20: no entry, on which AWS's reader panics", sectionOf()],
    ["E21: two entries", sectionOf(entry(identity.pem, good), entry(identity.pem, good))],
    ["E21: two entries of different certificates", sectionOf(entry(identity.pem, good), entry(other.pem, good))],
    ["not CBOR", utf8("signature")],
    ["a map instead of an array", encodeCbor(entry(identity.pem, good))],
    ["a byte after it", concat(sectionOf(entry(identity.pem, good)), Uint8Array.of(0))],
    ["byte strings, which AWS's tools never write", swapped("signature", good)],
    ["an octet of 256", swapped("signature", [256])],
    ["an octet of -1", swapped("signature", [-1])],
    ["a third field", swapped("more", 1)],
    ["a field missing", sectionOf(new Map([["signature", [...good]]]))],
    ["64 KiB and a byte", new Uint8Array(64 * 1024 + 1)],
    ["a nest of arrays", new Uint8Array(60_000).fill(0x81)],
  ])("%s → refused", async (_, section) => {
    expect(await verdict(() => readEif(signedWith(section)))).toBe("ERR_EIF_SIGNATURE");
    const { findings } = await inspect(signedWith(section), true);
    expect(findings).toMatchObject([{ code: "ERR_EIF_SIGNATURE", severity: "error" }]);
  });

  test.each<[string, MessageEdit]>([
    ["E22: over register 1", { index: 1 }],
    ["E22: over register 8", { index: 8 }],
    ["E26: ES256 with a P-384 key", { protectedHeader: fromHex("a10126"), hash: "sha256" }],
    ["E26: ES512 with a P-384 key", { protectedHeader: fromHex("a1013823"), hash: "sha512" }],
    ["no algorithm", { protectedHeader: fromHex("a0") }],
    ["a payload that is not CBOR", { payload: utf8("x") }],
    [
      "a payload with a byte string",
      {
        payload: encodeCbor(
          new Map<string, never>([
            ["register_index", 0 as never],
            ["register_value", pcr0 as never],
          ]),
        ),
      },
    ],
    [
      "a PCR0 of 47 bytes",
      {
        payload: encodeCbor(
          new Map<string, never>([
            ["register_index", 0 as never],
            ["register_value", [...pcr0.subarray(1)] as never],
          ]),
        ),
      },
    ],
    ["a signature of 95 bytes", { signature: (bytes) => bytes.subarray(1) }],
  ])("%s → refused", async (_, edit) => {
    expect(await verdict(() => readEif(ordinary(edit)))).toBe("ERR_EIF_SIGNATURE");
    // The certificate is read for its own sake: PCR8 stands.
    const { findings, measurements, signatureValid } = await inspect(ordinary(edit), true);
    expect(findings).toMatchObject([{ code: "ERR_EIF_SIGNATURE" }]);
    expect([measurements.pcr8?.length, signatureValid]).toEqual([48, false]);
  });
});

describe("E24: the certificate's text", () => {
  const pem = new TextDecoder().decode(identity.pem);
  test.each<[string, Uint8Array, string]>([
    ["as openssl writes it", identity.pem, "accepted"],
    ["with CRLF", utf8(pem.replaceAll("\n", "\r\n")), "accepted"],
    ["without the last newline", utf8(pem.trimEnd()), "accepted"],
    ["of version 3 with extensions", makeIdentity({ version: 3 }).pem, "accepted"],
    ["two certificates", utf8(pem + pem), "ERR_EIF_SIGNATURE"],
    ["text behind it", utf8(`${pem}x`), "ERR_EIF_SIGNATURE"],
    ["an empty line behind it", utf8(`${pem}\n`), "ERR_EIF_SIGNATURE"],
    ["an empty line in it", utf8(pem.replace(/\n(.{64})\n/, "\n$1\n\n")), "ERR_EIF_SIGNATURE"],
    ["an empty line at its end", utf8(pem.replace("\n-----END", "\n\n-----END")), "ERR_EIF_SIGNATURE"],
    ["text before it", utf8(`x\n${pem}`), "ERR_EIF_SIGNATURE"],
    ["DER", identity.der, "ERR_EIF_SIGNATURE"],
    ["DER with a byte behind it", pemOf(concat(identity.der, Uint8Array.of(0))), "ERR_EIF_SIGNATURE"],
    ["DER a byte short", pemOf(identity.der.subarray(0, -1)), "ERR_EIF_SIGNATURE"],
    ["no base64", utf8(pem.replace(/\n.{4}/, "\n=AAA")), "ERR_EIF_SIGNATURE"],
    ["another label", utf8(pem.replaceAll("CERTIFICATE", "PUBLIC KEY")), "ERR_EIF_SIGNATURE"],
    [
      "base64 with bits that nobody reads",
      utf8("-----BEGIN CERTIFICATE-----\nMAB=\n-----END CERTIFICATE-----\n"),
      "ERR_EIF_SIGNATURE",
    ],
    ["16 KiB and a byte", new Uint8Array(16_385).fill(0x41), "ERR_EIF_SIGNATURE"],
  ])("%s → $2", async (_, bytes, expected) => {
    expect(await verdict(() => readSigningCertificate(bytes))).toBe(expected);
  });
});

test("E24: base64 with bits that nobody reads is refused: the same certificate would have two texts", async () => {
  const texts = [3, 4, 5].map((length) => {
    const { pem } = makeIdentity({ issuerSignature: new Uint8Array(length) });
    return new TextDecoder().decode(pem);
  });
  const padded = texts.find((text) => /[^=]=\n/.test(text)) ?? "";
  expect(await verdict(() => readSigningCertificate(utf8(padded)))).toBe("accepted");
  // The last digit before one `=` has two bits to spare, which are zero.
  const spare = padded.replace(/([A-Za-z0-9+/])=\n/, (_, digit: string) => {
    const digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    return `${digits[digits.indexOf(digit) + 1]}=\n`;
  });
  expect(await verdict(() => readSigningCertificate(utf8(spare)))).toBe("ERR_EIF_SIGNATURE");
});

describe("E25: the certificate's key and time", () => {
  test.each<[string, IdentityEdit, string]>([
    ["RSA", { curve: "rsa" }, "ERR_EIF_SIGNATURE"],
    ["secp256k1", { curve: "secp256k1" }, "ERR_EIF_SIGNATURE"],
    ["P-256", { curve: "P-256" }, "P-256"],
    ["P-521", { curve: "P-521" }, "P-521"],
    ["two algorithms", { outerAlgorithm: sequence(integer(1)) }, "ERR_EIF_SIGNATURE"],
    ["an algorithm with NULL", { algorithm: sequence(ECDSA_OID, NULL) }, "P-384"],
    ["an algorithm with another parameter", { algorithm: sequence(ECDSA_OID, integer(5)) }, "ERR_EIF_SIGNATURE"],
    [
      "an algorithm that is not DER inside: OpenSSL would write it anew, and PCR8 be another",
      { algorithm: sequence(ECDSA_OID, fromHex("0282000105")) },
      "ERR_EIF_SIGNATURE",
    ],
    ["NULL with content", { algorithm: sequence(ECDSA_OID, fromHex("050100")) }, "ERR_EIF_SIGNATURE"],
    ["two parameters", { algorithm: sequence(ECDSA_OID, NULL, NULL) }, "ERR_EIF_SIGNATURE"],
    ["no algorithm", { algorithm: sequence() }, "ERR_EIF_SIGNATURE"],
    ["a compressed point", { spki: (spki) => spki.with(-97, 2) }, "ERR_EIF_SIGNATURE"],
  ])("%s: $2", async (_, edit, expected) => {
    const { pem } = makeIdentity(edit);
    let curve = "";
    const found = await verdict(() => void (curve = readSigningCertificate(pem).curve));
    expect(found === "accepted" ? curve : found).toBe(expected);
  });

  test("E25: ES384 beside a certificate of P-256 is refused; collecting, PCR8 is given and the signature is not valid", async () => {
    const section = sectionOf(entry(makeIdentity({ curve: "P-256" }).pem, signMessage(identity, pcr0)));
    expect(await verdict(() => readEif(signedWith(section)))).toBe("ERR_EIF_SIGNATURE");
    const { measurements, signatureValid } = await inspect(signedWith(section), true);
    expect([measurements.pcr8?.length, signatureValid]).toEqual([48, false]);
  });

  test("a point that is not on the curve is nobody's key", async () => {
    const off = makeIdentity({ spki: (spki) => spki.with(-1, (spki.at(-1) ?? 0) ^ 1) });
    expect((await inspect(ordinary({}, off))).signatureValid).toBe(false);
  });

  test.each<[string, Date, string]>([
    ["its first moment", new Date(NOW.getTime() - 1000), "accepted"],
    ["its last moment", new Date(NOW.getTime() + 1000), "accepted"],
    ["too early", new Date(NOW.getTime() - 1001), "ERR_EIF_CERTIFICATE_TIME"],
    ["too late", new Date(NOW.getTime() + 1001), "ERR_EIF_CERTIFICATE_TIME"],
  ])("E25: at %s → $2", async (_, now, expected) => {
    const image = await inspect(ordinary());
    expect(await verdict(() => appraiseEif(image, { measurements: image.measurements }, { now }))).toBe(expected);
  });
});

describe("whether it is valid", () => {
  test.each<[string, Uint8Array, boolean]>([
    ["E23: over another PCR0", signedWith(sectionOf(entry(identity.pem, signMessage(identity, PCR(1))))), false],
    ["by another key", signedWith(sectionOf(entry(identity.pem, signMessage(other, pcr0)))), false],
    ["E27: a byte flipped", ordinary({ signature: (bytes) => bytes.with(50, (bytes[50] ?? 0) ^ 1) }), false],
    ["E27: r zero", ordinary({ signature: (bytes) => concat(new Uint8Array(48), bytes.subarray(48)) }), false],
    ["E27: the twin (r, n − s), valid by ECDSA's nature", ordinary({ signature: twin }), true],
  ])("%s: $2", async (_, file, expected) => {
    const image = await inspect(file);
    expect(image.signatureValid).toBe(expected);
    const refusal = expected ? "accepted" : "ERR_EIF_SIGNATURE_INVALID";
    expect(await verdict(() => appraiseEif(image, { measurements: image.measurements }, { now: NOW }))).toBe(refusal);
  });

  function PCR(byte: number): Uint8Array {
    return new Uint8Array(48).fill(byte);
  }
});

describe("a signature made elsewhere", () => {
  const { signature } = readSignedPcr0(
    readSignatureSection(sectionOf(entry(identity.pem, signMessage(identity, pcr0)))).message,
  );
  const der = signatureValue(signature);

  test("DER and r ‖ s give the same; small numbers are filled up", async () => {
    expect(readDetachedSignature(der)).toEqual(signature);
    expect(readDetachedSignature(signature)).toEqual(signature);
    expect(readDetachedSignature(sequence(integer(1), integer(2)))).toEqual(
      concat(new Uint8Array(47), Uint8Array.of(1), new Uint8Array(47), Uint8Array.of(2)),
    );
    const signed = { ...readSignedPcr0(signMessage(identity, pcr0)), signature: readDetachedSignature(der) };
    const certificate = readSigningCertificate(identity.pem);
    expect(await isSignedBy(signed, { certificate, expected: pcr0 })).toBe(true);
  });

  test.each<[string, Uint8Array]>([
    ["a byte behind it", concat(der, Uint8Array.of(0))],
    ["a byte short", der.subarray(0, -1)],
    ["a third number", sequence(integer(1), integer(2), integer(3))],
    ["a negative number", sequence(integer(Uint8Array.of(0x80)), integer(2))],
    ["a number with a zero before it", sequence(integer(Uint8Array.of(0, 1)), integer(2))],
    ["a number of 49 bytes", sequence(integer(1n << 384n), integer(2))],
    ["97 bytes", concat(signature, Uint8Array.of(0))],
    ["nothing", new Uint8Array()],
  ])("%s → refused", async (_, bytes) => {
    expect(await verdict(() => readDetachedSignature(bytes))).toBe("ERR_EIF_SIGNATURE");
  });
});
