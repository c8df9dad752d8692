/**
 * The tap sees every byte that the proxy read, whether or not it became a request: a search of it must not be blind.
 */
import { describe, expect, test } from "vitest";
import { proxy } from "../fixture.ts";

const CANARY = "canary-in-a-head";

async function seenOf(text: string): Promise<string> {
  const seen: Buffer[] = [];
  const { raw } = await proxy({
    allowlist: [],
    tap: (_, direction, bytes) => void (direction === "from-enclave" && seen.push(Buffer.from(bytes))),
    limits: { headTimeoutMs: 100 },
  });
  await raw(text);
  return Buffer.concat(seen).toString();
}

describe("the tap of the egress proxy", () => {
  test.each([
    ["a head that never ends", `CONNECT ${CANARY}`],
    ["a head of more than 8 KiB", `CONNECT ${"x".repeat(9_000)}${CANARY}`],
    ["a head that is malformed", `GET / ${CANARY}\r\n\r\n`],
    ["a head that is refused", `CONNECT ${CANARY}:443 HTTP/1.1\r\nHost: ${CANARY}:443\r\n\r\n`],
  ])("sees %s", async (_, text) => {
    expect(await seenOf(text)).toContain(CANARY);
  });
});
