/**
 * Where data keys come from: a KMS key named by its full ARN, through the Encryption SDK's own keyring.
 *
 * The SDK's materials manager stands behind; a cache stands in front of it where one is given. The keyring folds what
 * KMS said into a text of its own; here the refusal itself goes on, since callers tell throttling from denial by it.
 *
 * Source: AWS Encryption SDK Developer Guide, "AWS KMS keyrings", "Commitment policy".
 *
 * @module
 */
import {
  CommitmentPolicy,
  KmsKeyringNode,
  type KmsNodeClientSupplier,
  NodeDefaultCryptographicMaterialsManager,
  type NodeMaterialsManager,
} from "@aws-crypto/client-node";
import type {
  DecryptCommandInput,
  DecryptCommandOutput,
  EncryptCommandInput,
  EncryptCommandOutput,
  GenerateDataKeyCommandInput,
  GenerateDataKeyCommandOutput,
} from "@aws-sdk/client-kms";

/** The calls that sealing and opening make; `KMS` of `@aws-sdk/client-kms` has them. */
export interface KmsCalls {
  generateDataKey(input: GenerateDataKeyCommandInput): Promise<GenerateDataKeyCommandOutput>;
  encrypt(input: EncryptCommandInput): Promise<EncryptCommandOutput>;
  decrypt(input: DecryptCommandInput): Promise<DecryptCommandOutput>;
}

/** Which key, and who asks for it. */
export interface KeyAccess {
  readonly kms: KmsCalls;
  /** Full ARN of the KMS key; neither an alias nor a bare id. */
  readonly keyArn: string;
}

/** What gives materials for a key: KMS itself, or a cache before it. */
export interface MaterialsSource {
  managerFor(access: KeyAccess): NodeMaterialsManager;
}

/** The one policy: sealed with key commitment, opened with key commitment. */
export const COMMITMENT_POLICY: CommitmentPolicy = CommitmentPolicy.REQUIRE_ENCRYPT_REQUIRE_DECRYPT;

/** What KMS, or the way to it, answered instead of a key: the `cause`. */
export class KmsCallFailed extends Error {
  override readonly name = "KmsCallFailed";
}

/** Every message asks KMS. @throws {RangeError} not a full key ARN */
export const UNCACHED: MaterialsSource = { managerFor: (access) => kmsManager(access) };

const KEY_ARN = /^arn:aws[a-z-]*:kms:[a-z0-9-]+:\d{12}:key\/[A-Za-z0-9-]+$/;

export function checkKeyArn(keyArn: string): void {
  if (!KEY_ARN.test(keyArn))
    throw new RangeError("the KMS key is named by its full ARN, arn:aws:kms:REGION:ACCOUNT:key/ID");
}

function kmsManager({ kms, keyArn }: KeyAccess): NodeMaterialsManager {
  checkKeyArn(keyArn);
  return {
    getEncryptionMaterials: (request) =>
      withRefusals(kms, (client) =>
        managerOver({ generatorKeyId: keyArn, clientProvider: () => client }).getEncryptionMaterials(request),
      ),
    decryptMaterials: (request) =>
      withRefusals(kms, (client) =>
        managerOver({ keyIds: [keyArn], clientProvider: () => client }).decryptMaterials(request),
      ),
  };
}

function managerOver(
  keyring: ConstructorParameters<typeof KmsKeyringNode>[0],
): NodeDefaultCryptographicMaterialsManager {
  return new NodeDefaultCryptographicMaterialsManager(new KmsKeyringNode(keyring));
}

type KeyringClient = Exclude<ReturnType<KmsNodeClientSupplier>, false>;

async function withRefusals<Material>(
  kms: KmsCalls,
  ask: (client: KeyringClient) => Promise<Material>,
): Promise<Material> {
  let failure: KmsCallFailed | undefined;
  const remember = async <Answer>(call: Promise<Answer>): Promise<Answer> => {
    try {
      return await call;
    } catch (cause) {
      failure = new KmsCallFailed("KMS gave no data key", { cause });
      throw failure;
    }
  };
  try {
    return await ask(keyringClient(kms, remember));
  } catch (error) {
    throw failure ?? error;
  }
}

/** The KMS client in the form that the library's keyring calls. */
function keyringClient(kms: KmsCalls, remember: <Answer>(call: Promise<Answer>) => Promise<Answer>): KeyringClient {
  return {
    async generateDataKey(input) {
      const { CiphertextBlob, Plaintext, KeyId } = await remember(kms.generateDataKey(input));
      return { ...(CiphertextBlob && { CiphertextBlob }), ...(Plaintext && { Plaintext }), ...(KeyId && { KeyId }) };
    },
    async encrypt(input) {
      const { CiphertextBlob, KeyId } = await remember(kms.encrypt(input));
      return { ...(CiphertextBlob && { CiphertextBlob }), ...(KeyId && { KeyId }) };
    },
    async decrypt(input) {
      const { Plaintext, KeyId } = await remember(kms.decrypt(input));
      return { ...(Plaintext && { Plaintext }), ...(KeyId && { KeyId }) };
    },
  };
}
