/** A KMS that keeps its word and counts its calls, and streams in pieces of any size. */
import { randomBytes } from "node:crypto";
import { toHex } from "../../shared/bytes.ts";
import type { ByteStream } from "../../shared/envelope/byte-source.ts";
import { serializeContext } from "../../shared/envelope/context.ts";
import type { KmsCalls } from "../../shared/envelope/sealed.ts";

export const KEY = "arn:aws:kms:eu-central-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab";
export const OTHER_KEY = "arn:aws:kms:eu-central-1:111122223333:key/00000000-12ab-34cd-56ef-1234567890ab";
export const context = { dataset: "x", owner: "a" } as const;

export interface FakeKms extends KmsCalls {
  readonly calls: { generate: number; decrypt: number };
  /** What the next calls throw. */
  failure: Error | undefined;
  /** Every plaintext data key that was given out, as it was. */
  readonly given: Buffer[];
}

/** Data keys are bound to key and context, as KMS binds them. */
export function fakeKms(): FakeKms {
  const keys = new Map<string, { readonly key: Buffer; readonly bound: string }>();
  const boundTo = (keyId: string | undefined, pairs: Record<string, string> = {}): string =>
    `${keyId} ${toHex(serializeContext(pairs))}`;
  const kms: FakeKms = {
    calls: { generate: 0, decrypt: 0 },
    failure: undefined,
    given: [],
    async generateDataKey({ KeyId, EncryptionContext, NumberOfBytes = 32 }) {
      kms.calls.generate++;
      await Promise.resolve();
      if (kms.failure) throw kms.failure;
      const [key, CiphertextBlob] = [randomBytes(NumberOfBytes), new Uint8Array(randomBytes(64))];
      keys.set(toHex(CiphertextBlob), { key, bound: boundTo(KeyId, EncryptionContext) });
      kms.given.push(Buffer.from(key));
      return { $metadata: {}, KeyId, Plaintext: new Uint8Array(key), CiphertextBlob };
    },
    encrypt: () => Promise.reject(new Error("not called")),
    async decrypt({ KeyId, CiphertextBlob, EncryptionContext }) {
      kms.calls.decrypt++;
      await Promise.resolve();
      if (kms.failure) throw kms.failure;
      const found = keys.get(toHex(CiphertextBlob ?? new Uint8Array()));
      if (!found || found.bound !== boundTo(KeyId, EncryptionContext))
        throw Object.assign(new Error("no"), { name: "InvalidCiphertextException", $fault: "client" });
      kms.given.push(Buffer.from(found.key));
      return { $metadata: {}, KeyId, Plaintext: new Uint8Array(found.key) };
    },
  };
  return kms;
}

/** Bytes in pieces of so many. */
export function* pieces(bytes: Uint8Array, size: number): Generator<Uint8Array, void> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

export async function collect(stream: ByteStream): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  for await (const part of stream) parts.push(part);
  return new Uint8Array(Buffer.concat(parts));
}

/** What a stream gave before it ended, and the code it ended with. */
export async function drain(stream: AsyncIterable<Uint8Array>): Promise<{ given: Uint8Array; code: string }> {
  const parts: Uint8Array[] = [];
  try {
    for await (const part of stream) parts.push(part);
    return { given: new Uint8Array(Buffer.concat(parts)), code: "ok" };
  } catch (error) {
    const { code = String(error) } = error as { code?: string };
    return { given: new Uint8Array(Buffer.concat(parts)), code };
  }
}
