/**
 * Opens a sealed message, and says by its suite when plaintext may be seen.
 *
 *   "unsigned"  each frame as soon as its tag is verified: right for as long as it lasts, and only the end of the
 *               stream says that nothing is missing. Whoever acts on the first frames acts on a part
 *   "signed"    nothing before the signature over the whole is verified. Where the source can be read once, frames are
 *               held, `maxHeldBytes` of them; where it is a function that begins it anew, it is read twice: first
 *               verified, then opened, each frame compared by SHA-256 with the one that was verified
 *
 * The suite is the caller's word, never the message's. What is checked of a message, and in which order: reading.ts.
 *
 * Source: AWS Encryption SDK specification, client-apis/decrypt.md.
 *
 * @module
 */
import { concat, equalBytes } from "../bytes.ts";
import { DataError } from "../errors/index.ts";
import type { ByteStream } from "./byte-source.ts";
import { BrokenMessage } from "./format.ts";
import { type Frame, type OpenStreamOptions, Reading } from "./reading.ts";

export type { OpenOptions, OpenStreamOptions } from "./reading.ts";

/** A source that begins anew at each call, e.g. `() => createReadStream(path)`. */
export type Rereadable = () => ByteStream;

const DEFAULT_MAX_HELD_BYTES = 1 << 26;

/**
 * The plaintext of a sealed message, frame by frame.
 *
 * @throws {DataError} `ERR_DATA_NOT_OPENED`, one code whatever is wrong with the message; `ERR_DATA_TOO_LARGE`
 * @throws what the KMS client threw, when KMS did not release the data key, and what the source threw
 */
export async function* openStream(
  source: ByteStream | Rereadable,
  options: OpenStreamOptions,
): AsyncGenerator<Uint8Array, void> {
  const { dataset, suite } = options;
  try {
    if (suite === "unsigned") yield* openFrames(typeof source === "function" ? source() : source, options);
    else if (typeof source === "function") yield* openTwice(source, options);
    else yield* openHeld(source, options);
  } catch (cause) {
    if (cause instanceof BrokenMessage) throw new DataError("ERR_DATA_NOT_OPENED", { dataset }, { cause });
    throw cause;
  }
}

async function* openFrames(source: ByteStream, options: OpenStreamOptions): AsyncGenerator<Uint8Array, void> {
  const reading = new Reading(source, options);
  try {
    await reading.start();
    for await (const frame of reading.frames()) yield reading.decrypt(frame);
    await reading.end();
  } finally {
    await reading.close();
  }
}

async function* openHeld(source: ByteStream, options: OpenStreamOptions): AsyncGenerator<Uint8Array, void> {
  const { dataset, maxHeldBytes = DEFAULT_MAX_HELD_BYTES } = options;
  const reading = new Reading(source, options);
  const held: Uint8Array[] = [];
  try {
    await reading.start();
    let size = 0;
    for await (const frame of reading.frames()) {
      size += frame.header.length;
      if (size > maxHeldBytes) throw new DataError("ERR_DATA_TOO_LARGE", { dataset, maximum: maxHeldBytes });
      held.push(reading.decrypt(frame));
    }
    await reading.end();
    for (let next = held.shift(); next; next = held.shift()) yield next;
  } finally {
    for (const frame of held) frame.fill(0);
    await reading.close();
  }
}

async function* openTwice(begin: Rereadable, options: OpenStreamOptions): AsyncGenerator<Uint8Array, void> {
  const first = new Reading(begin(), options);
  const digests: Uint8Array[] = [];
  try {
    await first.start();
    for await (const frame of first.frames()) {
      first.decrypt(frame).fill(0);
      digests.push(await sha256(frame));
    }
    await first.end();
    yield* first.again(begin(), async (frame) => {
      const verified = digests[frame.header.sequence - 1];
      if (!verified || !equalBytes(verified, await sha256(frame)))
        throw new BrokenMessage("the message is not the one that was verified");
    });
  } finally {
    await first.close();
  }
}

async function sha256({ header, sealed }: Frame): Promise<Uint8Array> {
  return new Uint8Array(await crypto.subtle.digest("SHA-256", concat(header.bytes, sealed)));
}
