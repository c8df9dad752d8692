/**
 * What an enclave says of itself through `/dev/nsm`, and what was measured outside; a document that nobody signed.
 */
import { rmSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { signEifFile } from "../../image/eif-sign.ts";
import { measureEifFile } from "../../image/file.ts";
import { EmulatedInstance } from "../../mock/emulator/instance.ts";
import { AWS_NITRO_ROOT_G1, dangerouslyTrustRoot, verifyAttestation } from "../../shared/attestation/index.ts";
import { measureCertificate } from "../../shared/eif/certificate.ts";
import { extendPcr, zeroPcr } from "../../shared/nsm/pcr.ts";
import { makeIdentity } from "../eif/signing.ts";
import { emulator, hasEmulator } from "./emulator.ts";
import { bundle, enclaveImage, workFolder } from "./images.ts";

const CID = 4;
const INSTANCE = "i-0f0e0d0c0b0a09080";
const ROLE = "arn:aws:iam::210987654321:role/witness";
const BOOT_MS = 200_000;

interface Witness {
  readonly registers: Readonly<Record<string, string>>;
  readonly document: Uint8Array;
  readonly moduleId: string;
}

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");

async function extended(text: string): Promise<string> {
  return hex(await extendPcr(zeroPcr(), new Uint8Array(Buffer.from(text))));
}

describe.skipIf(!hasEmulator)("an enclave's own words (needs `make emulator`)", () => {
  const folder = hasEmulator ? workFolder() : "";
  let instance: EmulatedInstance;
  let eif: string;
  let pcr8: string;

  beforeAll(async () => {
    instance = await EmulatedInstance.start({
      files: emulator,
      folder,
      cids: [CID],
      instanceId: INSTANCE,
      parentRoleArn: ROLE,
    });
    const files = new Map([["main.mjs", await bundle("./witness.ts")]]);
    const { path } = await enclaveImage(emulator, { files }, `${folder}/unsigned.eif`);
    const { der, pem, privateKey } = makeIdentity();
    eif = `${folder}/witness.eif`;
    const key = new Uint8Array(Buffer.from(privateKey.export({ type: "pkcs8", format: "pem" })));
    const signer = { kind: "key", pem: key, name: "key" } as const;
    await signEifFile(path, { signer, certificatePem: pem, output: eif });
    pcr8 = hex(await measureCertificate({ der }));
  }, BOOT_MS);
  afterAll(async () => {
    if (instance) process.stdout.write(`boots repeated: ${instance.retries}\n`);
    await instance?.[Symbol.asyncDispose]();
    rmSync(folder, { recursive: true, force: true });
  });

  async function hear(eifPath: string, unsigned = false): Promise<Witness> {
    const { guest, moduleId } = await instance.bootEnclave({ eifPath, cid: CID, unsigned });
    await guest.says(/init: application ended/, BOOT_MS);
    await guest.ended;
    const lines = [...guest.console.matchAll(/witness (\d+) of (\d+): ([^\r\n]*)/g)];
    if (lines.length === 0 || lines.length !== Number(lines[0]?.[2])) throw new Error(guest.console.slice(-3_000));
    const said = JSON.parse(lines.map(([, , , text]) => text).join("")) as { registers: object; document: string };
    return {
      registers: said.registers as Witness["registers"],
      document: new Uint8Array(Buffer.from(said.document, "base64")),
      moduleId,
    };
  }

  const policyFor = (registers: Witness["registers"], root = dangerouslyTrustRoot(instance.rootCertificate)) =>
    ({
      kind: "nsm",
      roots: [root],
      images: [{ 0: registers["0"] ?? "", 1: registers["1"] ?? "", 2: registers["2"] ?? "" }],
      nonce: Buffer.alloc(32, 7),
      maxAgeMs: 300_000,
      userData: new Uint8Array(Buffer.from("witness")),
      publicKey: "unchecked",
    }) as const;

  test(
    "PCR0 to PCR4 and PCR8 inside are those measured outside, and the document verifies under this run's root only",
    async () => {
      const { pcr0, pcr1, pcr2 } = await measureEifFile(eif);
      const { registers, document, moduleId } = await hear(eif);
      const outside = {
        0: hex(pcr0),
        1: hex(pcr1),
        2: hex(pcr2),
        3: await extended(ROLE),
        4: await extended(INSTANCE),
        8: pcr8,
      };
      for (const [index, value] of Object.entries(outside)) {
        process.stdout.write(`PCR${index} inside  ${registers[index]}\nPCR${index} outside ${value}\n`);
      }
      expect(registers).toEqual(outside);
      const attestation = await verifyAttestation(document, policyFor(outside));
      expect(attestation.moduleId).toBe(moduleId);
      expect([...attestation.pcrs].slice(0, 5).map(([, value]) => hex(value))).toEqual(
        Object.values(outside).slice(0, 5),
      );
      await expect(verifyAttestation(document, policyFor(outside, AWS_NITRO_ROOT_G1))).rejects.toMatchObject({
        code: "ERR_ATTESTATION_ROOT_UNTRUSTED",
      });
    },
    BOOT_MS,
  );

  test(
    "a document of the machine without a key is refused",
    async () => {
      const { registers, document } = await hear(eif, true);
      await expect(verifyAttestation(document, policyFor(registers))).rejects.toMatchObject({
        code: expect.stringMatching(/^ERR_ATTESTATION_(ALGORITHM|MALFORMED)$/),
      });
    },
    BOOT_MS,
  );
});
