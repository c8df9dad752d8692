/** The part of the compliance suite that counts descriptors. */
import { readdirSync } from "node:fs";
import type { Duplex } from "node:stream";
import { expect, test } from "vitest";
import type { Listener, Transport } from "../../shared/transport/transport.ts";

/** A leak shows in a thousand as in five; under software emulation a connection takes 20 ms. */
const CONNECTIONS = Number(process.env["CONNECTIONS"] ?? 5_000);

async function openDescriptors(): Promise<number> {
  for (let i = 0; i < 20; i++) await new Promise(setImmediate);
  return readdirSync("/proc/self/fd").length;
}

export function declareDescriptorTests(
  transport: () => Transport,
  listen: (onConnection: (socket: Duplex) => void) => Promise<Listener>,
): void {
  test.each([
    ["given up at once", true],
    ["destroyed as they stand", false],
  ])(
    `V18: ${CONNECTIONS} connections that are %s leave no descriptor open`,
    async (_, early) => {
      const listener = await listen((socket) => socket.resume().on("end", () => socket.end()));
      const before = await openDescriptors();
      for (let i = 0; i < CONNECTIONS; i++) {
        const controller = new AbortController();
        const attempt = transport().connect(listener.address, { signal: controller.signal });
        if (early) controller.abort();
        await attempt.then(
          (socket) => socket.destroy(),
          () => {},
        );
      }
      // Those that were accepted close a little later.
      for (let turn = 0; turn < 200 && (await openDescriptors()) > before; turn++);
      expect(await openDescriptors()).toBeLessThanOrEqual(before);
    },
    60_000,
  );
}
