/**
 * What is fuzzed: every parser that reads hostile bytes, and the verifier as a whole.
 *
 * @module
 */
import { generateKeyPairSync } from "node:crypto";
import { buildAppImage, readCpio, readEif, writeCpio } from "../../image/index.ts";
import { sealForRecipient } from "../../mock/aws/kms/recipient-message.ts";
import { type AttestationPolicy, dangerouslyTrustRoot, verifyAttestation } from "../../shared/attestation/index.ts";
import { decodeAttestationUnverified } from "../../shared/attestation/inspect.ts";
import { parse } from "../../shared/attestation/parse.ts";
import { equalBytes } from "../../shared/bytes.ts";
import { decodeCbor } from "../../shared/cbor/decode.ts";
import { type CborValue, encodeCbor } from "../../shared/cbor/encode.ts";
import { readEnvelopedData } from "../../shared/cms/enveloped-data.ts";
import { readSign1 } from "../../shared/cose/sign1.ts";
import { readCertificate } from "../../shared/der/certificate.ts";
import { readSigningCertificate } from "../../shared/eif/certificate.ts";
import { readDetachedSignature, readSignatureSection, readSignedPcr0 } from "../../shared/eif/signature.ts";
import { isToolkitError } from "../../shared/errors/index.ts";
import { makeDocument, NOW, PCR } from "../attestation/test-pki.ts";
import { anySignature, makeIdentity, pemOf } from "../eif/signing.ts";
import type { FuzzTarget } from "./fuzzer.ts";

/** A refusal by design is no finding. */
function refusing(read: () => void): void {
  try {
    read();
  } catch (error) {
    if (!isToolkitError(error)) throw error;
  }
}

const baseline = makeDocument();

const cbor: FuzzTarget = {
  name: "cbor",
  covers: /shared\/cbor\/decode/,
  seeds: async () => [parse((await baseline).document).sign1.payload],
  run: (data) =>
    refusing(() => {
      const value = decodeCbor(data, { maxDepth: 8, indefinite: true });
      const again = encodeCbor(value as CborValue);
      // What is accepted has one meaning: written in definite form it reads back the same.
      const reread = encodeCbor(decodeCbor(again, { maxDepth: 8, indefinite: false }) as CborValue);
      if (!equalBytes(again, reread)) throw new Error("accepted CBOR does not read back");
    }),
};

const cose: FuzzTarget = {
  name: "cose",
  covers: /shared\/(cose|cbor)\//,
  seeds: async () => [(await baseline).document],
  run: (data) => refusing(() => void readSign1(data)),
};

const certificate: FuzzTarget = {
  name: "certificate",
  covers: /shared\/der\//,
  seeds: async () => decodeAttestationUnverified((await baseline).document).chain,
  run: (data) => refusing(() => void readCertificate(data)),
};

const attestation: FuzzTarget = {
  name: "attestation",
  covers: /shared\/(attestation|cose|cbor|der)\//,
  seeds: async () => [(await baseline).document],
  run: async (data) => {
    const { document, root } = await baseline;
    const policy: AttestationPolicy = {
      kind: "nsm",
      roots: [dangerouslyTrustRoot(root)],
      images: [{ 0: PCR(1), 1: PCR(2), 2: PCR(3) }],
      nonce: "unchecked",
      maxAgeMs: "unchecked",
      userData: "unchecked",
      publicKey: "unchecked",
    };
    refusing(() => void decodeAttestationUnverified(data));
    const accepted = await verifyAttestation(data, policy, { now: NOW }).then(
      () => true,
      (error: unknown) => {
        if (isToolkitError(error)) return false;
        throw error;
      },
    );
    // Tag 18 in front is the one other form of the same message.
    const bare = data[0] === 0xd2 ? data.subarray(1) : data;
    if (accepted && !equalBytes(bare, document)) throw new Error("a document that nobody signed was accepted");
  },
};

const cms: FuzzTarget = {
  name: "cms",
  covers: /shared\/cms\//,
  seeds: async () => {
    const { publicKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
    const spki = new Uint8Array(publicKey.export({ type: "spki", format: "der" }));
    return [sealForRecipient(new Uint8Array(32), { encryptTo: spki, nameAs: spki })];
  },
  run: (data) => refusing(() => void readEnvelopedData(data)),
};

const eif: FuzzTarget = {
  name: "eif",
  covers: /shared\/eif\//,
  seeds: async () => {
    const files = new Map([["main.mjs", new Uint8Array(40)]]);
    return [(await buildAppImage({ files, platform: "mock" })).eif, writeCpio(files)];
  },
  run: (data) => {
    refusing(() => void readEif(data));
    refusing(() => void readCpio(data));
  },
};

const eifSignature: FuzzTarget = {
  name: "eif-signature",
  covers: /shared\/(eif\/(certificate|signature)|cose|cbor|der)/,
  seeds: async () => [anySignature(), makeIdentity().pem, makeIdentity({ version: 3 }).der],
  run: (data) => {
    refusing(() => void readSignedPcr0(readSignatureSection(data).message));
    refusing(() => void readSigningCertificate(data));
    refusing(() => void readSigningCertificate(pemOf(data)));
    refusing(() => void readDetachedSignature(data));
  },
};

export const TARGETS: readonly FuzzTarget[] = [cbor, cose, certificate, attestation, cms, eif, eifSignature];
