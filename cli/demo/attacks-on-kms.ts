/**
 * Attacks on KMS by whoever holds the enclave role's credentials, as the parent does: without a document, and with
 * documents that are not what they seem.
 *
 * @module
 */
import { generateKeyPairSync } from "node:crypto";
import { kmsFailure } from "../../enclave/kms/failures.ts";
import { measureEifFile } from "../../image/index.ts";
import { createMockNsm } from "../../mock/index.ts";
import { decodeAttestationUnverified } from "../../shared/attestation/inspect.ts";
import { type KmsCalls, open } from "../../shared/envelope/sealed.ts";
import { RemoteError } from "../../shared/errors/index.ts";
import { CARRIER, INSTANCE_ID, OPERATOR_ACCOUNT } from "./cast.ts";
import { forgeLeaf } from "./forgery.ts";
import { judged } from "./judged.ts";
import { type Scene, TEN_MINUTES_MS } from "./scene.ts";

/** The parent's own credentials, and documents that are not what they seem. */
export async function attackKmsDirectly(scene: Scene): Promise<void> {
  const { world, story } = scene;
  await story.attack(
    "the parent's own role calls Decrypt without a document",
    "ERR_KMS_ACCESS_DENIED",
    () => judged(scene, () => decryptWith(scene, undefined)),
    /NoReleaseUnlessPCR0Matches/,
  );

  const genuine = await world.aws.call<{ document: string }>("lastAttestationDocument");
  const document = new Uint8Array(Buffer.from(genuine.document, "base64"));
  await story.step(
    "control: the enclave's own last document, replayed by the parent at once",
    () => decryptWith(scene, document),
    (bytes) => `KMS answers (it keeps no list of used documents), in ${bytes} bytes that only the enclave's key opens`,
  );
  await story.attack("that document with one bit of its public key flipped", "ERR_ATTESTATION_SIGNATURE", () =>
    judged(scene, () => decryptWith(scene, flipOneBit(document))),
  );

  await world.aws.call("setClockOffset", { ms: TEN_MINUTES_MS });
  await story.attack("that document ten minutes later", "ERR_ATTESTATION_STALE", () =>
    judged(scene, () => decryptWith(scene, document, TEN_MINUTES_MS)),
  );
  await world.aws.call("setClockOffset", { ms: 0 });

  const attackersKey = attackersPublicKey();
  const forged = await forgeDocument(scene, attackersKey);
  await story.attack(
    "a document with the right PCRs and the attacker's key under a forged root",
    "ERR_ATTESTATION_ROOT_UNTRUSTED",
    () => judged(scene, () => decryptWith(scene, forged)),
  );
  const grafted = await forgeLeaf(document, attackersKey);
  await story.attack(
    "… under the genuine root and issuers, with a leaf certificate that the attacker signed",
    "ERR_ATTESTATION_CHAIN",
    () => judged(scene, () => decryptWith(scene, grafted)),
    /certificate 4 .* did not sign/,
  );
}

/** Calls Decrypt with the parent's credentials and a document of the attacker's choice; gives the answer's size. */
async function decryptWith(
  { world, sealed, keyArn }: Scene,
  document: Uint8Array | undefined,
  clockMs = 0,
): Promise<number> {
  const kms = world.kms(OPERATOR_ACCOUNT, "enclave-host", CARRIER.region);
  kms.config.systemClockOffset = clockMs;
  const Recipient = { KeyEncryptionAlgorithm: "RSAES_OAEP_SHA_256", AttestationDocument: document } as const;
  let answered: number | undefined;
  const decrypt: KmsCalls["decrypt"] = async (input) => {
    const output = await kms.decrypt({ ...input, ...(document && { Recipient }) });
    answered = output.CiphertextForRecipient?.length ?? 0;
    return output;
  };
  const calls: KmsCalls = {
    decrypt,
    encrypt: (input) => kms.encrypt(input),
    generateDataKey: (input) => kms.generateDataKey(input),
  };
  try {
    await open(sealed, { kms: calls, keyArn, context: CARRIER.context, dataset: "flights" });
  } catch (error) {
    if (answered === undefined) throw kmsFailure("Decrypt", error);
    return answered;
  }
  throw new RemoteError("ERR_DEMO_OPENED", "not authentic", "the attacker opened the data", {});
}

/** In the middle of the RSA modulus, where a substituted key would differ. */
function flipOneBit(document: Uint8Array): Uint8Array {
  const { publicKey } = decodeAttestationUnverified(document);
  if (!publicKey) throw new TypeError("a document sent to KMS carries a public key");
  const flipped = Buffer.from(document);
  const at = flipped.indexOf(publicKey) + 100;
  flipped[at] = (flipped[at] ?? 0) ^ 1;
  return new Uint8Array(flipped);
}

function attackersPublicKey(): Uint8Array {
  const { publicKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
  return new Uint8Array(publicKey.export({ type: "spki", format: "der" }));
}

/** A document that says what the genuine one says, under a root that the attacker made. */
async function forgeDocument({ eifPath }: Scene, publicKey: Uint8Array): Promise<Uint8Array> {
  const measurements = await measureEifFile(eifPath);
  const { device } = await createMockNsm({ measurements, instanceId: INSTANCE_ID });
  return device.attest({ publicKey });
}
