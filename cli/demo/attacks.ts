/**
 * The demo attacks itself. Each attack changes one thing from what was just seen to work, and must be refused by the
 * check that is there for it.
 *
 * @module
 */
import { createEnclaveClient } from "../../client/enclave.ts";
import { type EnclavePolicy, verifyResult } from "../../client/result.ts";
import { QUERY_NAMES } from "../../examples/joint-analysis/queries.ts";
import { AWS_NITRO_ROOT_G1 } from "../../shared/attestation/index.ts";
import { utf8 } from "../../shared/bytes.ts";
import { seal } from "../../shared/envelope/sealed.ts";
import { CARRIER } from "./cast.ts";
import { judged } from "./judged.ts";
import { type Scene, TEN_MINUTES_MS } from "./scene.ts";

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

/** A KMS whose TLS certificate is in order and whose answers are not; asked by an enclave that holds no data yet. */
export async function attackWithEvilKms(scene: Scene): Promise<void> {
  const { world, story, sealed, eifPath } = scene;
  const enclave = await world.run(eifPath);
  const client = createEnclaveClient({ address: enclave.address });
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
  const elsewhere = await sealForAnotherPurpose(scene);
  await story.attack("the carrier's data, sealed under the same key for another purpose", "ERR_DATA_NOT_OPENED", () =>
    client.load("flights", elsewhere),
  );
  await story.step(
    "control: the same enclave, an honest KMS, the right data",
    () => client.load("flights", sealed),
    () => "opened",
  );
  await story.attack("a second version of the data, to subtract one answer from the other", "ERR_DATA_LOADED", () =>
    client.load("flights", sealed),
  );
  await world.hypervisor.terminate(enclave.enclaveId);
}

/** A parent that ends TLS to KMS itself, with a certificate of its own, to see what the enclave would say. */
export async function attackTheTls(scene: Scene, image: { path: string; message: Uint8Array }): Promise<void> {
  const { world, story } = scene;
  const enclave = await world.run(image.path);
  const client = createEnclaveClient({ address: enclave.address });
  await story.attack("the parent answers as KMS, under a certificate of its own", "ERR_TRANSPORT_TLS_REFUSED", () =>
    client.load("flights", image.message),
  );
  await world.hypervisor.terminate(enclave.enclaveId);
}

async function sealForAnotherPurpose({ world, keyArn }: Scene): Promise<Uint8Array> {
  const kms = world.kms(CARRIER.accountId, "sealer", CARRIER.region);
  return seal(utf8("x"), { kms, keyArn, context: { ...CARRIER.context, purpose: "marketing" } });
}

/** A parent that keeps, changes or relabels answers on their way to the client. */
export async function attackTheClient(scene: Scene): Promise<void> {
  const { world, story, policy, answer, question, nonce } = scene;
  const { nonce: fresh } = await createEnclaveClient({ address: world.ingress }).ask("/status");
  const changed = { ...answer, result: answer.result.replace(/"flights":(\d+)/, '"flights":1$1') };
  const resigned = { ...answer, signature: Buffer.alloc(96, 1).toString("base64") };
  const later = new Date(Date.now() + TEN_MINUTES_MS);
  await story.attack("yesterday's answer to today's challenge", "ERR_ATTESTATION_NONCE_MISMATCH", () =>
    verifyResult(answer, { policy, question, nonce: fresh }),
  );
  await story.attack("the right answer, ten minutes late", "ERR_ATTESTATION_STALE", () =>
    verifyResult(answer, { policy, question, nonce, now: later }),
  );
  await story.attack(
    "the right document with one number of the result changed",
    "ERR_ATTESTATION_USER_DATA_MISMATCH",
    () => verifyResult(changed, { policy, question, nonce }),
  );
  await story.attack("the right document with another signature over the result", "ERR_DATA_RESULT_SIGNATURE", () =>
    verifyResult(resigned, { policy, question, nonce }),
  );
  await story.attack("a true answer to another question", "ERR_ATTESTATION_USER_DATA_MISMATCH", () =>
    verifyResult(answer, { policy, question: `POST /queries/${QUERY_NAMES[1]}`, nonce }),
  );
  const production: EnclavePolicy = { ...policy, roots: [AWS_NITRO_ROOT_G1] };
  await story.attack("this mock answer shown to a production client", "ERR_ATTESTATION_ROOT_UNTRUSTED", () =>
    verifyResult(answer, { policy: production, question, nonce }),
  );
}
