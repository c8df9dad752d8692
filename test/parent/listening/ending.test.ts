/** What ends a connection ends both of its sides, also where one of them has said its last. */
import type { Duplex } from "node:stream";
import { describe, expect, test } from "vitest";
import { tunnel } from "../../../parent/listening/tunnel.ts";
import { openCapture } from "../../../parent/observability/capture.ts";
import { limitEvents } from "../../../parent/observability/limit-events.ts";
import type { ParentEvent } from "../../../parent/observability/observe.ts";
import { parseHead } from "../../../shared/transport/http-head.ts";
import { createMemoryPair } from "../../../transport/memory.ts";
import { collect } from "../../transport/streams.ts";
import { proxy, turns, until, upstream } from "../fixture.ts";

describe("the end of a connection", () => {
  test("closing the service ends a tunnel whose near side has said its last, and whose far side has not", async () => {
    const far: Duplex[] = [];
    const port = await upstream((socket) => void far.push(socket.resume()));
    const hosts = { "echo.test:443": `127.0.0.1:${port}` };
    const { service, events, through } = await proxy({ allowlist: ["echo.test:443"], hosts });
    const near = await through("echo.test", 443);
    near.end("question");
    await until(() => far[0]?.readableEnded === true);
    await service.close();
    expect([service.stats().open, events.at(-1)?.event]).toEqual([0, "closed"]);
    far[0]?.destroy();
  });

  test("R27: a signal ends both sides, though one is gone and the other neither reads nor ends", async () => {
    const [[near, nearFar], [far, farNear]] = [createMemoryPair(), createMemoryPair()];
    // Its reader's buffer is full, its own is not: what the tunnel writes there waits, and does not stop the near side.
    farNear.write(Buffer.alloc(8_192));
    await turns(2);
    farNear.write(Buffer.alloc(9_000));
    const ending = new AbortController();
    const ended = tunnel(nearFar, farNear, { connectionId: "x", idleTimeoutMs: 600_000, signal: ending.signal });
    far.end("answer");
    near.end(Buffer.alloc(1_000));
    await collect(near);
    await until(() => nearFar.closed);
    await turns(20);
    expect(farNear.destroyed).toBe(false);
    ending.abort();
    await ended;
    expect(farNear.destroyed).toBe(true);
  });

  test("a tunnel that was ended before it began does not begin", async () => {
    const [[, near], [, far]] = [createMemoryPair(), createMemoryPair()];
    await tunnel(near, far, { connectionId: "x", idleTimeoutMs: 600_000, signal: AbortSignal.abort() });
    expect([near.destroyed, far.destroyed]).toEqual([true, true]);
  });
});

describe("what a peer can make the parent do", () => {
  test("a head of spaces costs no more than one of letters", () => {
    const head = (fill: string): Uint8Array => Buffer.from(`GET / HTTP/1.1\r\na:${fill.repeat(8_000)}\x7f\r\n\r\n`);
    const timeOf = (bytes: Uint8Array): number => {
      const start = performance.now();
      for (let i = 0; i < 20; i++) expect(() => parseHead(bytes)).toThrow();
      return performance.now() - start;
    };
    timeOf(head("x"));
    // In the same run; where each division of the spaces is tried the ratio is in the thousands.
    expect(timeOf(head(" ")) / timeOf(head("x"))).toBeLessThan(50);
  });

  test("spaces around a value are no part of it", () => {
    const { fields } = parseHead(Buffer.from("GET / HTTP/1.1\r\nA: \t b c \t\r\n\r\n"));
    expect(fields).toEqual([["a", "b c"]]);
  });

  test("its events pass at a bounded rate, the rest is counted; those of the service always pass", () => {
    const told: ParentEvent[] = [];
    let now = 0;
    const note = limitEvents((event) => void told.push(event), {
      limit: { burst: 3, perSecond: 1 },
      monotonicMs: () => now,
    });
    const refused: ParentEvent = { service: "egress", event: "refused", connectionId: "egress-1" };
    for (let i = 0; i < 10; i++) note(refused);
    expect(told).toHaveLength(3);
    note({ service: "egress", event: "paused" });
    expect(told.slice(3)).toEqual([
      { service: "parent", event: "events-left-out", count: 7 },
      { service: "egress", event: "paused" },
    ]);
    now = 1_000;
    note(refused);
    expect(told).toHaveLength(6);
  });

  test("a capture that can not be written ends itself, not the parent", () => {
    using capture = openCapture("/dev/full");
    capture.tap("egress-1", "from-enclave", Buffer.from("bytes"));
    capture.tap("egress-1", "from-enclave", Buffer.from("bytes"));
    expect([capture.failure(), capture.bytes()]).toEqual(["ENOSPC", 0]);
  });
});
