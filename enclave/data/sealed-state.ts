/**
 * State that an enclave keeps outside: sealed, numbered, and anchored, so that nobody can give it an older one.
 *
 *   write   seals the next version, with name and number in its encryption context · puts it under a name of its own
 *           · moves the anchor from the version it was based on to this one. Who loses the race changed nothing
 *   read    asks the anchor which version stands · gets it · compares its SHA-384 · opens it under that number
 *
 * The anchor is what the parent does not control: an enclave elsewhere, a relying party, a table with conditional writes
 * under credentials that are not the parent's. Those that it hands in move the anchor as well as the enclave does. It holds
 * a number and a digest, nothing secret. An anchor that lies can deny or roll back.
 *
 * @module
 */
import { createHash } from "node:crypto";
import { open, type SealOptions, seal } from "../../shared/envelope/sealed.ts";
import { DataError } from "../../shared/errors/index.ts";
import { checkObjectName, type ObjectStore } from "./stores.ts";

export interface AnchorPoint {
  /** 0: nothing was written yet. */
  readonly version: number;
  /** SHA-384 of the sealed message, hex; empty at version 0. */
  readonly digest: string;
}

/** What remembers how far a state has come. */
export interface Anchor {
  read(): Promise<AnchorPoint>;
  /** Moves to `to` if it stands at `from`, in one step; otherwise changes nothing and answers `false`. */
  advance(from: AnchorPoint, to: AnchorPoint): Promise<boolean>;
}

export interface SealedStateOptions extends Omit<SealOptions, "requiredContextKeys"> {
  readonly name: string;
  readonly store: ObjectStore;
  readonly anchor: Anchor;
}

export interface StateVersion {
  readonly version: number;
  readonly bytes: Uint8Array;
}

export interface SealedState {
  /**
   * What stands; `undefined` where nothing was written yet.
   *
   * @throws {DataError} `ERR_DATA_ROLLED_BACK`, `ERR_DATA_OBJECT_MISSING`, `ERR_DATA_NOT_OPENED`
   */
  read(): Promise<StateVersion | undefined>;
  /**
   * Writes over the version that was read, 0 where there was none, and gives the new version.
   *
   * @throws {DataError} `ERR_DATA_CONFLICT`: another was written since
   */
  write(bytes: Uint8Array, basedOn: { readonly version: number }): Promise<number>;
}

export function createSealedState(options: SealedStateOptions): SealedState {
  const { store, anchor, context, name: given, ...access } = options;
  const name = checkObjectName(given);
  if ("state" in context || "version" in context) throw new RangeError("the pairs state and version are set here");
  const boundTo = (version: number): SealOptions => ({
    ...access,
    context: { ...context, state: name, version: String(version) },
  });
  return {
    async read() {
      const { version, digest } = checkPoint(await anchor.read());
      if (version === 0) return undefined;
      const message = await store.get(objectOf(name, { version, digest }));
      if (digestOf(message) !== digest) throw new DataError("ERR_DATA_ROLLED_BACK", { state: name, version });
      return { version, bytes: await open(message, { ...boundTo(version), dataset: name }) };
    },
    async write(bytes, { version: basedOn }) {
      const from = checkPoint(await anchor.read());
      if (from.version !== basedOn) throw new DataError("ERR_DATA_CONFLICT", { state: name, version: from.version });
      const version = basedOn + 1;
      const message = await seal(bytes, boundTo(version));
      const to = { version, digest: digestOf(message) };
      // First the object: an anchor that names what is not there would lose the state.
      await store.put(objectOf(name, to), message);
      if (await anchor.advance(from, to)) return version;
      const { version: now } = checkPoint(await anchor.read());
      throw new DataError("ERR_DATA_CONFLICT", { state: name, version: now });
    },
  };
}

/** Of two writers of one version neither overwrites the other's. */
function objectOf(name: string, { version, digest }: AnchorPoint): string {
  return `${name}/${version}-${digest.slice(0, 32)}`;
}

function digestOf(message: Uint8Array): string {
  return createHash("sha384").update(message).digest("hex");
}

function checkPoint({ version, digest }: AnchorPoint): AnchorPoint {
  const isPoint = Number.isSafeInteger(version) && version >= 0 && (version === 0 || /^[0-9a-f]{96}$/.test(digest));
  if (!isPoint) throw new TypeError("an anchor holds a version and, from 1 on, a SHA-384 in hex");
  return { version, digest };
}
