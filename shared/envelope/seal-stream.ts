/**
 * Seals a stream of any length in the AWS Encryption SDK message format, a frame at a time.
 *
 *   suite "signed"    0x0578: AES-256-GCM, HKDF, key commitment, ECDSA P-384 over the whole; opened as a whole
 *   suite "unsigned"  0x0478: the same without the signature; opened frame by frame
 *
 * Data key, derivation, commitment and signature are the Encryption SDK's; the framing is written here, since the
 * library's stream waits a turn of the event loop for each piece and frees its key only where it is destroyed.
 * No more than one frame is held. Whoever stops early leaves a message without an end, which nothing opens.
 *
 * Source: AWS Encryption SDK specification, client-apis/encrypt.md; data-format/message-body.md.
 *
 * @module
 */
import { getEncryptHelper, NodeAlgorithmSuite, type NodeEncryptionMaterial } from "@aws-crypto/client-node";
import { concat, utf8 } from "../bytes.ts";
import { ByteSource, type ByteStream } from "./byte-source.ts";
import {
  checkContext,
  type EncryptionContext,
  partitionContext,
  SIGNER_NAME,
  serializeContext,
  uint16,
} from "./context.ts";
import * as format from "./format.ts";
import { COMMITMENT_POLICY, type KeyAccess, KmsCallFailed, type MaterialsSource, UNCACHED } from "./materials.ts";

export type Suite = "signed" | "unsigned";

export const SUITE_IDS: Readonly<Record<Suite, number>> = {
  signed: format.SIGNED_SUITE,
  unsigned: format.UNSIGNED_SUITE,
};

export interface SealOptions extends KeyAccess {
  readonly context: EncryptionContext;
  /**
   * Names of pairs that the message is bound to and does not carry: who opens it must know them. The specification's
   * "required encryption context keys". Default: none.
   */
  readonly requiredContextKeys?: readonly string[];
  /** A cache of data keys, `createMaterialsCache`; default: KMS is asked for each message. */
  readonly materials?: MaterialsSource;
}

export interface SealStreamOptions extends SealOptions {
  /** Whether the message is signed, and with that how it can be opened; see the head of this module. */
  readonly suite: Suite;
  /** How many bytes the stream has. Demanded for a cache, which counts them; another number is a `RangeError`. */
  readonly plaintextBytes?: number;
  /** Bytes of a frame, 1 to 2^32 − 1; default 65 536: the library's 4 096 costs a cipher object each. */
  readonly frameBytes?: number;
  readonly signal?: AbortSignal;
}

export const DEFAULT_FRAME_BYTES = 65_536;
/** So much is worked on before others get a turn. */
export const BYTES_PER_TURN: number = 1 << 22;

/**
 * The sealed message of a stream, in pieces: the header, then each frame, then the signature.
 *
 * @throws the KMS client's own exceptions, and what the stream threw
 */
export async function* sealStream(source: ByteStream, options: SealStreamOptions): AsyncGenerator<Uint8Array, void> {
  const { frameBytes = DEFAULT_FRAME_BYTES, plaintextBytes, signal } = options;
  checkSizes(frameBytes, plaintextBytes);
  const bytes = new ByteSource(source, signal);
  let sealer: Sealer | undefined;
  try {
    sealer = await startSealing(options, frameBytes);
    yield sealer.head;
    let total = 0;
    let sinceTurn = 0;
    for (let sequence = 1, isLast = false; !isLast; sequence++) {
      const plaintext = await bytes.takeUpTo(frameBytes);
      isLast = plaintext.length < frameBytes;
      total += plaintext.length;
      if (plaintextBytes !== undefined && (isLast ? total !== plaintextBytes : total > plaintextBytes))
        throw new RangeError(`the stream has ${isLast ? total : `${total} or more`} bytes, not ${plaintextBytes}`);
      yield sealer.frame(plaintext, sequence, isLast);
      sinceTurn += plaintext.length;
      if (sinceTurn < BYTES_PER_TURN) continue;
      sinceTurn = 0;
      await nextTurn();
    }
    const footer = sealer.footer();
    if (footer) yield footer;
  } finally {
    sealer?.dispose();
    await bytes.close();
  }
}

function checkSizes(frameBytes: number, plaintextBytes: number | undefined): void {
  if (!Number.isSafeInteger(frameBytes) || frameBytes < 1 || frameBytes > 0xffff_ffff)
    throw new RangeError(`a frame has 1 to 4294967295 bytes, not ${frameBytes}`);
  if (plaintextBytes !== undefined && (!Number.isSafeInteger(plaintextBytes) || plaintextBytes < 0))
    throw new RangeError(`a stream has 0 bytes or more, not ${plaintextBytes}`);
}

/** Lets timers and sockets have their turn: a stream that is in memory would never wait. */
export function nextTurn(): Promise<void> {
  return new Promise((resolve) => void setImmediate(resolve));
}

interface Sealer {
  readonly head: Uint8Array;
  frame(plaintext: Uint8Array, sequence: number, isLast: boolean): Uint8Array;
  footer(): Uint8Array | undefined;
  dispose(): void;
}

async function startSealing(options: SealStreamOptions, frameBytes: number): Promise<Sealer> {
  const { requiredContextKeys = [] } = options;
  const context = checkContext(options.context);
  if (requiredContextKeys.some((name) => !Object.hasOwn(context, name)))
    throw new RangeError("a required context key is not in the encryption context");
  const material = await askMaterial(options, context);
  const { named, rest } = partitionContext(material.encryptionContext, requiredContextKeys);
  const { getCipherInfo, getSigner, dispose } = getEncryptHelper(material);
  const messageId = crypto.getRandomValues(new Uint8Array(format.ID_BYTES));
  const { getCipher, keyCommitment } = getCipherInfo(messageId);
  if (!keyCommitment) throw new TypeError("the materials are of a suite without key commitment");
  const dataKeys = material.encryptedDataKeys.map((key) => ({
    ...key,
    rawInfo: key.rawInfo ?? utf8(key.providerInfo),
  }));
  const body = format.writeHeaderBody({
    ...{ suite: material.suite.id, messageId, context: rest, dataKeys, frameBytes },
    commitment: keyCommitment,
  });
  const signer = getSigner?.();
  const sign = (bytes: Uint8Array): Uint8Array => {
    signer?.update(bytes as Buffer);
    return bytes;
  };
  const encrypt = (iv: Uint8Array, aad: Uint8Array, plaintext: Uint8Array): readonly Uint8Array[] => {
    const cipher = getCipher(iv).setAAD(aad as Buffer);
    return [cipher.update(plaintext as Buffer), cipher.final(), cipher.getAuthTag()];
  };
  const tag = encrypt(format.ivOf(0), concat(body, serializeContext(named)), new Uint8Array());
  return {
    head: sign(concat(body, ...tag)),
    frame(plaintext, sequence, isLast) {
      if (sequence > format.MAX_SEQUENCE) throw new RangeError("more frames than a message holds: use larger ones");
      const header = { kind: isLast ? "last" : "frame", sequence, length: plaintext.length } as const;
      const iv = format.ivOf(sequence);
      const sealed = encrypt(iv, format.frameAad(messageId, header), plaintext);
      return sign(concat(format.writeFrameHeader({ ...header, iv }), ...sealed));
    },
    footer() {
      const signature = signer?.awsCryptoSign();
      return signature && concat(uint16(signature.length), signature);
    },
    dispose,
  };
}

async function askMaterial(
  options: SealStreamOptions,
  encryptionContext: EncryptionContext,
): Promise<NodeEncryptionMaterial> {
  const { suite, materials = UNCACHED, kms, keyArn, plaintextBytes } = options;
  const request = {
    suite: new NodeAlgorithmSuite(SUITE_IDS[suite]),
    encryptionContext,
    commitmentPolicy: COMMITMENT_POLICY,
    ...(plaintextBytes === undefined ? {} : { plaintextLength: plaintextBytes }),
  };
  const material = await materials
    .managerFor({ kms, keyArn })
    .getEncryptionMaterials(request)
    .catch((error: unknown) => {
      throw error instanceof KmsCallFailed ? error.cause : error;
    });
  if (material.suite.id !== SUITE_IDS[suite]) throw new TypeError("the materials are of another suite");
  if ((suite === "signed") !== SIGNER_NAME in material.encryptionContext)
    throw new TypeError("the materials' signing key does not fit the suite");
  return material;
}
