/**
 * The demo attacks itself. Each attack changes one thing from what was just seen to work, and must be refused by the
 * check that is there for it.
 *
 * @module
 */
import { generateKeyPairSync } from "node:crypto";
import { createEnclaveClient } from "../../client/enclave.ts";
import { type EnclavePolicy, verifyResult } from "../../client/result.ts";
import { kmsFailure } from "../../enclave/kms/client.ts";
import { measureEifFile } from "../../image/index.ts";
import { createMockNsm } from "../../mock/index.ts";
import { AWS_NITRO_ROOT_G1 } from "../../shared/attestation/index.ts";
import { decodeAttestationUnverified } from "../../shared/attestation/inspect.ts";
import { type KmsCalls, open } from "../../shared/envelope/sealed.ts";
import { RemoteError } from "../../shared/errors/index.ts";
import type { SignedResultJson } from "../../shared/result/signed-result.ts";
import { CARRIER, INSTANCE_ID, OPERATOR_ACCOUNT } from "./cast.ts";
import { forgeLeaf } from "./forgery.ts";
import type { Story } from "./story.ts";
import type { RunningEnclave, World } from "./world.ts";

/** What the attacks start from: everything that was just accepted. */
export interface Scene {
  readonly world: World;
  readonly story: Story;
  readonly policy: EnclavePolicy;
  /** The carrier's sealed data, its key, and the genuine enclave and image. */
  readonly sealed: Uint8Array;
  readonly keyArn: string;
  readonly enclave: RunningEnclave;
  readonly eifPath: string;
  /** An answer that was verified, with the challenge it answered. */
  readonly answer: SignedResultJson;
  readonly nonce: Uint8Array;
}

const TEN_MINUTES_MS = 600_000;

/** Other code, or the same code with its memory open. */
export async function attackWithOtherImages(
  scene: Scene,
  images: { tampered: string; exfiltrating: string },
): Promise<void> {
  const { world, story, policy, sealed } = scene;
  const tampered = await world.run(images.tampered);
  const client = createEnclaveClient({ address: tampered.address });
  await story.attack(
    "an image with one byte changed asks KMS for the key",
    "ERR_KMS_ACCESS_DENIED",
    () => judged(scene, () => client.load("flights", sealed)),
    /NoReleaseUnlessPCR0Matches/,
  );
  await story.attack("… and answers a client", "ERR_ATTESTATION_PCR_MISMATCH", () =>
    client.askVerified("/status", policy),
  );
  await world.hypervisor.terminate(tampered.enclaveId);

  const debug = await world.run(scene.eifPath, { debug: true });
  const debugClient = createEnclaveClient({ address: debug.address });
  await story.attack(
    "the genuine image in debug mode asks KMS for the key",
    "ERR_KMS_ACCESS_DENIED",
    () => judged(scene, () => debugClient.load("flights", sealed)),
    /NoReleaseUnlessPCR0Matches/,
  );
  await story.attack("… and answers a client", "ERR_ATTESTATION_DEBUG_MODE", () =>
    debugClient.askVerified("/status", policy),
  );
  await world.hypervisor.terminate(debug.enclaveId);

  const exfiltrating = await world.run(images.exfiltrating);
  const { ask } = createEnclaveClient({ address: exfiltrating.address });
  await story.attack("an enclave dials a host that is not on the parent's list", "ERR_TRANSPORT_HOST_NOT_ALLOWED", () =>
    ask("/exfiltrate"),
  );
  await world.hypervisor.terminate(exfiltrating.enclaveId);
}

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

/** A KMS whose TLS certificate is in order and whose answers are not. */
export async function attackWithEvilKms(scene: Scene): Promise<void> {
  const { world, story, sealed } = scene;
  const client = createEnclaveClient({ address: world.ingress });
  const answers = [
    ["plaintext", "Plaintext beside the CMS message", "ERR_KMS_PLAINTEXT_IN_RESPONSE"],
    ["foreign-key-id", "the KeyId of another key", "ERR_KMS_KEY_ID_MISMATCH"],
    ["cms-for-another-key", "a CMS message made for another key", "ERR_KMS_RECIPIENT_UNOPENABLE"],
    ["cms-foreign-recipient-id", "a CMS message that names another recipient", "ERR_KMS_RECIPIENT_UNOPENABLE"],
  ] as const;
  for (const [answer, title, code] of answers) {
    await world.aws.call("injectFault", { operation: "Decrypt", answer, times: 1 });
    await story.attack(`KMS behind valid TLS answers with ${title}`, code, () => client.load("flights", sealed));
  }
  await story.step(
    "control: the same KMS, honest again",
    () => client.load("flights", sealed),
    () => "opened",
  );
}

/** A parent that keeps, changes or relabels answers on their way to the client. */
export async function attackTheClient(scene: Scene): Promise<void> {
  const { world, story, policy, answer, nonce } = scene;
  const { nonce: fresh } = await createEnclaveClient({ address: world.ingress }).ask("/status");
  const changed = { ...answer, result: answer.result.replace(/"flights":(\d+)/, '"flights":1$1') };
  const resigned = { ...answer, signature: Buffer.alloc(96, 1).toString("base64") };
  const later = new Date(Date.now() + TEN_MINUTES_MS);
  await story.attack("yesterday's answer to today's challenge", "ERR_ATTESTATION_NONCE_MISMATCH", () =>
    verifyResult(answer, { policy, nonce: fresh }),
  );
  await story.attack("the right answer, ten minutes late", "ERR_ATTESTATION_STALE", () =>
    verifyResult(answer, { policy, nonce, now: later }),
  );
  await story.attack(
    "the right document with one number of the result changed",
    "ERR_ATTESTATION_USER_DATA_MISMATCH",
    () => verifyResult(changed, { policy, nonce }),
  );
  await story.attack("the right document with another signature over the result", "ERR_DATA_RESULT_SIGNATURE", () =>
    verifyResult(resigned, { policy, nonce }),
  );
  const production: EnclavePolicy = { ...policy, roots: [AWS_NITRO_ROOT_G1] };
  await story.attack("this mock answer shown to a production client", "ERR_ATTESTATION_ROOT_UNTRUSTED", () =>
    verifyResult(answer, { policy: production, nonce }),
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

interface Explanation {
  readonly summary: string;
  readonly attestation: { readonly kind: string; readonly code?: string; readonly reason?: string };
}

/** KMS tells callers little by design; the emulator's own record says which check refused. */
async function judged({ world }: Scene, attempt: () => Promise<unknown>): Promise<void> {
  try {
    await attempt();
  } catch (error) {
    const { code } = error as { code?: string };
    if (code !== "ERR_KMS_ACCESS_DENIED" && code !== "ERR_KMS_REFUSED") throw error;
    const records = await world.aws.call<readonly { explanation: Explanation }[]>("trail");
    const { attestation, summary } = records.at(-1)?.explanation ?? { attestation: { kind: "none" }, summary: "" };
    const refusedBy = attestation.kind === "refused" ? attestation.code : code;
    throw new RemoteError(refusedBy ?? code, "refused by policy", attestation.reason ?? summary, {});
  }
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
