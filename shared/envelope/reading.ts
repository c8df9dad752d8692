/**
 * One pass over a sealed message: header, frames, end, in this order and never skipped.
 *
 *   start   the header is of the suite and context that the caller named; KMS gives the data key; the commitment is the
 *           key's; the header's tag is right
 *   frames  each in its turn, as it came; `decrypt` gives plaintext only where the frame's tag is right
 *   end     the signature over all of it, where one is due, and nothing behind it
 *
 * Whoever is refused leaves no plaintext and no key behind.
 *
 * Source: AWS Encryption SDK specification, client-apis/decrypt.md.
 *
 * @module
 */
import {
  EncryptedDataKey,
  getDecryptionHelper,
  NodeAlgorithmSuite,
  type NodeDecryptionMaterial,
} from "@aws-crypto/client-node";
import { concat, equalBytes } from "../bytes.ts";
import { ByteSource, type ByteStream } from "./byte-source.ts";
import { checkContext, type EncryptionContext, partitionContext, SIGNER_NAME, serializeContext } from "./context.ts";
import * as format from "./format.ts";
import { KmsCallFailed, UNCACHED } from "./materials.ts";
import { BYTES_PER_TURN, nextTurn, type SealOptions, SUITE_IDS, type Suite } from "./seal-stream.ts";

export interface OpenOptions extends SealOptions {
  /** Name of the data set, for errors. */
  readonly dataset: string;
  /** How many encrypted data keys a message may carry; default 1. Each may be a call of KMS. */
  readonly maxDataKeys?: number;
}

export interface OpenStreamOptions extends OpenOptions {
  /** Which messages are opened, and with that when plaintext is given out; see open-stream.ts. */
  readonly suite: Suite;
  /** Bytes of a frame, or of a message without frames, at most; default 1 MiB: so much is held before its tag is verified. */
  readonly maxFrameBytes?: number;
  /** Bytes of a signed message that are held where it can be read once; default 64 MiB. */
  readonly maxHeldBytes?: number;
  readonly signal?: AbortSignal;
}

const DEFAULT_MAX_FRAME_BYTES = 1 << 20;

export interface Frame {
  readonly header: format.FrameHeader;
  /** Ciphertext and tag. */
  readonly sealed: Uint8Array;
}

type Keys = Pick<ReturnType<typeof getDecryptionHelper>, "dispose"> & {
  readonly decipher: ReturnType<ReturnType<typeof getDecryptionHelper>["getDecipherInfo"]>;
  readonly verify: ReturnType<NonNullable<ReturnType<typeof getDecryptionHelper>["getVerify"]>> | undefined;
};

export class Reading {
  readonly #options: OpenStreamOptions;
  #source: ByteSource;
  #header: format.MessageHeader | undefined;
  #keys: Keys | undefined;

  constructor(source: ByteStream, options: OpenStreamOptions) {
    this.#options = options;
    this.#source = new ByteSource(source, options.signal);
  }

  /** Reads the header, asks for the data key, and authenticates the header under it. */
  async start(): Promise<void> {
    const { maxFrameBytes = DEFAULT_MAX_FRAME_BYTES, requiredContextKeys = [], suite } = this.#options;
    const context = checkContext(this.#options.context);
    const header = await this.#readHeader();
    if (header.suite !== SUITE_IDS[suite]) throw new format.BrokenMessage("a message of another suite");
    if (header.frameBytes > maxFrameBytes) throw new format.BrokenMessage(`frames of ${header.frameBytes} bytes`);
    if (SIGNER_NAME in header.context !== (suite === "signed"))
      throw new format.BrokenMessage("a public key where none is due, or none where one is");
    const { named, rest } = partitionContext(context, requiredContextKeys);
    if (Object.entries(rest).some(([name, value]) => header.context[name] !== value))
      throw new format.BrokenMessage("another encryption context");
    if (Object.keys(named).some((name) => name in header.context))
      throw new format.BrokenMessage("the message carries what it must not");
    const material = await askMaterial(header, { ...header.context, ...named }, this.#options);
    this.#keys = broken(() => deriveKeys(material, header));
    this.#header = header;
    const aad = concat(header.body, serializeContext(named));
    this.#decrypt({ iv: format.ivOf(0), aad, ciphertext: new Uint8Array(), tag: header.tag });
    this.#keys.verify?.update(header.body as Buffer).update(header.tag as Buffer);
  }

  async *frames(): AsyncGenerator<Frame, void> {
    const { frameBytes } = this.#started().header;
    const { verify } = this.#started().keys;
    const { maxFrameBytes = DEFAULT_MAX_FRAME_BYTES } = this.#options;
    const take = (length: number): Promise<Uint8Array> => this.#source.take(length);
    for (let due = 1, isLast = false, read = 0; !isLast; due++) {
      const header = await format.readFrameHeader(take, { frameBytes, maxFrameBytes, due });
      const sealed = await take(header.length + format.TAG_BYTES);
      verify?.update(header.bytes as Buffer).update(sealed as Buffer);
      yield { header, sealed };
      isLast = header.kind !== "frame";
      read += sealed.length;
      if (read < BYTES_PER_TURN) continue;
      read = 0;
      await nextTurn();
    }
  }

  /** The plaintext of a frame. @throws {BrokenMessage} its tag is not right */
  decrypt({ header, sealed }: Frame): Uint8Array {
    const aad = format.frameAad(this.#started().header.messageId, header);
    const [ciphertext, tag] = [sealed.subarray(0, header.length), sealed.subarray(header.length)];
    return this.#decrypt({ iv: header.iv, aad, ciphertext, tag });
  }

  /** Verifies the signature, where one is due, and that nothing is behind it. */
  async end(): Promise<void> {
    const { verify } = this.#started().keys;
    if (verify) {
      const signature = await format.readFooter((length) => this.#source.take(length));
      if (!broken(() => verify.awsCryptoVerify(signature as Buffer))) throw new format.BrokenMessage("the signature");
    }
    if (!(await this.#source.isAtEnd())) throw new format.BrokenMessage("bytes behind the message");
  }

  /** The same message from its beginning, under the keys that are known: each frame is checked, then given out. */
  async *again(source: ByteStream, check: (frame: Frame) => Promise<void>): AsyncGenerator<Uint8Array, void> {
    await this.#source.close();
    this.#source = new ByteSource(source, this.#options.signal);
    const { header, keys } = this.#started();
    const { body, tag } = await this.#readHeader();
    if (!equalBytes(concat(body, tag), concat(header.body, header.tag)))
      throw new format.BrokenMessage("the message is not the one that was verified");
    this.#keys = { ...keys, verify: undefined };
    for await (const frame of this.frames()) {
      await check(frame);
      yield this.decrypt(frame);
    }
  }

  async close(): Promise<void> {
    this.#keys?.dispose();
    await this.#source.close();
  }

  #readHeader(): Promise<format.MessageHeader> {
    const { maxDataKeys = 1 } = this.#options;
    return format.readHeader((length) => this.#source.take(length), { maxDataKeys });
  }

  #started(): { readonly header: format.MessageHeader; readonly keys: Keys } {
    if (!this.#header || !this.#keys) throw new TypeError("a message is read from its header on");
    return { header: this.#header, keys: this.#keys };
  }

  #decrypt({ iv, aad, ciphertext, tag }: Record<"iv" | "aad" | "ciphertext" | "tag", Uint8Array>): Uint8Array {
    const decipher = this.#started()
      .keys.decipher(iv)
      .setAAD(aad as Buffer)
      .setAuthTag(tag as Buffer);
    const plaintext = decipher.update(ciphertext as Buffer);
    try {
      decipher.final();
    } catch (cause) {
      plaintext.fill(0);
      throw new format.BrokenMessage("a tag is not right", { cause });
    }
    return new Uint8Array(plaintext.buffer, plaintext.byteOffset, plaintext.length);
  }
}

async function askMaterial(
  { dataKeys }: format.MessageHeader,
  encryptionContext: EncryptionContext,
  options: OpenStreamOptions,
): Promise<NodeDecryptionMaterial> {
  const { suite, materials = UNCACHED, kms, keyArn } = options;
  const manager = materials.managerFor({ kms, keyArn });
  const encryptedDataKeys = dataKeys.map((key) => new EncryptedDataKey(key));
  const request = { suite: new NodeAlgorithmSuite(SUITE_IDS[suite]), encryptionContext, encryptedDataKeys };
  try {
    return await manager.decryptMaterials(request);
  } catch (error) {
    if (error instanceof KmsCallFailed) throw error.cause;
    throw new format.BrokenMessage("no data key", { cause: error });
  }
}

function deriveKeys(material: NodeDecryptionMaterial, { messageId, commitment, suite }: format.MessageHeader): Keys {
  if (material.suite.id !== suite) throw new TypeError("the materials are of another suite");
  const { getDecipherInfo, getVerify, dispose } = getDecryptionHelper(material);
  try {
    return { decipher: getDecipherInfo(messageId, commitment), verify: getVerify?.(), dispose };
  } catch (error) {
    dispose();
    throw error;
  }
}

/** What the library throws over a message that is not right. */
function broken<Value>(act: () => Value): Value {
  try {
    return act();
  } catch (cause) {
    throw new format.BrokenMessage("not authentic", { cause });
  }
}
