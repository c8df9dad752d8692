/**
 * The driver for AF_VSOCK: `vsock://3:8001`, context id and port, between an enclave and its parent.
 *
 * Connections are real `net.Socket`s that libuv reads and writes (how: `native/vsock.c`), so backpressure, half-close,
 * timeouts and `tls.connect({ socket })` are Node's own. The binding is loaded when the first address is used. A
 * listener may name the peers that it takes; others are reset before a byte is read.
 *
 * Errors of the system keep their names. Those that say that there is no vsock here (`EAFNOSUPPORT`, `EPERM`, `ENODEV`
 * and the like) are `ERR_TRANSPORT_UNSUPPORTED`, the others `ERR_TRANSPORT_UNREACHABLE`. Where nobody listens, vsock
 * says `ECONNRESET`.
 *
 * Source: vsock(7); Linux net/vmw_vsock/af_vsock.c.
 *
 * @module
 */
import type { Socket } from "node:net";
import { constants } from "node:os";
import { ConfigError, TransportError } from "../shared/errors/index.ts";
import { type Address, checkVsockPort, formatAddress } from "../shared/transport/address.ts";
import type { ConnectOptions, Transport } from "../shared/transport/transport.ts";
import { attemptConnection, systemError, unreachable } from "./attempt.ts";
import { errnoName, loadNative, type NativeBinding, type NativeEndpoint, type Status } from "./native.ts";
import { SocketListener } from "./socket-listener.ts";
import { Acceptor } from "./vsock-acceptor.ts";
import { adoptVsock } from "./vsock-socket.ts";

const { errno } = constants;

/** Passed as a port to `listen`, has the system choose one; the listener's address tells which. Linux VMADDR_PORT_ANY. */
export const VSOCK_PORT_ANY = 0xffff_ffff;
/** Passed as a context id to `listen`, takes connections for any that this machine has. Linux VMADDR_CID_ANY. */
export const VSOCK_CID_ANY = 0xffff_ffff;

const CONNECT_TIMEOUT_MS = 10_000;
/**
 * How much later than the attempt's own deadline the kernel's is. Not more: Linux keeps the memory of a socket, though
 * closed, until the deadline of its connect has passed.
 */
const KERNEL_PATIENCE_MS = 1_000;
const BACKLOG = 511;
/** What a host says that has no vsock, or does not let this process have it. */
const HOST_LACKS: ReadonlySet<string> = new Set([
  "EAFNOSUPPORT",
  "EPERM",
  "ENODEV",
  "EPROTONOSUPPORT",
  "ESOCKTNOSUPPORT",
]);

export interface VsockTransportOptions {
  /** Where the native binding is. Default: the one of this package for this platform. */
  readonly nativePath?: string | URL;
  /**
   * The peers that listeners take, by context id; an enclave's only peer is its parent, 3. For listeners that do not say
   * it themselves; one that is told nowhere is refused.
   */
  readonly allowedCids?: readonly number[] | "any";
  /**
   * Hears why accepting pauses, such as `EMFILE`: once, until a connection is accepted again. Accepting resumes by
   * itself after 100 ms.
   */
  readonly onAcceptPaused?: (reason: string) => void;
}

type VsockAddress = Extract<Address, { readonly kind: "vsock" }>;

/**
 * @throws {ConfigError} from `listen`: nobody said whom to take
 *
 * @example
 * ```ts
 * const transport = createVsockTransport({ allowedCids: [3] });
 * await using listener = await transport.listen({ kind: "vsock", cid: VSOCK_CID_ANY, port: 8080 }, serve);
 * ```
 */
export function createVsockTransport(options: VsockTransportOptions = {}): Transport {
  const { nativePath, onAcceptPaused } = options;
  const allowedByDefault = allowedSet(options.allowedCids);
  const load = (address: VsockAddress): NativeBinding =>
    loadNative({ address: formatAddress(address), path: nativePath });
  return {
    async connect(address, connectOptions = {}) {
      const target = targetOf(address);
      return connectVsock(() => load(target), { ...connectOptions, address: target });
    },
    async listen(address, onConnection, listenOptions = {}) {
      const place = targetOf(address);
      const allowedCids = allowedSet(listenOptions.allowedCids) ?? allowedByDefault;
      if (allowedCids === undefined) {
        const expected = `context ids, or "any"`;
        throw new ConfigError("ERR_CONFIG_FIELD_MISSING", { field: "allowedCids", expected });
      }
      const native = load(place);
      const [endpoint, port] = listenVsock(native, place);
      const acceptor = new Acceptor(native, endpoint, {
        allowedCids,
        onAcceptPaused: (reason) => {
          onAcceptPaused?.(reason);
          listenOptions.onAcceptPaused?.(reason);
        },
        onAcceptResumed: listenOptions.onAcceptResumed,
        onConnection,
      });
      try {
        acceptor.start();
      } catch (error) {
        native.close(endpoint);
        throw error;
      }
      return new SocketListener({ ...place, port }, acceptor.open, () => acceptor.stop());
    },
  };
}

function allowedSet(cids: readonly number[] | "any" | undefined): ReadonlySet<number> | "any" | undefined {
  if (cids === undefined || cids === "any") return cids;
  for (const cid of cids) checkCid(cid);
  return new Set(cids);
}

function checkCid(cid: unknown): void {
  if (typeof cid !== "number") throw new TypeError(`a vsock context id is a number, not a ${typeof cid}`);
  if (!Number.isInteger(cid) || cid < 0 || cid > VSOCK_CID_ANY) throw new RangeError(`not a vsock context id: ${cid}`);
}

function targetOf(address: Address): VsockAddress {
  if (address.kind !== "vsock") throw new TypeError(`the vsock driver got a ${address.kind} address`);
  const { cid, port } = address;
  checkCid(cid);
  checkVsockPort(port);
  return { kind: "vsock", cid, port };
}

/** The refusal that a negative errno stands for. */
function refusal(address: VsockAddress, status: Status, call: string): TransportError {
  const reason = errnoName(status);
  const cause = systemError(reason, call);
  if (!HOST_LACKS.has(reason)) return unreachable(address, cause);
  return new TransportError("ERR_TRANSPORT_UNSUPPORTED", { address: formatAddress(address), reason }, { cause });
}

function openVsock(native: NativeBinding, address: VsockAddress): NativeEndpoint {
  const endpoint = native.open();
  if (typeof endpoint === "number") throw refusal(address, endpoint, "socket");
  return endpoint;
}

/** Binds and listens; gives the endpoint and its port. */
function listenVsock(native: NativeBinding, place: VsockAddress): readonly [NativeEndpoint, number] {
  const endpoint = openVsock(native, place);
  try {
    const status = native.listen(endpoint, place.cid, place.port, BACKLOG);
    if (status < 0) throw refusal(place, status, "listen");
    const name = native.localName(endpoint);
    if (typeof name === "number") throw refusal(place, name, "getsockname");
    return [endpoint, name[1]];
  } catch (error) {
    native.close(endpoint);
    throw error;
  }
}

function connectVsock(
  load: () => NativeBinding,
  options: ConnectOptions & { readonly address: VsockAddress },
): Promise<Socket> {
  const { address, timeoutMs = CONNECT_TIMEOUT_MS } = options;
  return attemptConnection<Socket>({ ...options, timeoutMs }, ({ succeed, fail }) => {
    const native = load();
    const endpoint = openVsock(native, address);
    const give = (finish: () => Socket): void => {
      try {
        succeed(finish());
      } catch (error) {
        native.close(endpoint);
        fail(error);
      }
    };
    const ready = (status: Status): void => {
      native.unwatch(endpoint);
      // libuv reports an error state as EBADF; the socket knows better.
      const failure = native.failure(endpoint) || (status < 0 ? -errno.ECONNRESET : 0);
      give(() => connected(native, endpoint, { address, status: failure }));
    };
    const status = native.connect(endpoint, address.cid, address.port, timeoutMs + KERNEL_PATIENCE_MS);
    const watched = status === -errno.EINPROGRESS ? native.watch(endpoint, true, ready) : status;
    if (status !== -errno.EINPROGRESS || watched < 0) {
      give(() => connected(native, endpoint, { address, status: watched }));
    }
    return () => native.close(endpoint);
  });
}

/** The socket of an attempt that ended well, with the peer that was asked for. */
function connected(
  native: NativeBinding,
  endpoint: NativeEndpoint,
  { address, status }: { readonly address: VsockAddress; readonly status: Status },
): Socket {
  if (status < 0) throw refusal(address, status, "connect");
  const peer = native.peerName(endpoint);
  if (typeof peer === "number") throw refusal(address, peer, "getpeername");
  const [cid, port] = peer;
  if (cid !== address.cid || port !== address.port) {
    const actual = formatAddress({ kind: "vsock", cid, port });
    throw new TransportError("ERR_TRANSPORT_PEER_MISMATCH", { address: formatAddress(address), actual });
  }
  const socket = adoptVsock(native, endpoint);
  if (typeof socket === "number") throw refusal(address, socket, "dup3");
  return socket;
}
