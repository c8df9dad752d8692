/**
 * Signs an image: a new file with a signature section over PCR0, or the bytes to sign where the key is elsewhere.
 *
 * The image is read strictly first, and what was signed is checked with the certificate before anything is written. The
 * new file is measured before it gets its name: a file that this makes verifies. The input is never changed.
 *
 * @module
 */
import { createPrivateKey, type KeyObject, sign } from "node:crypto";
import { crc32 } from "node:zlib";
import { equalBytes } from "../shared/bytes.ts";
import { planSignature } from "../shared/eif/attach.ts";
import { measureCertificate, readSigningCertificate } from "../shared/eif/certificate.ts";
import type { EifInspection } from "../shared/eif/inspect.ts";
import { EIF_FIELD, EIF_HEADER_BYTES } from "../shared/eif/layout.ts";
import type { EifMeasurements } from "../shared/eif/measure.ts";
import {
  isSignedBy,
  readDetachedSignature,
  readSignatureSection,
  readSignedPcr0,
  toBeSigned,
  writeSignatureSection,
} from "../shared/eif/signature.ts";
import type { EifSource } from "../shared/eif/source.ts";
import { EifError, isEifError } from "../shared/errors/eif.ts";
import { appendRange, createFile, type NewFile } from "./eif-output.ts";
import { changedMeanwhile, inspectOpenEif, withEifSource } from "./file.ts";

/** Who signs: a P-384 private key in PEM (PKCS#8 or SEC1), or a signature made elsewhere, r ‖ s or DER. */
export type EifSigner =
  | { readonly kind: "key"; readonly pem: Uint8Array; readonly name: string }
  | { readonly kind: "signature"; readonly bytes: Uint8Array };

export interface SignEifOptions {
  readonly signer: EifSigner;
  /** PEM, exactly one, of a P-384 key. */
  readonly certificatePem: Uint8Array;
  /** A file that does not exist yet. */
  readonly output: string;
  /** Whether a signature that is there may be replaced. Default false. */
  readonly replace?: boolean;
}

/**
 * The bytes that a key elsewhere signs with ECDSA and SHA-384: `MessageType` RAW for AWS KMS.
 *
 * @throws {EifError} what the strict reader refuses
 */
export async function toBeSignedOfFile(path: string): Promise<Uint8Array> {
  return toBeSigned((await withEifSource(path, (source) => inspectOpenEif(source))).measurements.pcr0);
}

/**
 * Writes a signed copy and gives its measurements, PCR8 among them.
 *
 * @throws {EifError} `ERR_EIF_SIGNING_KEY`, `ERR_EIF_SIGNATURE`, `ERR_EIF_SIGNATURE_INVALID`, `ERR_EIF_OUTPUT`
 */
export function signEifFile(path: string, options: SignEifOptions): Promise<EifMeasurements> {
  const { signer, certificatePem, output, replace = false } = options;
  const certificate = readSigningCertificate(certificatePem);
  if (certificate.curve !== "P-384") throw unusable("the certificate", `is on ${certificate.curve}, not P-384`);
  return createFile(output, (file) =>
    withEifSource(path, async (source) => {
      const image = await inspectOpenEif(source);
      if (image.signature && !replace) {
        throw new EifError("ERR_EIF_OUTPUT", { path: output, reason: "the image is signed already" });
      }
      const { pcr0 } = image.measurements;
      const content = writeSignatureSection({ certificatePem, pcr0, signature: signatureBy(signer, pcr0) });
      const signed = readSignedPcr0(readSignatureSection(content).message);
      if (!(await isSignedBy(signed, { certificate, expected: pcr0 }))) {
        if (signer.kind === "key") throw unusable(signer.name, "is not the certificate's key");
        throw new EifError("ERR_EIF_SIGNATURE_INVALID", { reason: "the certificate's key did not sign this image" });
      }
      await writeSigned(file, source, { image, content });
      const measurements = { ...image.measurements, pcr8: await measureCertificate(certificate) };
      if (!(await isAsMeasured(file, measurements))) throw changedMeanwhile(path);
      return measurements;
    }),
  );
}

/** Whether what was copied is what was measured: the source may have changed in between. */
async function isAsMeasured(file: NewFile, expected: EifMeasurements): Promise<boolean> {
  try {
    const { measurements, signatureValid } = await inspectOpenEif(file.written());
    const registers = ["pcr0", "pcr1", "pcr2", "pcr8"] as const;
    const none = new Uint8Array(0);
    return (
      signatureValid === true &&
      registers.every((register) => equalBytes(measurements[register] ?? none, expected[register] ?? none))
    );
  } catch (error) {
    if (isEifError(error) && error.code !== "ERR_EIF_OUTPUT") return false;
    throw error;
  }
}

function unusable(path: string, rule: string, cause?: unknown): EifError {
  return new EifError("ERR_EIF_SIGNING_KEY", { path, rule }, { cause });
}

function signatureBy(signer: EifSigner, pcr0: Uint8Array): Uint8Array {
  if (signer.kind === "signature") return readDetachedSignature(signer.bytes);
  const key = readKey(signer);
  return new Uint8Array(sign("sha384", toBeSigned(pcr0), { key, dsaEncoding: "ieee-p1363" }));
}

function readKey({ pem, name }: Extract<EifSigner, { kind: "key" }>): KeyObject {
  let key: KeyObject;
  try {
    key = createPrivateKey({ key: Buffer.from(pem), format: "pem" });
  } catch (cause) {
    throw unusable(name, "is not a private key in PEM that needs no passphrase", cause);
  }
  if (key.asymmetricKeyDetails?.namedCurve !== "secp384r1") throw unusable(name, "is not a P-384 key");
  return key;
}

async function writeSigned(
  file: NewFile,
  source: EifSource,
  { image, content }: { readonly image: EifInspection; readonly content: Uint8Array },
): Promise<void> {
  const old = new Uint8Array(EIF_HEADER_BYTES);
  await source.read(0, old);
  const { header, pieces } = planSignature(old, { layout: image, content });
  let crc = crc32(header.subarray(0, EIF_FIELD.crc));
  const see = (bytes: Uint8Array): void => {
    crc = crc32(bytes, crc);
  };
  await file.append(header);
  for (const piece of pieces) {
    if (piece.kind === "copy") await appendRange(file, source, { ...piece, see });
    else {
      see(piece.bytes);
      await file.append(piece.bytes);
    }
  }
  const field = new Uint8Array(4);
  new DataView(field.buffer).setUint32(0, crc);
  await file.patch(EIF_FIELD.crc, field);
}
