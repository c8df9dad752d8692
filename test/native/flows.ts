/** How bytes and connections flow; on any kernel with a vsock that leads back to this machine, and under the shim. */
import { once } from "node:events";
import type { Socket } from "node:net";
import { TLSSocket, connect as tlsConnect } from "node:tls";
import { createVsockTransport } from "../../transport/vsock.ts";
import { makeCa } from "../parent/pki.ts";
import { anyPort, closed, descriptors, drain, equal, MIB, outcome, pair, type Scenario, send } from "./streams.ts";

export const FLOWS: Readonly<Record<string, Scenario>> = {
  "echo of 64 MiB with half-close": async (ground) => {
    const { near, far, listener } = await pair(ground);
    far.pipe(far);
    const [sent, got] = await Promise.all([
      send(near, (64 * MIB) / ground.scale).finally(() => near.end()),
      drain(near),
    ]);
    equal("echo", got, sent);
    await Promise.all([closed(near), closed(far), listener.close()]);
  },

  "A20, V09: both sides flood 64 MiB before they read": async (ground) => {
    const { near, far, listener } = await pair(ground);
    const sending = [
      send(near, (64 * MIB) / ground.scale, 1).finally(() => near.end()),
      send(far, (64 * MIB) / ground.scale, 2).finally(() => far.end()),
    ];
    // Nobody reads until both have been told to stop.
    while (!near.writableNeedDrain || !far.writableNeedDrain) await new Promise(setImmediate);
    const [atNear, atFar] = await Promise.all([drain(near), drain(far)]);
    equal("both", [atFar, atNear], await Promise.all(sending));
    await listener.close();
  },

  "V06: an answer of 100 MiB after the client's end arrives whole": async (ground) => {
    const { near, far, listener } = await pair(ground);
    near.end("question");
    equal("question", (await drain(far)).bytes, 8);
    const [sent, got] = await Promise.all([
      send(far, (100 * MIB) / ground.scale).finally(() => far.end()),
      drain(near),
    ]);
    equal("answer", got, sent);
    await listener.close();
  },

  "V08: a writer is held by a peer that does not read": async (ground) => {
    const { near, far, listener } = await pair(ground);
    let accepted = 0;
    while (near.write(Buffer.alloc(65_536))) await new Promise(setImmediate);
    for (let i = 0; i < 1_000; i++) await new Promise(setImmediate);
    accepted = near.bytesWritten;
    equal("held below 8 MiB", near.writableNeedDrain && accepted < 8 * MIB, true);
    near.destroy();
    far.destroy();
    await listener.close();
  },

  "V18: 5,000 connect-and-abort loops leave the descriptor count": async ({ transport, cid, scale }) => {
    const listener = await transport.listen(anyPort(cid), (socket) => socket.resume().on("end", () => socket.end()));
    (await transport.connect(listener.address)).destroy();
    const before = await descriptors();
    for (let i = 0; i < 5_000 / scale; i++) {
      const controller = new AbortController();
      const attempt = transport.connect(listener.address, { signal: controller.signal });
      // At once, in the next turn, or when it may stand already.
      if (i % 3 === 1) await new Promise(setImmediate);
      if (i % 3 === 2) await attempt.then((socket) => socket.destroy());
      controller.abort();
      await attempt.then(
        (socket) => socket.destroy(),
        () => {},
      );
    }
    for (let i = 0; i < 100 && (await descriptors()) > before; i++) await new Promise((go) => setTimeout(go, 20));
    equal("descriptors", await descriptors(), before);
    await listener.close();
  },

  "closing a listener resets what it has not accepted": async ({ transport, cid }) => {
    const before = await descriptors();
    const listener = await transport.listen(anyPort(cid), () => {});
    const attempts = Array.from({ length: 64 }, () => outcome(transport.connect(listener.address)));
    await listener.close();
    for (const ended of await Promise.all(attempts)) {
      equal("ended", /^(accepted|ERR_TRANSPORT_UNREACHABLE (ECONNRESET|ENOTCONN|ETIMEDOUT))$/.test(ended), true);
    }
    equal("gone", (await outcome(transport.connect(listener.address))).startsWith("ERR_TRANSPORT_UNREACHABLE"), true);
    equal("descriptors of ours", (await descriptors()) - before <= 64, true);
  },

  "V05: a vanished peer is seen, and is no uncaught exception": async (ground) => {
    const { near, far, listener } = await pair(ground);
    near.write("unread");
    await once(far, "readable");
    near.destroy();
    far.resume();
    far.write("to nobody");
    for (let i = 0; i < 100; i++) await new Promise(setImmediate);
    far.write("to nobody");
    far.end();
    await closed(far);
    await listener.close();
  },

  "what arrives is taken up before anyone reads": async (ground) => {
    const { near, far, listener } = await pair(ground);
    far.write("x");
    near.write("y");
    while (near.bytesRead === 0 || far.bytesRead === 0) await new Promise(setImmediate);
    near.destroy();
    far.destroy();
    await listener.close();
  },

  "an idle socket times out": async (ground) => {
    const { near, far, listener } = await pair(ground);
    near.setTimeout(20);
    await once(near, "timeout");
    near.destroy();
    far.destroy();
    await listener.close();
  },

  "V14: a listener takes the peers it names and resets others": async ({ nativePath, cid }) => {
    const strict = createVsockTransport({ nativePath, allowedCids: [cid + 40] });
    const listener = await strict.listen(anyPort(cid), () => {
      throw new Error("accepted a peer that is not allowed");
    });
    const before = await descriptors();
    for (let i = 0; i < 5; i++) {
      const socket = await strict.connect(listener.address);
      const got = await drain(socket).catch(() => ({ bytes: 0 }));
      equal("bytes", got.bytes, 0);
      socket.destroy();
    }
    for (let i = 0; i < 50 && (await descriptors()) > before; i++) await new Promise((go) => setTimeout(go, 20));
    // One that libuv keeps in reserve since the first socket.
    equal("descriptors", (await descriptors()) <= before + 1, true);
    const open = createVsockTransport({ nativePath, allowedCids: [cid] });
    const callers: unknown[] = [];
    const second = await open.listen(anyPort(cid), (accepted, caller) => {
      callers.push(caller);
      accepted.end("hello");
    });
    equal("allowed", (await drain(await open.connect(second.address))).bytes, 5);
    equal("who called", callers, [{ cid }]);
    await Promise.all([listener.close(), second.close()]);
  },

  "tls over a vsock, handed over as a socket": async ({ transport, cid }) => {
    const ca = await makeCa("test");
    const identity = await ca.issue("vsock.test");
    const listener = await transport.listen(anyPort(cid), (socket) => {
      const secure = new TLSSocket(socket as Socket, { isServer: true, ...identity });
      secure.on("error", () => {});
      secure.pipe(secure);
    });
    const socket = (await transport.connect(listener.address)) as Socket;
    const secure = tlsConnect({ socket, ca: ca.root, servername: "vsock.test" });
    await once(secure, "secureConnect");
    equal("authorized", secure.authorized, true);
    const [sent, got] = await Promise.all([send(secure, 8 * MIB).finally(() => secure.end()), drain(secure)]);
    equal("echo", got, sent);
    await listener.close();
  },
};
