/**
 * Data keys and data key pairs: their answers, their encryption context, their dry run.
 *
 * @module
 */
import type { DataKeyPairSpec } from "@aws-sdk/client-kms";
import type { Recipe, Session } from "../session.ts";
import { dataKeys } from "./names.ts";
import { newKey } from "./new-key.ts";

const AES = { KeySpec: "AES_256" } as const;
const PAIR = { KeyPairSpec: "RSA_2048" as DataKeyPairSpec };

interface Bound {
  readonly KeyId: string;
  readonly EncryptionContext: Record<string, string>;
}

/** Makes a data key under a context and opens it without. */
function contextMatters(test: string, make: (aws: Session, bound: Bound) => Promise<Uint8Array | undefined>): Recipe {
  return {
    id: dataKeys(`encryption_context_${test}`),
    run: async (aws) => {
      const { id: KeyId } = await newKey(aws);
      const CiphertextBlob = await make(aws, { KeyId, EncryptionContext: { "context-key": "context-value" } });
      await aws.refusal("decrypt-without-encryption-context", aws.kms().decrypt({ KeyId, CiphertextBlob }));
    },
  };
}

export const dataKeyRecipes: readonly Recipe[] = [
  {
    id: dataKeys("generate_data_key"),
    run: async (aws) => {
      const { id } = await newKey(aws);
      const call = aws.kms().generateDataKey({ KeyId: id, ...AES });
      await aws.answer("generate-data-key-result", call, { "<resource:1>": id });
    },
  },
  {
    id: dataKeys("generate_data_key_without_plaintext"),
    run: async (aws) => {
      const { id } = await newKey(aws);
      const call = aws.kms().generateDataKeyWithoutPlaintext({ KeyId: id, ...AES });
      await aws.answer("generate-data-key-without-plaintext", call, { "<resource:1>": id });
    },
  },
  {
    id: dataKeys("generate_data_key_pair"),
    run: async (aws) => {
      const { id } = await newKey(aws);
      const call = aws.kms().generateDataKeyPair({ KeyId: id, ...PAIR });
      await aws.answer("generate-data-key-pair", call, { "<resource:1>": id });
    },
  },
  {
    id: dataKeys("generate_data_key_pair_without_plaintext"),
    run: async (aws) => {
      const { id } = await newKey(aws);
      const call = aws.kms().generateDataKeyPairWithoutPlaintext({ KeyId: id, ...PAIR });
      await aws.answer("generate-data-key-pair-without-plaintext", call, { "<resource:1>": id });
    },
  },
  contextMatters("generate_data_key", async (aws, bound) => {
    const { CiphertextBlob } = await aws.kms().generateDataKey({ ...bound, ...AES });
    return CiphertextBlob;
  }),
  contextMatters("generate_data_key_without_plaintext", async (aws, bound) => {
    const { CiphertextBlob } = await aws.kms().generateDataKeyWithoutPlaintext({ ...bound, ...AES });
    return CiphertextBlob;
  }),
  contextMatters("generate_data_key_pair", async (aws, bound) => {
    const { PrivateKeyCiphertextBlob } = await aws.kms().generateDataKeyPair({ ...bound, ...PAIR });
    return PrivateKeyCiphertextBlob;
  }),
  contextMatters("generate_data_key_pair_without_plaintext", async (aws, bound) => {
    const { PrivateKeyCiphertextBlob } = await aws.kms().generateDataKeyPairWithoutPlaintext({ ...bound, ...PAIR });
    return PrivateKeyCiphertextBlob;
  }),
  {
    id: dataKeys("generate_data_key_pair_dry_run"),
    run: async (aws) => {
      const { id: KeyId } = await newKey(aws);
      await aws.refusal("dryrun_exception", aws.kms().generateDataKeyPair({ KeyId, ...PAIR, DryRun: true }));
    },
  },
  {
    id: dataKeys("generate_data_key_pair_without_plaintext_dry_run"),
    run: async (aws) => {
      const { id: KeyId } = await newKey(aws);
      const call = aws.kms().generateDataKeyPairWithoutPlaintext({ KeyId, ...PAIR, DryRun: true });
      await aws.refusal("dryrun_exception", call);
    },
  },
];
