import { once } from "node:events";
import type { Duplex } from "node:stream";
import { describe, expect, test, vi } from "vitest";
import { connectThroughParent } from "../../../enclave/egress/connect.ts";
import { addressOf, type Peer } from "../../../shared/transport/address.ts";
import { EGRESS_PORT } from "../../../shared/transport/ports.ts";
import { codeOf } from "../../transport/streams.ts";
import { cleanups, freshPeer, transport } from "../fixture.ts";

describe("the enclave's side of CONNECT does not trust the parent", () => {
  async function answers(text: string): Promise<string> {
    const parent = freshPeer();
    const listener = await transport.listen(addressOf(parent, EGRESS_PORT), (socket) => {
      socket.once("data", () => socket.end(text));
    });
    cleanups.push(() => listener.close());
    return codeOf(connectThroughParent({ transport, parent, host: "echo.test", port: 443 }).then((s) => s.destroy()));
  }

  test.each<[string, string, string]>([
    ["200", "HTTP/1.1 200 OK\r\n\r\n", "accepted"],
    ["403", "HTTP/1.1 403 Forbidden\r\n\r\n", "ERR_TRANSPORT_HOST_NOT_ALLOWED"],
    ["502", "HTTP/1.1 502 Bad Gateway\r\nX: y\r\n\r\n", "ERR_TRANSPORT_PROXY_REFUSED"],
    ["301", "HTTP/1.1 301 Moved\r\nLocation: http://evil.test/\r\n\r\n", "ERR_TRANSPORT_PROXY_REFUSED"],
    ["100", "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\r\n", "ERR_TRANSPORT_PROXY_REFUSED"],
    ["status 2000", "HTTP/1.1 2000 OK\r\n\r\n", "ERR_TRANSPORT_PROXY_INVALID"],
    ["HTTP/1.0", "HTTP/1.0 200 OK\r\n\r\n", "ERR_TRANSPORT_PROXY_INVALID"],
    ["another protocol", "SSH-2.0-x\r\n\r\n", "ERR_TRANSPORT_PROXY_INVALID"],
    ["control characters", "HTTP/1.1 200 \u0007\r\n\r\n", "ERR_TRANSPORT_PROXY_INVALID"],
    ["a line that is no header", "HTTP/1.1 200 OK\r\nnonsense\r\n\r\n", "ERR_TRANSPORT_PROXY_INVALID"],
    ["8 KiB without an end", `HTTP/1.1 200 OK\r\nX: ${"y".repeat(9_000)}`, "ERR_TRANSPORT_PROXY_INVALID"],
    ["the end in the middle", "HTTP/1.1 200 OK\r\n", "ERR_TRANSPORT_CLOSED"],
    ["nothing", "", "ERR_TRANSPORT_CLOSED"],
  ])("%s", async (_, text, code) => {
    expect(await answers(text)).toBe(code);
  });

  test.each(["echo.test\r\nX: y", "a b", "[::1]", "", "host:1"])("a host %j is not sent", async (host) => {
    const parent: Peer = { kind: "unix", folder: "/nonexistent" };
    const attempt = connectThroughParent({ transport, parent, host, port: 443 });
    expect(await codeOf(attempt)).toBe("ERR_TRANSPORT_ADDRESS_INVALID");
  });

  test("no answer in time, and an aborted signal", async () => {
    const parent = freshPeer();
    const accepted: Duplex[] = [];
    const listener = await transport.listen(addressOf(parent, EGRESS_PORT), (socket) => void accepted.push(socket));
    cleanups.push(() => listener.close());
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    const target = { transport, parent, host: "echo.test", port: 443 };
    const late = codeOf(connectThroughParent({ ...target, timeoutMs: 700 }));
    while (accepted.length < 1) await new Promise(setImmediate);
    await once(accepted[0] as Duplex, "data");
    vi.advanceTimersByTime(700);
    expect(await late).toBe("ERR_TRANSPORT_TIMEOUT");
    const controller = new AbortController();
    const aborted = connectThroughParent({ ...target, signal: controller.signal });
    while (accepted.length < 2) await new Promise(setImmediate);
    await once(accepted[1] as Duplex, "data");
    controller.abort(new Error("enough"));
    await expect(aborted).rejects.toThrow("enough");
  });
});
