/**
 * Where sealed objects lie: a folder, a bucket, or anything that has `put` and `get`.
 *
 * A store is not trusted. It sees names and sizes, can lose objects, give old ones and exchange them: what lies there is
 * sealed, with its name in the encryption context (sealed-store.ts), and what must not be old has an anchor
 * (sealed-state.ts).
 *
 * @module
 */
import { randomUUID } from "node:crypto";
import { mkdir, open, rename, rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import { DataError } from "../../shared/errors/index.ts";

export interface ObjectStore {
  /** Puts all of it in the place of what was there, or fails. */
  put(name: string, bytes: Uint8Array): Promise<void>;
  /** @throws {DataError} `ERR_DATA_OBJECT_MISSING`, `ERR_DATA_TOO_LARGE` */
  get(name: string): Promise<Uint8Array>;
}

interface StoreLimits {
  /** Bytes of an object that are taken into memory at most; default 64 MiB. */
  readonly maxBytes?: number;
}

const DEFAULT_MAX_BYTES = 1 << 26;
const MAX_NAME = 512;

/** Parts of letters, digits, `.`, `_`, `-`, divided by `/`; none begins with a dot. @throws {RangeError} */
export function checkObjectName(name: string): string {
  if (name.length <= MAX_NAME && /^[A-Za-z0-9_-][A-Za-z0-9._-]*(\/[A-Za-z0-9_-][A-Za-z0-9._-]*)*$/.test(name))
    return name;
  throw new RangeError("an object's name is letters, digits, dots, dashes and slashes, and no part begins with a dot");
}

/** Objects are files of a folder, for this user only. */
export function createFolderStore({
  folder,
  maxBytes = DEFAULT_MAX_BYTES,
}: StoreLimits & { readonly folder: string }): ObjectStore {
  return {
    async put(name, bytes) {
      const path = join(folder, checkObjectName(name));
      await mkdir(dirname(path), { recursive: true, mode: 0o700 });
      // No object's name begins with a dot.
      const draft = join(dirname(path), `.${randomUUID()}`);
      try {
        await writeDraft(draft, bytes);
        await rename(draft, path);
      } catch (error) {
        await rm(draft, { force: true });
        throw error;
      }
    },
    async get(name) {
      const file = await open(join(folder, checkObjectName(name))).catch((cause: NodeJS.ErrnoException) => {
        if (cause.code !== "ENOENT" && cause.code !== "ENOTDIR") throw cause;
        throw new DataError("ERR_DATA_OBJECT_MISSING", { object: name }, { cause });
      });
      try {
        return await collectBytes(file.createReadStream({ autoClose: false }), { name, maxBytes });
      } finally {
        await file.close();
      }
    },
  };
}

async function writeDraft(path: string, bytes: Uint8Array): Promise<void> {
  const file = await open(path, "wx", 0o600);
  try {
    await file.writeFile(bytes);
    await file.sync();
  } finally {
    await file.close();
  }
}

/** The calls that the store makes; `S3` of `@aws-sdk/client-s3` has them. */
export interface S3Calls {
  putObject(input: { Bucket: string; Key: string; Body: Uint8Array }): Promise<unknown>;
  getObject(input: { Bucket: string; Key: string }): Promise<{ readonly Body?: unknown }>;
}

export interface S3StoreOptions extends StoreLimits {
  readonly s3: S3Calls;
  readonly bucket: string;
  /** Before each name; default none. */
  readonly prefix?: string;
}

/** Objects are those of a bucket; the client is the caller's, inside an enclave over its way out. */
export function createS3Store({ s3, bucket, prefix = "", maxBytes = DEFAULT_MAX_BYTES }: S3StoreOptions): ObjectStore {
  const at = (name: string): { Bucket: string; Key: string } => ({
    Bucket: bucket,
    Key: prefix + checkObjectName(name),
  });
  return {
    async put(name, bytes) {
      await s3.putObject({ ...at(name), Body: bytes });
    },
    async get(name) {
      const { Body } = await s3.getObject(at(name)).catch((error: unknown) => {
        if (!(error instanceof Error) || error.name !== "NoSuchKey") throw error;
        // No cause: the SDK's error holds the request, whose head has the session token.
        throw new DataError("ERR_DATA_OBJECT_MISSING", { object: name });
      });
      // In Node the body is a stream, and how long it is the answer may not say.
      if (Body === undefined) return new Uint8Array();
      return collectBytes(Body as AsyncIterable<Uint8Array>, { name, maxBytes });
    },
  };
}

async function collectBytes(
  stream: AsyncIterable<Uint8Array>,
  { name, maxBytes }: { readonly name: string; readonly maxBytes: number },
): Promise<Uint8Array> {
  const pieces: Uint8Array[] = [];
  let size = 0;
  for await (const piece of stream) {
    size += piece.length;
    if (size > maxBytes) throw new DataError("ERR_DATA_TOO_LARGE", { dataset: name, maximum: maxBytes });
    pieces.push(piece);
  }
  return new Uint8Array(Buffer.concat(pieces));
}
