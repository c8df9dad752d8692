/** What ends with what: workers, exits, the collector, exceptions; on any kernel with a vsock that leads back. */
import { fileURLToPath } from "node:url";
import { Worker } from "node:worker_threads";
import { loadNative, type NativeBinding, type NativeEndpoint } from "../../transport/native.ts";
import { anyPort, descriptors, drain, equal, type Ground, MIB, pair, type Scenario, send } from "./streams.ts";

export const LIFETIMES: Readonly<Record<string, Scenario>> = {
  "a worker ends in the midst of everything": async (ground) => {
    const { nativePath, cid } = ground;
    // The first socket of a process has libuv keep one descriptor in reserve.
    const { near, far, listener } = await pair(ground);
    near.destroy();
    far.destroy();
    await listener.close();
    for (const way of ["terminate", "exit", "throw"]) {
      const before = await descriptors();
      const worker = new Worker(fileURLToPath(import.meta.url), { workerData: { nativePath, cid, way } });
      worker.on("error", () => {});
      const ended = new Promise<void>((resolve) => worker.once("exit", () => resolve()));
      equal("worker", await new Promise((resolve) => worker.once("message", resolve)), "busy");
      if (way === "terminate") await worker.terminate();
      await ended;
      for (let i = 0; i < 100 && (await descriptors()) > before; i++) await new Promise((go) => setTimeout(go, 20));
      equal(`descriptors after ${way}`, await descriptors(), before);
    }
  },

  "a watched endpoint is not collected": async ({ nativePath, transport, cid }) => {
    const gc = collector();
    const native = loadNative({ address: "gc", path: nativePath });
    let endpoint = native.open();
    if (typeof endpoint === "number") throw new Error(`open: ${endpoint}`);
    native.listen(endpoint, cid, 0xffff_ffff, 1);
    const name = native.localName(endpoint);
    const called = watched(native, endpoint);
    endpoint = 0;
    for (let i = 0; i < 10; i++) {
      gc();
      await new Promise(setImmediate);
    }
    if (typeof name === "number") throw new Error(`name: ${name}`);
    const socket = await transport.connect({ kind: "vsock", cid, port: name[1] });
    native.close(await called);
    socket.destroy();
  },

  "endpoints that nobody closes are collected": async ({ nativePath }) => {
    const gc = collector();
    const native = loadNative({ address: "gc", path: nativePath });
    const before = await descriptors();
    for (let i = 0; i < 200; i++) native.open();
    for (let i = 0; i < 20 && (await descriptors()) > before; i++) gc();
    equal("descriptors", await descriptors(), before);
  },

  "the binding refuses what is no endpoint": async ({ nativePath, cid }) => {
    const native = loadNative({ address: "types", path: nativePath });
    const calls = Object.entries(native) as [string, (...args: unknown[]) => unknown][];
    for (const [name, call] of calls.filter(([key]) => key !== "open" && key !== "localCid")) {
      for (const wrong of [undefined, null, 1, "x", {}, [], native, () => {}]) {
        let thrown: unknown;
        try {
          call(wrong, wrong, wrong, wrong);
        } catch (error) {
          thrown = error;
        }
        equal(`${name}(${typeof wrong}) throws`, thrown instanceof TypeError, true);
      }
    }
    const endpoint = native.open();
    if (typeof endpoint === "number") throw new Error(`open: ${endpoint}`);
    native.close(endpoint);
    native.close(endpoint);
    native.unwatch(endpoint);
    const closedOnes = [
      native.listen(endpoint, cid, 1, 1),
      native.connect(endpoint, cid, 1, 1),
      native.accept(endpoint),
      native.localName(endpoint),
      native.watch(endpoint, true, () => {}),
      native.adopt(endpoint, () => {}),
    ];
    equal("EBADF after close", new Set(closedOnes).size === 1 && closedOnes[0] === -9, true);
  },

  "an exception in a connection's handler is uncaught, and the listener goes on": async ({ transport, cid }) => {
    const thrown = new Promise<unknown>((resolve) => process.once("uncaughtException", resolve));
    let count = 0;
    const listener = await transport.listen(anyPort(cid), (socket) => {
      if (++count === 1) throw new Error("of the handler");
      socket.end("served");
    });
    const first = await transport.connect(listener.address);
    equal("uncaught", String(await thrown), "Error: of the handler");
    first.destroy();
    equal("second", (await drain(await transport.connect(listener.address))).bytes, 6);
    await listener.close();
  },
};

/** In a function of its own: what it is made from must not hold the endpoint. */
function answerWith(resolve: (endpoint: NativeEndpoint) => void): () => void {
  return function ready(this: unknown) {
    resolve(this as NativeEndpoint);
  };
}

/** Resolves with the endpoint when it is ready; until then nothing but the binding holds it. */
function watched(native: NativeBinding, endpoint: NativeEndpoint): Promise<NativeEndpoint> {
  return new Promise((resolve) => {
    native.watch(endpoint, false, answerWith(resolve));
  });
}

function collector(): () => void {
  const { gc } = globalThis as { gc?: () => void };
  if (!gc) throw new Error("run with --expose-gc");
  return gc;
}

/** Opens everything there is, then ends as it is told. */
export async function beBusy(ground: Ground, way: string, ready: () => void): Promise<void> {
  const { near, far } = await pair(ground);
  void send(near, 64 * MIB).catch(() => {});
  void send(far, 64 * MIB).catch(() => {});
  await ground.transport.listen(anyPort(ground.cid), () => {});
  const { address } = await ground.transport.listen(anyPort(ground.cid), () => {
    ready();
    if (way === "exit") process.exit(0);
    if (way === "throw") throw new Error("on purpose");
  });
  void ground.transport.connect(address).catch(() => {});
}
