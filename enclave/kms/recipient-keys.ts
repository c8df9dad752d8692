/**
 * RSA-2048 key pairs for KMS answers, made ahead of need: one costs about a quarter of a second.
 *
 * Each pair serves one call and is then dropped, so a captured answer opens for nobody later. `size` pairs wait ready;
 * taking one starts the next.
 *
 * @module
 */
import { generateKeyPair } from "node:crypto";
import { promisify } from "node:util";
import type { RecipientKey } from "./recipient.ts";

const generate = promisify(generateKeyPair);

export interface RecipientKeys {
  /** A fresh key pair, never handed out before. */
  take(): Promise<RecipientKey>;
}

async function makeKey(): Promise<RecipientKey> {
  const { publicKey, privateKey } = await generate("rsa", { modulusLength: 2048, publicExponent: 65_537 });
  return { privateKey, publicKey: new Uint8Array(publicKey.export({ type: "spki", format: "der" })) };
}

/** @param options.size how many pairs wait ready; default 2 */
export function createRecipientKeys({ size = 2 }: { readonly size?: number } = {}): RecipientKeys {
  if (!Number.isInteger(size) || size < 1) throw new RangeError(`size is 1 or more, not ${size}`);
  const ready: Promise<RecipientKey>[] = [];
  const refill = (): void => {
    while (ready.length < size) {
      const key = makeKey();
      key.catch(() => undefined); // whoever takes it sees the failure
      ready.push(key);
    }
  };
  refill();
  return {
    async take(): Promise<RecipientKey> {
      const key = ready.shift() ?? makeKey();
      refill();
      return key;
    },
  };
}
