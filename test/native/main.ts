/**
 * Runs scenarios and prints one JSON line for each. Bundled, it needs no test runner: on a kernel whose vsock leads
 * back to the machine, `node --expose-gc scenarios.mjs --native linux-x64.node --cid 1`.
 */
import { parseArgs } from "node:util";
import { isMainThread, parentPort, workerData } from "node:worker_threads";
import { createVsockTransport } from "../../transport/vsock.ts";
import { FAULTS } from "./faults.ts";
import { NSM_SCENARIOS } from "./nsm.ts";
import { beBusy, SCENARIOS } from "./scenarios.ts";

if (isMainThread) await main();
else {
  const { nativePath, cid, way } = workerData as { nativePath: string; cid: number; way: string };
  const ground = { nativePath, cid, scale: 1, transport: createVsockTransport({ allowedCids: "any", nativePath }) };
  await beBusy(ground, way, () => parentPort?.postMessage("busy"));
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      native: { type: "string", default: "" },
      cid: { type: "string", default: "1" },
      scale: { type: "string", default: "1" },
      only: { type: "string" },
      shim: { type: "boolean", default: false },
      list: { type: "boolean", default: false },
      busy: { type: "boolean", default: false },
    },
  });
  const all = { ...SCENARIOS, ...(values.shim && { ...FAULTS, ...NSM_SCENARIOS }) };
  const names = Object.keys(all).filter((name) => values.only === undefined || name === values.only);
  if (values.list) return print(names);
  const nativePath = values.native;
  const transport = createVsockTransport({ allowedCids: "any", nativePath });
  const ground = { nativePath, cid: Number(values.cid), scale: Number(values.scale), transport };
  if (values.busy) return beBusy(ground, "exit", () => print({ scenario: "exit", ok: true }));
  for (const name of names) {
    const start = performance.now();
    const error = await all[name]?.(ground).then(
      () => undefined,
      (cause: unknown) => String(cause),
    );
    print({ scenario: name, ok: error === undefined, ms: Math.round(performance.now() - start), error });
    // What a failed scenario leaves open would keep the process.
    if (error !== undefined) process.exit(1);
  }
}

function print(value: unknown): void {
  process.stdout.write(`${JSON.stringify(value)}\n`);
}
