/**
 * Sign and Verify, and shared secrets.
 *
 * @module
 */
import type { KeySpec, SigningAlgorithmSpec } from "@aws-sdk/client-kms";
import { utf8 } from "../../../shared/bytes.ts";
import type { Recipe, Session } from "../session.ts";
import { kms } from "./names.ts";
import { type NewKey, newKey } from "./new-key.ts";

const MESSAGE = utf8("test message !%$@ 1234567890");

const SPECS: readonly (readonly [KeySpec, SigningAlgorithmSpec])[] = [
  ["RSA_2048", "RSASSA_PSS_SHA_256"],
  ["RSA_2048", "RSASSA_PSS_SHA_384"],
  ["RSA_2048", "RSASSA_PSS_SHA_512"],
  ["RSA_4096", "RSASSA_PKCS1_V1_5_SHA_256"],
  ["RSA_4096", "RSASSA_PKCS1_V1_5_SHA_512"],
  ["ECC_NIST_P256", "ECDSA_SHA_256"],
  ["ECC_NIST_P384", "ECDSA_SHA_384"],
  ["ECC_SECG_P256K1", "ECDSA_SHA_256"],
];

const signed = SPECS.map(
  ([spec, SigningAlgorithm]): Recipe => ({
    id: kms(`sign_verify[${spec}-${SigningAlgorithm}]`),
    run: async (aws) => {
      const { id: KeyId, arn } = await newKey(aws, { KeyUsage: "SIGN_VERIFY", KeySpec: spec });
      const [client, raw] = [aws.kms(), { KeyId, SigningAlgorithm, MessageType: "RAW" as const }];
      const other = await client.sign({ ...raw, Message: utf8("bad") });
      const call = client.sign({ ...raw, Message: MESSAGE });
      const { Signature } = await aws.answer("signature", call, { "<key-id:1>": arn });
      await aws.answer("verification", client.verify({ ...raw, Message: MESSAGE, Signature }));
      // The message itself, where a digest is announced: its 28 bytes are the length of no digest here.
      const undigested = client.sign({ ...raw, MessageType: "DIGEST", Message: MESSAGE });
      await aws.refusal("bad-digest", undigested);
      await aws.refusal("bad-signature", client.verify({ ...raw, Message: MESSAGE, Signature: other.Signature }));
    },
  }),
);

const AGREEMENT = { KeySpec: "ECC_NIST_P256", KeyUsage: "KEY_AGREEMENT" } as const;
const ECDH = { KeyAgreementAlgorithm: "ECDH" } as const;

async function publicKeyOf(aws: Session, { id }: NewKey): Promise<Uint8Array> {
  const { PublicKey } = await aws.kms().getPublicKey({ KeyId: id });
  if (PublicKey === undefined) throw new Error("there is no public key");
  return PublicKey;
}

async function deriveAndFail(aws: Session): Promise<void> {
  const [mine, theirs] = [await newKey(aws, AGREEMENT), await newKey(aws, AGREEMENT)];
  const PublicKey = await publicKeyOf(aws, theirs);
  const client = aws.kms();
  const derived = client.deriveSharedSecret({ KeyId: mine.id, ...ECDH, PublicKey });
  await aws.answer("response", derived, { "<key-id:1>": mine.arn });

  const signer = await newKey(aws, { KeySpec: "ECC_NIST_P256", KeyUsage: "SIGN_VERIFY" });
  const bySigner = client.deriveSharedSecret({ KeyId: signer.id, ...ECDH, PublicKey });
  await aws.refusal("response-invalid-key-usage", bySigner, { "<key-arn>": signer.arn });

  const rsa = client.createKey({ KeySpec: "RSA_2048", KeyUsage: "KEY_AGREEMENT" });
  await aws.refusal("response-invalid-key-spec", rsa);

  const KeyAgreementAlgorithm = "INVALID" as "ECDH";
  const unknown = client.deriveSharedSecret({ KeyId: mine.id, KeyAgreementAlgorithm, PublicKey });
  await aws.refusal("response-invalid-key-agreement-algo", unknown);

  const symmetric = await newKey(aws);
  const bySymmetric = client.deriveSharedSecret({ KeyId: symmetric.id, ...ECDH, PublicKey });
  await aws.refusal("response-invalid-key", bySymmetric, { "<key-arn>": symmetric.arn });

  const noKey = client.deriveSharedSecret({ KeyId: mine.id, ...ECDH, PublicKey: utf8("InvalidPublicKey") });
  await aws.refusal("response-invalid-public-key", noKey);
}

export const signatureRecipes: readonly Recipe[] = [
  ...signed,
  { id: kms("derive_shared_secret"), run: deriveAndFail },
  {
    id: kms("derive_shared_secret_matches_openssl"),
    run: async (aws) => {
      const [mine, theirs] = [await newKey(aws, AGREEMENT), await newKey(aws, AGREEMENT)];
      const PublicKey = await publicKeyOf(aws, theirs);
      const derived = aws.kms().deriveSharedSecret({ KeyId: mine.id, ...ECDH, PublicKey });
      await aws.answer("derived-shared-key-resp", derived, { "<key-id:1>": mine.arn });
    },
  },
];
