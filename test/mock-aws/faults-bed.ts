/**
 * A mock AWS under faults, and who calls it: an enclave with the toolkit's own attested client, and one that takes
 * whatever comes.
 *
 * @module
 */
import { CreateKeyCommand, EncryptCommand, type KMSClient } from "@aws-sdk/client-kms";
import { attested } from "../../enclave/kms/attested.ts";
import type { MockAws } from "../../mock/aws/emulator.ts";
import type { Fault } from "../../mock/aws/kms/faults.ts";
import { utf8 } from "../../shared/bytes.ts";
import { clientOf, fakeDocument, NOW, RECIPIENT_ALGORITHM, type RsaPair, rsaPair, startTestbed } from "./testbed.ts";

export interface FaultBed extends AsyncDisposable {
  readonly aws: MockAws;
  /** May do all; sees answers as they are. */
  readonly admin: KMSClient;
  /** The same, through the enclave's attested client. */
  readonly enclave: KMSClient;
  readonly pair: RsaPair;
  readonly keyArn: string;
  readonly blob: Uint8Array;
  readonly recipient: {
    readonly KeyEncryptionAlgorithm: "RSAES_OAEP_SHA_256";
    readonly AttestationDocument: Uint8Array;
  };
  play(fault: Partial<Fault> & Pick<Fault, "answer">): void;
}

export const SECRET = "secret of the enclave";

export async function startFaultBed(): Promise<FaultBed> {
  // The machine's time: the SDK takes any failure of a first call for a wrong clock, if clocks differ, and tries again.
  const aws = await startTestbed({ now: () => new Date() });
  const documentOf = (publicKey?: Uint8Array): Uint8Array =>
    fakeDocument({ publicKey, ageMs: NOW.getTime() - Date.now() + 1_000 });
  const pair = rsaPair();
  const [admin, enclave] = [clientOf(aws, "admin"), clientOf(aws, "admin")];
  const nsm = { attest: async ({ publicKey }: { publicKey?: Uint8Array }) => documentOf(publicKey) };
  const keys = { take: async () => ({ privateKey: pair.privateKey, publicKey: pair.spki }) };
  enclave.middlewareStack.use(attested({ nsm, keys }));
  const { KeyMetadata: key } = await admin.send(new CreateKeyCommand({}));
  const keyArn = key?.Arn ?? "";
  const { CiphertextBlob: blob = new Uint8Array(0) } = await admin.send(
    new EncryptCommand({ KeyId: keyArn, Plaintext: utf8(SECRET) }),
  );
  return {
    ...{ aws, admin, enclave, pair, keyArn, blob },
    recipient: { ...RECIPIENT_ALGORITHM, AttestationDocument: documentOf(pair.spki) },
    play: (fault) => aws.injectFault({ operation: "Decrypt", times: 1, ...fault }),
    [Symbol.asyncDispose]: async () => {
      for (const client of [admin, enclave]) client.destroy();
      await aws.close();
    },
  };
}
