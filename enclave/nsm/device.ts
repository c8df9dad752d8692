/**
 * Reaches the Nitro Secure Module of this machine: `/dev/nsm`, one ioctl for a request and its response.
 *
 * The ioctl runs on a thread of the pool, the descriptor stays open until it has returned. Where there is no such
 * device that is said, and nothing takes its place: a device that is not the hardware's is opened by its own name.
 *
 * Source: Linux drivers/misc/nsm.c, include/uapi/linux/nsm.h.
 *
 * @module
 */
import { constants, type FileHandle, open } from "node:fs/promises";
import { isTransportError } from "../../shared/errors/index.ts";
import { NsmError } from "../../shared/errors/nsm.ts";
import { createNsm } from "../../shared/nsm/client.ts";
import type { NsmDevice } from "../../shared/nsm/device.ts";
import { errnoName, loadNative, type NativeBinding } from "../../transport/native.ts";

export interface NsmDeviceOptions {
  /** The character device. Default `/dev/nsm`. */
  readonly path?: string;
  /** Where the native binding is. Default: the one of this package for this platform. */
  readonly nativePath?: string | URL;
  /** How long to wait for an answer, in milliseconds; after that every call is refused. Default 10 000: NSM takes 10. */
  readonly timeoutMs?: number;
}

/**
 * @throws {NsmError} `ERR_NSM_UNAVAILABLE`: no such device, no right to open it, no native binding for this platform
 */
export async function openNsmDevice(options: NsmDeviceOptions = {}): Promise<NsmDevice> {
  const { path = "/dev/nsm", nativePath, timeoutMs = 10_000 } = options;
  const native = bindingFor(path, nativePath);
  const handle = await openCharacterDevice(path);
  let last: Promise<unknown> = Promise.resolve();
  let refusal: string | undefined;
  const exchange = async (request: Uint8Array): Promise<Uint8Array> => {
    if (refusal !== undefined) throw unavailable(path, refusal);
    const response = await within(timeoutMs, native.nsmCall(handle.fd, request));
    if (response === undefined) {
      refusal = `no answer in ${timeoutMs} ms`;
      throw unavailable(path, refusal);
    }
    if (typeof response === "number") throw unavailable(path, errnoName(response));
    return response;
  };
  return createNsm(
    (request) => {
      const response = exchange(request);
      last = response.catch(() => undefined);
      return response;
    },
    async () => {
      refusal ??= "closed";
      await last;
      await handle.close();
    },
  );
}

/** `undefined` when it takes longer. An ioctl can not be called off: it goes on, with a descriptor of its own. */
async function within<Value>(timeoutMs: number, value: Promise<Value>): Promise<Value | undefined> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<undefined>((resolve) => {
    timer = setTimeout(resolve, timeoutMs, undefined);
  });
  try {
    return await Promise.race([value, late]);
  } finally {
    clearTimeout(timer);
  }
}

function unavailable(device: string, reason: string, cause?: unknown): NsmError {
  return new NsmError("ERR_NSM_UNAVAILABLE", { device, reason }, { cause });
}

function bindingFor(device: string, path: string | URL | undefined): NativeBinding {
  try {
    return loadNative({ address: device, path });
  } catch (error) {
    if (!isTransportError(error) || error.code !== "ERR_TRANSPORT_UNSUPPORTED") throw error;
    throw unavailable(device, error.details.reason, error);
  }
}

async function openCharacterDevice(path: string): Promise<FileHandle> {
  let handle: FileHandle | undefined;
  try {
    // Not blocking, so that a named pipe does not hold the call.
    handle = await open(path, constants.O_RDWR | constants.O_NONBLOCK | constants.O_NOCTTY);
    if ((await handle.stat()).isCharacterDevice()) return handle;
  } catch (error) {
    await handle?.close();
    const reason = error instanceof Error && "code" in error ? String(error.code) : "it can not be opened";
    throw unavailable(path, reason, error);
  }
  await handle.close();
  throw unavailable(path, "not a character device");
}
