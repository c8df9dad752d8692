/** A process with few descriptors: listens, takes them all, says so, and frees them when it is told. */

import { once } from "node:events";
import { closeSync, openSync } from "node:fs";
import { createTransport } from "../../transport/create.ts";

const path = process.argv[2] ?? "";
const transport = createTransport();
const say = (what: object): void => void process.stdout.write(`${JSON.stringify(what)}\n`);

const listener = await transport.listen({ kind: "unix", path }, (socket) => socket.end("served"));
const taken: number[] = [];
try {
  for (;;) taken.push(openSync("/dev/null", "r"));
} catch {
  // EMFILE: that is the point.
}
const refused = await transport.connect({ kind: "unix", path }).catch((error: unknown) => error);
const { code, details } = refused as { code: string; details: { reason: string } };
const before = process.cpuUsage();
const began = performance.now();
say({ step: "full", code, reason: details.reason });
await once(process.stdin, "data");
const { user, system } = process.cpuUsage(before);
const share = (user + system) / 1_000 / (performance.now() - began);
for (const descriptor of taken) closeSync(descriptor);
say({ step: "freed", idle: share < 0.9, share });
await once(process.stdin.resume(), "end");
await listener.close();
