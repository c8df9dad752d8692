/**
 * What a data owner does: makes a key that opens nothing, checks the image for itself, lets the key go to that image
 * only, and seals its data.
 *
 * @module
 */
import { randomBytes } from "node:crypto";
import { measureEifFile } from "../../image/index.ts";
import { concat, toHex, utf8 } from "../../shared/bytes.ts";
import { type KmsCalls, seal } from "../../shared/envelope/sealed.ts";
import { attestedKeyPolicy, closedKeyPolicy, type ImageRegisters } from "../../shared/policy/key-policy.ts";
import type { Canary } from "./canary.ts";
import { ENCLAVE_ROLE, type Owner, roleArn } from "./cast.ts";
import type { World } from "./world.ts";

/** All that an owner needs of the world: a way to KMS under a role. */
type KmsAccess = Pick<World, "kms">;

/** A key whose policy lets nobody decrypt yet: the image that may is not built. */
export async function createKey(world: KmsAccess, owner: Owner): Promise<string> {
  const administrator = roleArn(owner.accountId, "key-admin");
  const { KeyMetadata } = await world.kms(owner.accountId, "key-admin", owner.region).createKey({
    Description: `${owner.dataset} for the joint analysis`,
    Policy: JSON.stringify(closedKeyPolicy(administrator)),
  });
  if (!KeyMetadata?.Arn) throw new TypeError("CreateKey answers with an ARN");
  return KeyMetadata.Arn;
}

/** Measures the image file itself rather than believing anybody's numbers, and pins the key to it. */
export async function gateKey(
  world: KmsAccess,
  owner: Owner,
  keyArn: string,
  eifPath: string,
): Promise<ImageRegisters> {
  const { pcr0, pcr1, pcr2 } = await measureEifFile(eifPath);
  const image = { pcr0: toHex(pcr0), pcr1: toHex(pcr1), pcr2: toHex(pcr2) };
  const administrator = roleArn(owner.accountId, "key-admin");
  const sealer = roleArn(owner.accountId, "sealer");
  const policy = attestedKeyPolicy({ administrator, sealer, enclaveRole: ENCLAVE_ROLE, image });
  const kms = world.kms(owner.accountId, "key-admin", owner.region);
  await kms.putKeyPolicy({ KeyId: keyArn, Policy: JSON.stringify(policy) });
  return image;
}

export interface SealedData {
  readonly message: Uint8Array;
  readonly rows: number;
  /** What must never be seen outside: a planted row, a real row, the data key. */
  readonly canaries: readonly Canary[];
}

/** Seals a table, with one row more that nobody else can know. */
export async function sealTable(
  world: KmsAccess,
  owner: Owner,
  keyArn: string,
  table: Uint8Array,
): Promise<SealedData> {
  const marker = `canary-${randomBytes(24).toString("base64url")}`;
  const row =
    owner.dataset === "flights"
      ? `2001-01-01,${marker},(planted),XXX,1,1`
      : `2001-01-01,${marker},(planted),x,x,None,0`;
  const plaintext = concat(table, utf8(`${row}\n`));
  const { kms, dataKeys } = notingDataKeys(world.kms(owner.accountId, "sealer", owner.region));
  const message = await seal(plaintext, { kms, keyArn, context: owner.context });
  const lines = Buffer.from(table).toString("utf8").trimEnd().split("\n");
  const real = lines[Math.floor(lines.length / 2)] ?? "";
  const canaries = [
    { name: `${owner.dataset}: planted row`, bytes: utf8(marker) },
    { name: `${owner.dataset}: a real row`, bytes: utf8(real) },
    ...dataKeys.map((bytes) => ({ name: `${owner.dataset}: data key`, bytes })),
  ];
  return { message, rows: lines.length - 1, canaries };
}

/** Keeps a copy of each data key that KMS hands out in the clear, to search for it later. */
function notingDataKeys(kms: KmsCalls): { kms: KmsCalls; dataKeys: Uint8Array[] } {
  const dataKeys: Uint8Array[] = [];
  const calls: KmsCalls = {
    async generateDataKey(input) {
      const output = await kms.generateDataKey(input);
      if (output.Plaintext) dataKeys.push(Uint8Array.from(output.Plaintext));
      return output;
    },
    encrypt: (input) => kms.encrypt(input),
    decrypt: (input) => kms.decrypt(input),
  };
  return { kms: calls, dataKeys };
}
