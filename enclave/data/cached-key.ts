/**
 * One data key that is held for more messages than one: its bytes in memory of its own, that can be zeroed.
 *
 * Each use makes fresh materials, which the Encryption SDK consumes: it takes the bytes into a `KeyObject` and zeroes
 * what it was given. The private signing key is a PEM string by the library's design, and no string can be zeroed.
 *
 * @module
 */
import {
  type KeyringTraceFlag,
  NodeDecryptionMaterial,
  NodeEncryptionMaterial,
  unwrapDataKey,
} from "@aws-crypto/client-node";

export interface UseLimits {
  readonly maxBytes: number;
  readonly maxMessages: number;
}

/** A trace that the library refuses. */
const MISSING = { keyNamespace: "", keyName: "", flags: 0 as KeyringTraceFlag };

export class CachedKey {
  /** On the clock of the cache. */
  readonly expiresAt: number;
  readonly #material: NodeEncryptionMaterial | NodeDecryptionMaterial;
  readonly #bytes: Buffer;
  #messages = 0;
  #sealedBytes = 0;
  #isZeroed = false;

  /** Takes the key out of the materials, which are not usable any more. */
  constructor(material: NodeEncryptionMaterial | NodeDecryptionMaterial, expiresAt: number) {
    this.expiresAt = expiresAt;
    this.#material = material;
    const exported = unwrapDataKey(material.getUnencryptedDataKey());
    // Never of the shared pool, where it would stand beside other data.
    this.#bytes = Buffer.allocUnsafeSlow(exported.length);
    this.#bytes.set(exported);
    exported.fill(0);
    material.zeroUnencryptedDataKey();
  }

  /** Whether a message of so many bytes is within the limits, itself included. */
  mayTake(bytes: number, { maxBytes, maxMessages }: UseLimits): boolean {
    return this.#messages + 1 <= maxMessages && this.#sealedBytes + bytes <= maxBytes;
  }

  forSealing(bytes: number): NodeEncryptionMaterial {
    const kept = this.#material;
    if (!(kept instanceof NodeEncryptionMaterial)) throw new TypeError("a key for opening does not seal");
    this.#messages++;
    this.#sealedBytes += bytes;
    const [generated, ...wrapped] = kept.keyringTrace;
    const material = new NodeEncryptionMaterial(kept.suite, kept.encryptionContext);
    material.setUnencryptedDataKey(this.#copy(), generated ?? MISSING);
    for (const [index, key] of kept.encryptedDataKeys.entries())
      material.addEncryptedDataKey(key, (wrapped[index] ?? MISSING).flags);
    const { signatureKey } = kept;
    return signatureKey ? material.setSignatureKey(signatureKey) : material;
  }

  forOpening(): NodeDecryptionMaterial {
    const kept = this.#material;
    if (!(kept instanceof NodeDecryptionMaterial)) throw new TypeError("a key for sealing does not open");
    const material = new NodeDecryptionMaterial(kept.suite, kept.encryptionContext);
    material.setUnencryptedDataKey(this.#copy(), kept.keyringTrace[0] ?? MISSING);
    const { verificationKey } = kept;
    return verificationKey ? material.setVerificationKey(verificationKey) : material;
  }

  zero(): void {
    this.#bytes.fill(0);
    this.#isZeroed = true;
  }

  /** The library zeroes what it is given, once it has it. */
  #copy(): Uint8Array {
    if (this.#isZeroed) throw new TypeError("the data key has been zeroed");
    return new Uint8Array(this.#bytes);
  }
}
