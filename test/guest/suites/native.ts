import { test } from "vitest";
import { createVsockTransport } from "../../../transport/vsock.ts";
import { SCENARIOS } from "../../native/scenarios.ts";
import { LOOPBACK_CID, nativePath } from "../machine.ts";

const ground = {
  nativePath: nativePath.nativePath ?? "",
  cid: LOOPBACK_CID,
  scale: 1,
  transport: createVsockTransport({ allowedCids: "any", ...nativePath }),
};

/** A scenario may raise an exception on purpose; another ends the process, and with it the test. */
async function withOwnExceptions(run: () => Promise<void>): Promise<void> {
  const before = process.listeners("uncaughtException");
  process.removeAllListeners("uncaughtException");
  try {
    await run();
  } finally {
    for (const listener of before) process.on("uncaughtException", listener);
  }
}

for (const [name, scenario] of Object.entries(SCENARIOS)) {
  test(`native: ${name}`, () => withOwnExceptions(() => scenario(ground)), 60_000);
}
