/**
 * Signs transfers with a key that never leaves the enclave in clear.
 *
 *   POST /keys                                            → {"publicKey", "sealedPrivateKey"}
 *   POST /signatures {"sealedPrivateKey", "transfer"}     → {"signature"}
 *
 * KMS makes the key pair and gives the private half to this image alone; outside it lies sealed, and whoever keeps it can
 * do nothing with it. What is signed is decided by measured code: no transfer above a limit. A transfer is JSON text,
 * and the signature is over that text.
 *
 * @module
 */
import { createPrivateKey, sign } from "node:crypto";
import { defineEnclave, type EnclaveApp } from "../../enclave/app/define.ts";
import type { EnclaveEnv } from "../../enclave/app/env.ts";
import { kmsFailure } from "../../enclave/kms/client.ts";

/** What the parent hands in; PCR16 says which, and the key's policy demands it. */
interface Settings {
  readonly keyArn: string;
  readonly region: string;
  /** The largest amount that is signed. */
  readonly limit: number;
}

type Env = EnclaveEnv<unknown, Settings>;

const CONTEXT = { service: "signing" };

async function makeKey({ kms, parentConfig: { keyArn, region } }: Env): Promise<Response> {
  const asked = { KeyId: keyArn, KeyPairSpec: "ECC_NIST_P256", EncryptionContext: CONTEXT } as const;
  const { PrivateKeyPlaintext, PrivateKeyCiphertextBlob, PublicKey } = await kms(region)
    .generateDataKeyPair(asked)
    .catch((error: unknown) => refuse("GenerateDataKeyPair", error));
  // It is opened again for each signature; nothing is kept.
  PrivateKeyPlaintext?.fill(0);
  return Response.json({ publicKey: base64(PublicKey), sealedPrivateKey: base64(PrivateKeyCiphertextBlob) });
}

async function signTransfer(request: Request, { kms, parentConfig }: Env): Promise<Response> {
  const { keyArn, region, limit } = parentConfig;
  const { sealedPrivateKey, transfer } = readJson(await request.text()) ?? {};
  if (typeof sealedPrivateKey !== "string" || typeof transfer !== "string") return refusal(400, "NOT_A_REQUEST");
  const { to, amount } = readJson(transfer) ?? {};
  if (typeof to !== "string" || typeof amount !== "number") return refusal(400, "NOT_A_TRANSFER");
  if (!(amount > 0 && amount <= limit)) return refusal(403, "ABOVE_THE_LIMIT");
  const blob = { KeyId: keyArn, CiphertextBlob: Buffer.from(sealedPrivateKey, "base64"), EncryptionContext: CONTEXT };
  const { Plaintext = new Uint8Array() } = await kms(region)
    .decrypt(blob)
    .catch((error: unknown) => refuse("Decrypt", error));
  const key = createPrivateKey({
    key: Buffer.from(Plaintext.buffer, Plaintext.byteOffset, Plaintext.length),
    format: "der",
    type: "pkcs8",
  });
  Plaintext.fill(0);
  return Response.json({ signature: base64(sign("sha256", Buffer.from(transfer), key)) });
}

function refuse(operation: string, error: unknown): never {
  throw kmsFailure(operation, error);
}

function refusal(status: number, code: string): Response {
  return Response.json({ code, message: code.toLowerCase().replaceAll("_", " ") }, { status });
}

function base64(bytes: Uint8Array | undefined): string {
  return Buffer.from(bytes ?? []).toString("base64");
}

/** The members of a JSON object; `undefined` for anything else. */
function readJson(text: string): Readonly<Record<string, unknown>> | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null ? (value as Readonly<Record<string, unknown>>) : undefined;
  } catch {
    return undefined;
  }
}

export const enclave: EnclaveApp = defineEnclave<unknown, Settings>({
  tls: "attested",
  parentConfig: { read: (json) => json as unknown as Settings },
  fetch(request, env) {
    const route = `${request.method} ${new URL(request.url).pathname}`;
    if (route === "POST /keys") return makeKey(env);
    if (route === "POST /signatures") return signTransfer(request, env);
    return new Response(null, { status: 404 });
  },
});
