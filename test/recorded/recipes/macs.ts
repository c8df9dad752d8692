/**
 * HMAC keys, GenerateMac and VerifyMac.
 *
 * @module
 */
import type { CreateKeyRequest, KeySpec, MacAlgorithmSpec } from "@aws-sdk/client-kms";
import { utf8 } from "../../../shared/bytes.ts";
import type { Recipe } from "../session.ts";
import { kms } from "./names.ts";
import { newKey } from "./new-key.ts";

const IMPORTANT = "some important message";
const Message = utf8(IMPORTANT);

function macKey(KeySpec: KeySpec): CreateKeyRequest {
  return { Description: "test hmac key", KeySpec, KeyUsage: "GENERATE_VERIFY_MAC" };
}

const generated = (["224", "256", "384", "512"] as const).map(
  (bits): Recipe => ({
    id: kms(`generate_and_verify_mac[HMAC_${bits}-HMAC_SHA_${bits}]`),
    run: async (aws) => {
      const { id: KeyId, arn } = await newKey(aws, macKey(`HMAC_${bits}`));
      const [client, asked] = [aws.kms(), { Message, MacAlgorithm: `HMAC_SHA_${bits}` as MacAlgorithmSpec }];
      const { Mac } = await aws.answer("generate-mac", client.generateMac({ KeyId, ...asked }), { "<key-id:1>": arn });
      await aws.answer("verify-mac", client.verifyMac({ KeyId, ...asked, Mac }));
      await aws.refusal("generate-mac-invalid-key-id", client.generateMac({ KeyId: "key_id", ...asked }));
      await aws.refusal("verify-mac-invalid-key-id", client.verifyMac({ KeyId: "key_id", ...asked, Mac }));
    },
  }),
);

function refusedMac(spec: KeySpec, MacAlgorithm: string): Recipe {
  return {
    id: kms(`invalid_generate_mac[${spec}-${MacAlgorithm}]`),
    run: async (aws) => {
      const { id: KeyId } = await newKey(aws, macKey(spec));
      const call = aws.kms().generateMac({ KeyId, Message, MacAlgorithm: MacAlgorithm as MacAlgorithmSpec });
      await aws.refusal("generate-mac", call);
    },
  };
}

function refusedVerification(MacAlgorithm: string, message: string): Recipe {
  return {
    id: kms(`invalid_verify_mac[HMAC_256-${MacAlgorithm}-${message}]`),
    run: async (aws) => {
      const { id: KeyId, arn } = await newKey(aws, macKey("HMAC_256"));
      const call = aws.kms().generateMac({ KeyId, Message, MacAlgorithm: "HMAC_SHA_256" });
      const { Mac } = await aws.answer("generate-mac", call, { "<key-id:1>": arn });
      const asked = { KeyId, Mac, Message: utf8(message), MacAlgorithm: MacAlgorithm as MacAlgorithmSpec };
      await aws.refusal("verify-mac", aws.kms().verifyMac(asked));
    },
  };
}

export const macRecipes: readonly Recipe[] = [
  {
    id: kms("hmac_create_key"),
    run: async (aws) => {
      const { id, metadata } = await newKey(aws, { ...macKey("HMAC_256"), Description: "test key" });
      aws.note("create-hmac-key", metadata, { "<key-id:1>": id });
      const { KeyMetadata } = await aws.whole(aws.kms().describeKey({ KeyId: id }));
      aws.note("describe-key", KeyMetadata);
    },
  },
  {
    id: kms("hmac_create_key_invalid_operations"),
    run: async (aws) => {
      const create = (request: CreateKeyRequest) => aws.kms().createKey({ Description: "test invalid", ...request });
      await aws.refusal("create-hmac-key-without-key-usage", create({ KeySpec: "HMAC_256" }));
      await aws.refusal("create-hmac-key-invalid-spec", create({ KeySpec: "HMAC_random" as KeySpec }));
      const unknownUsage = create({ KeySpec: "HMAC_256", KeyUsage: "RANDOM" as "SIGN_VERIFY" });
      await aws.refusal("create-hmac-key-invalid-key-usage", unknownUsage);
    },
  },
  ...generated,
  refusedMac("HMAC_224", "HMAC_SHA_256"),
  refusedMac("HMAC_256", "INVALID"),
  refusedVerification("HMAC_SHA_256", "some different important message"),
  refusedVerification("HMAC_SHA_512", IMPORTANT),
  refusedVerification("INVALID", IMPORTANT),
];
