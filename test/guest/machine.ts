/** What a guest offers, and where the suites find it. */
import { existsSync } from "node:fs";
import type { Address } from "../../shared/transport/address.ts";

export const LOOPBACK_CID = 1;

/** Without it CID 1 would be looked for on the machine's hypervisor, which no test ever dials. */
export function lacksLoopback(): string | undefined {
  // Under the shim of test/native a vsock is a Unix socket.
  if (existsSync("/sys/module/vsock_loopback") || process.env["VSOCK_SHIM_SPACE"]) return undefined;
  return "the kernel module vsock_loopback is not loaded";
}

export function lacksNsm(): string | undefined {
  return existsSync("/dev/nsm") ? undefined : "there is no /dev/nsm";
}

export function lacksNodeVsock(): string | undefined {
  return process.env["NODE_VSOCK"] ? undefined : "NODE_VSOCK names no binary";
}

export function lacksNative(): string | undefined {
  return process.env["CLOISTER_NATIVE"] ? undefined : "CLOISTER_NATIVE names no native binding";
}

const path = process.env["CLOISTER_NATIVE"];
/** An option of whatever loads the native binding; a bundle has lost the way to it. */
export const nativePath: { readonly nativePath?: string } = path === undefined ? {} : { nativePath: path };

/** Ports of the loopback context, each given once. */
export function loopbackPlaces(first: number): { place: () => Address; nowhere: () => Promise<Address> } {
  let port = first;
  const place = (): Address => ({ kind: "vsock", cid: LOOPBACK_CID, port: ++port });
  return { place, nowhere: async () => place() };
}
