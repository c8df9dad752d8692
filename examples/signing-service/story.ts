/**
 * The signing service as its owner, its client and its parent see it.
 *
 * @module
 */
import { createPrivateKey, createPublicKey, verify } from "node:crypto";
import type { Example, Stage } from "../run/example.ts";

const TRANSFER = JSON.stringify({ to: "DE02 1203 0000 0000 2020 51", amount: 250 });
const TOO_MUCH = JSON.stringify({ to: "DE02 1203 0000 0000 2020 51", amount: 1_000_001 });
const OTHER = "ab".repeat(48);
const CONTEXT = { service: "signing" };

interface Keys {
  readonly publicKey: string;
  readonly sealedPrivateKey: string;
}

export const example: Example = {
  enclaveMay: ["kms:GenerateDataKeyPair", "kms:Decrypt"],
  configuration: (setting) => ({ ...setting, limit: 1_000 }),
  async tell(stage) {
    const { story, registers, refused, gate } = stage;
    const { publicKey, sealedPrivateKey } = await story.step(
      "KMS makes a P-256 key pair, the private half for this image alone",
      async () => (await (await stage.ask("/keys", { method: "POST" })).json()) as Keys,
      (keys) => `what is kept outside: ${keys.sealedPrivateKey.length} characters, sealed`,
    );
    const request = (transfer: string): Promise<string> => signature(stage, { sealedPrivateKey, transfer });
    const holds = async (transfer: string, text = transfer): Promise<string> => {
      const signed = await request(transfer);
      if (!isSigned(publicKey, text, signed)) throw new Error("the signature does not verify");
      if (isSigned(publicKey, `${text} `, signed)) throw new Error("it verifies over another text");
      return `${signed.slice(0, 20)}…`;
    };
    const title = "a transfer is signed; the signature verifies outside, over this text only";
    await story.step(title, () => holds(TRANSFER), String);
    await refused("a transfer above the limit of the measured configuration", "ABOVE_THE_LIMIT", () =>
      request(TOO_MUCH),
    );
    await refused("the parent, with the enclave's own role, opens the sealed key", "ERR_KMS_ACCESS_DENIED", () =>
      open(stage, "enclave", sealedPrivateKey),
    );
    await refused("a client that demands another limit", "ERR_ATTESTATION_PCR_MISMATCH", () =>
      stage.ask("/keys", {
        ...{ method: "POST", policy: { ...stage.policy, images: [{ ...registers, 16: OTHER }] } },
      }),
    );
    for (const index of [0, 16] as const) {
      await gate({ ...registers, [index]: OTHER });
      const what = index === 0 ? "image" : "configuration";
      await refused(`the owner's policy names another ${what}`, "ERR_KMS_ACCESS_DENIED", () => request(TRANSFER));
    }
    await gate(registers);
    await story.step("it names this one again", () => holds(TRANSFER), String);
    await searchForTheKey(stage, sealedPrivateKey);
  },
};

async function signature({ ask }: Stage, asked: object): Promise<string> {
  const response = await ask("/signatures", { method: "POST", body: JSON.stringify(asked) });
  return ((await response.json()) as { readonly signature: string }).signature;
}

function isSigned(publicKey: string, text: string, signed: string): boolean {
  const key = createPublicKey({ key: Buffer.from(publicKey, "base64"), format: "der", type: "spki" });
  return verify("sha256", Buffer.from(text), key, Buffer.from(signed, "base64"));
}

async function open({ kms, keyArn }: Stage, role: "administrator" | "enclave", sealed: string): Promise<Uint8Array> {
  const CiphertextBlob = Buffer.from(sealed, "base64");
  const { Plaintext } = await kms(role).decrypt({ KeyId: keyArn, CiphertextBlob, EncryptionContext: CONTEXT });
  if (!Plaintext) throw new TypeError("Decrypt answers with a plaintext");
  return Plaintext;
}

/** Nobody outside knows what to search for. Whoever may change the policy can find out: the one to watch. */
async function searchForTheKey(stage: Stage, sealed: string): Promise<void> {
  const { story, kms, keyArn } = stage;
  const pkcs8 = await story.step(
    "the administrator, who may write the policy, opens the key to search for it",
    async () => {
      const { Policy = "" } = await kms("administrator").getKeyPolicy({ KeyId: keyArn });
      const { Version, Statement } = JSON.parse(Policy) as { Version: string; Statement: object[] };
      const everything = { ...Statement[0], Action: ["kms:*"] };
      const opened = JSON.stringify({ Version, Statement: [everything] });
      await kms("administrator").putKeyPolicy({ KeyId: keyArn, Policy: opened });
      return open(stage, "administrator", sealed);
    },
    (bytes) => `${bytes.length} bytes`,
  );
  const key = createPrivateKey({ key: Buffer.from(pkcs8), format: "der", type: "pkcs8" });
  const { d = "" } = key.export({ format: "jwk" });
  const scalar = Buffer.from(d, "base64url");
  await stage.unseen("what the parent carried, searched", {
    "the private key": pkcs8,
    ...{ "its number": scalar, "in base64": scalar.toString("base64"), "in hex": scalar.toString("hex") },
  });
}
