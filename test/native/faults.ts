/** What only the shim can bring about: errors of the system, one call at a time. */
import { loadNative } from "../../transport/native.ts";
import { createVsockTransport } from "../../transport/vsock.ts";
import { anyPort, descriptors, drain, equal, outcome, pair, type Scenario } from "./streams.ts";

/** Has the shim fail a call; `undefined` for no longer. The environment of a Node process is that of its C code. */
function fail(what: string | undefined): void {
  if (what === undefined) delete process.env["VSOCK_SHIM_FAIL"];
  else process.env["VSOCK_SHIM_FAIL"] = what;
}

const TROUBLE = ["EAGAIN", "EMFILE", "ENFILE", "ENOMEM", "ECONNRESET", "ETIMEDOUT"];
const LACKING = ["EAFNOSUPPORT", "EPERM", "ENODEV"];
const TO_CONNECT = ["socket", "setsockopt", "connect", "so_error", "getpeername", "socket-unix", "dup3"];
const TO_LISTEN = ["socket", "bind", "listen", "getsockname"];

export const FAULTS: Readonly<Record<string, Scenario>> = {
  "V16: each error at each call of connect is typed and leaves no descriptor": async ({ transport, cid }) => {
    const listener = await transport.listen(anyPort(cid), (socket) => socket.resume().on("end", () => socket.end()));
    (await transport.connect(listener.address)).destroy();
    const before = await descriptors();
    for (const call of TO_CONNECT) {
      for (const code of TROUBLE) {
        // The accepting side meets some of these as well, and recovers.
        fail(`${call}:${code}`);
        const ended = await outcome(transport.connect(listener.address, { timeoutMs: 5_000 }));
        equal(`${call} ${code}`, ended, `ERR_TRANSPORT_UNREACHABLE ${code}`);
        fail(undefined);
      }
    }
    for (let i = 0; i < 50 && (await descriptors()) > before; i++) await new Promise((go) => setTimeout(go, 20));
    equal("descriptors", await descriptors(), before);
    await listener.close();
  },

  "V16: each error at each call of listen is typed and leaves no descriptor": async ({ transport, cid }) => {
    const before = await descriptors();
    for (const call of TO_LISTEN) {
      for (const code of TROUBLE) {
        fail(`${call}:${code}:1`);
        const ended = await outcome(transport.listen(anyPort(cid), () => {}));
        equal(`${call} ${code}`, ended, `ERR_TRANSPORT_UNREACHABLE ${code}`);
      }
    }
    fail(undefined);
    equal("descriptors", await descriptors(), before);
  },

  "V16: EINTR is tried again": async (ground) => {
    for (const call of ["socket", "bind", "listen", "socket-unix", "connect", "accept4", "dup3"]) {
      fail(`${call}:EINTR:3`);
      const { near, far, listener } = await pair(ground);
      far.end("x");
      equal(call, (await drain(near)).bytes, 1);
      near.destroy();
      fail(undefined);
      await listener.close();
    }
  },

  "V16: a connection that is gone before it is accepted does not hold up the listener": async ({ nativePath, cid }) => {
    const reasons: string[] = [];
    const transport = createVsockTransport({
      allowedCids: "any",
      nativePath,
      onAcceptPaused: (reason) => reasons.push(reason),
    });
    for (const code of ["ECONNABORTED", "ECONNRESET", "ETIMEDOUT", "EAGAIN"]) {
      fail(`accept4:${code}:1`);
      const { near, listener } = await pair({ nativePath, cid, scale: 1, transport });
      fail(undefined);
      near.destroy();
      await listener.close();
    }
    equal("pauses", reasons, []);
  },

  "V17: without descriptors accepting pauses, says so once, and resumes": async ({ nativePath, cid }) => {
    for (const [call, code] of [
      ["accept4", "EMFILE"],
      ["accept4", "ENFILE"],
      ["accept4", "ENOMEM"],
      ["socket-unix", "EMFILE"],
    ]) {
      const reasons: string[] = [];
      const byDriver: string[] = [];
      const transport = createVsockTransport({
        allowedCids: "any",
        nativePath,
        onAcceptPaused: (reason) => byDriver.push(reason),
      });
      let arrived = (): void => {};
      const arrival = new Promise<void>((resolve) => {
        arrived = resolve;
      });
      const listener = await transport.listen(
        anyPort(cid),
        (socket) => {
          arrived();
          socket.destroy();
        },
        {
          onAcceptPaused: (reason) => reasons.push(reason),
          onAcceptResumed: () => reasons.push("resumed"),
        },
      );
      const native = loadNative({ address: "raw", path: nativePath });
      const endpoint = native.open();
      if (typeof endpoint === "number" || listener.address.kind !== "vsock") throw new Error("no endpoint");
      fail(`${call}:${code}:3`);
      native.connect(endpoint, cid, listener.address.port, 1_000);
      const [used, start] = [process.cpuUsage(), performance.now()];
      await arrival;
      const { user, system } = process.cpuUsage(used);
      fail(undefined);
      equal(`${call} reported once`, reasons, [code, "resumed"]);
      equal(`${call} reported by the driver`, byDriver, [code]);
      equal("paused three times", performance.now() - start >= 290, true);
      equal("did not spin", user + system < 200_000, true);
      native.close(endpoint);
      await listener.close();
    }
  },

  "V14: who answers must be who was asked": async ({ transport, cid }) => {
    const listener = await transport.listen(anyPort(cid), (socket) => socket.resume().on("end", () => socket.end()));
    (await transport.connect(listener.address)).destroy();
    const before = await descriptors();
    process.env["VSOCK_SHIM_PEER_CID"] = "99";
    equal("peer", await outcome(transport.connect(listener.address)), "ERR_TRANSPORT_PEER_MISMATCH");
    delete process.env["VSOCK_SHIM_PEER_CID"];
    for (let i = 0; i < 50 && (await descriptors()) > before; i++) await new Promise((go) => setTimeout(go, 20));
    equal("descriptors", await descriptors(), before);
    await listener.close();
  },

  "V20: a host without vsock says so": async ({ transport, cid }) => {
    for (const call of ["socket", "connect", "bind"]) {
      for (const code of LACKING) {
        fail(`${call}:${code}`);
        const attempt =
          call === "bind"
            ? transport.listen(anyPort(cid), () => {})
            : transport.connect({ kind: "vsock", cid, port: 1 });
        equal(`${call} ${code}`, await outcome(attempt), `ERR_TRANSPORT_UNSUPPORTED ${code}`);
      }
    }
    fail(undefined);
  },

  "an attempt under way ends by its signal, and by its timeout, and closes once": async ({ transport, cid }) => {
    const before = await descriptors();
    const { signal, abort } = controller();
    fail("connect:HANG");
    const address = { kind: "vsock", cid, port: 7 } as const;
    const aborted = transport.connect(address, { signal });
    equal("under way", (await descriptors()) > before, true);
    abort();
    equal("aborted", await outcome(aborted), "WANTED");
    equal("timed out", await outcome(transport.connect(address, { timeoutMs: 30 })), "ERR_TRANSPORT_TIMEOUT");
    const many = Array.from({ length: 50 }, () => outcome(transport.connect(address, { timeoutMs: 30 })));
    equal("all timed out", new Set(await Promise.all(many)).size, 1);
    fail(undefined);
    equal("descriptors", await descriptors(), before);
  },
};

function controller(): { readonly signal: AbortSignal; readonly abort: () => void } {
  const made = new AbortController();
  return { signal: made.signal, abort: () => made.abort(Object.assign(new Error("stop"), { code: "WANTED" })) };
}
