/**
 * Every suite that runs on a real kernel in a guest, in one program; `bundle.mjs` makes it one file, run with
 * `node --expose-gc`. Settings: `guest-main.ts`, and
 *
 *   CLOISTER_NATIVE   path of the native binding
 *   NODE_VSOCK        path of node-vsock's binary; without it that suite is skipped by name
 *
 * @module
 */
import { isMainThread, parentPort, workerData } from "node:worker_threads";
import { createTransport } from "../../transport/create.ts";
import { createVsockTransport } from "../../transport/vsock.ts";
import { guestMain } from "./guest-main.ts";
import { lacksLoopback, lacksNative, lacksNodeVsock, lacksNsm, nativePath } from "./machine.ts";

const unavailable = (): string | undefined => lacksLoopback() ?? lacksNative();

if (isMainThread) {
  await guestMain(
    [
      { name: "memory", load: () => import("./suites/memory.ts") },
      { name: "unix", load: () => import("./suites/unix.ts") },
      { name: "tcp", load: () => import("./suites/tcp.ts") },
      { name: "hybrid", load: () => import("./suites/hybrid.ts") },
      { name: "vsock", load: () => import("./suites/vsock.ts"), unavailable },
      { name: "native", load: () => import("./suites/native.ts"), unavailable },
      { name: "nsm", load: () => import("./suites/nsm.ts"), unavailable: () => lacksNsm() ?? lacksNative() },
      {
        name: "node-vsock",
        load: () => import("./suites/node-vsock.ts"),
        unavailable: () => lacksLoopback() ?? lacksNodeVsock(),
      },
    ],
    () => createTransport({ vsock: createVsockTransport({ allowedCids: "any", ...nativePath }) }),
  );
} else {
  // A native scenario starts this file as a worker, to end it in the midst of everything.
  const { beBusy } = await import("../native/scenarios.ts");
  const { nativePath: path, cid, way } = workerData as { nativePath: string; cid: number; way: string };
  const ground = {
    nativePath: path,
    cid,
    scale: 1,
    transport: createVsockTransport({ allowedCids: "any", nativePath: path }),
  };
  await beBusy(ground, way, () => parentPort?.postMessage("busy"));
}
