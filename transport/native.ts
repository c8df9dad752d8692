/**
 * Finds and loads the native binding: system calls that Node does not have (`native/`).
 *
 * The binary for this platform lies in `native/prebuilds/`, beside the sources and in the package alike. Where it is
 * not there or does not load, that is said, and nothing takes its place: whoever wants a mock writes so.
 *
 * @module
 */
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { getSystemErrorName } from "node:util";
import { TransportError } from "../shared/errors/index.ts";

declare const endpoint: unique symbol;

/** One vsock descriptor, owned by the binding: closed by `close`, by `adopt`, or when it is collected. */
export interface NativeEndpoint {
  readonly [endpoint]: true;
}

/** A number of the system's: 0, or a negative errno. */
export type Status = number;

/** The functions of `native/`. Where one gives a number in place of its result, that is a negative errno. */
export interface NativeBinding {
  readonly open: () => NativeEndpoint | Status;
  /** Binds, and listens. */
  readonly listen: (endpoint: NativeEndpoint, cid: number, port: number, backlog: number) => Status;
  readonly connect: (endpoint: NativeEndpoint, cid: number, port: number, timeoutMs: number) => Status;
  readonly accept: (endpoint: NativeEndpoint) => NativeEndpoint | Status;
  readonly localName: (endpoint: NativeEndpoint) => readonly [cid: number, port: number] | Status;
  readonly peerName: (endpoint: NativeEndpoint) => readonly [cid: number, port: number] | Status;
  /** How a connection attempt ended. */
  readonly failure: (endpoint: NativeEndpoint) => Status;
  /** Calls back whenever the endpoint is ready, until `unwatch` or `close`. */
  readonly watch: (endpoint: NativeEndpoint, forWriting: boolean, ready: (status: Status) => void) => Status;
  readonly unwatch: (endpoint: NativeEndpoint) => void;
  readonly close: (endpoint: NativeEndpoint) => void;
  /** Has a `net.Socket` made around a descriptor, and puts the endpoint there. */
  readonly adopt: (endpoint: NativeEndpoint, construct: (fd: number) => void) => Status;
  /** This machine's context id. */
  readonly localCid: () => number;
  /** One request to the NSM behind `fd`, off the event loop. */
  readonly nsmCall: (fd: number, request: Uint8Array) => Promise<Uint8Array | Status>;
}

const loaded = new Map<string, NativeBinding>();
const PLATFORMS: readonly string[] = ["linux-x64", "linux-arm64"];

export interface NativeOptions {
  /** What it is for, as the refusal names it. */
  readonly address: string;
  /** Where the binary is. Default: the one of this package for this platform. */
  readonly path?: string | URL | undefined;
}

/**
 * @throws {TransportError} `ERR_TRANSPORT_UNSUPPORTED`
 */
export function loadNative({ address, path }: NativeOptions): NativeBinding {
  const refused = (reason: string, cause?: unknown): TransportError =>
    new TransportError("ERR_TRANSPORT_UNSUPPORTED", { address, reason }, { cause });
  const platform = `${process.platform}-${process.arch}`;
  if (!PLATFORMS.includes(platform)) throw refused(`there is no native binding for ${platform}`);
  const file = path ?? new URL(`../native/prebuilds/${platform}.node`, import.meta.url);
  const filename = typeof file === "string" ? file : fileURLToPath(file);
  if (!existsSync(filename)) throw refused(`the native binding for ${platform} is not installed: no such file`);
  const known = loaded.get(filename);
  if (known) return known;
  try {
    const module = { exports: {} };
    process.dlopen(module, filename);
    loaded.set(filename, module.exports as NativeBinding);
    return module.exports as NativeBinding;
  } catch (cause) {
    throw refused(`the native binding for ${platform} does not load on this host`, cause);
  }
}

/** The system's name for a negative errno, such as `ECONNRESET`. */
export function errnoName(status: Status): string {
  return status < 0 ? getSystemErrorName(status) : "unknown";
}
