/**
 * Holds the proxy to its figures Q1 to Q14 and compares it with no proxy, HAProxy and socat, where those are installed.
 *
 *   node dist/bench/proxy/run.js [full] [Q3 Q4 …]        `full`: at the sizes and for the times that the figures name
 *
 * Between a Unix socket and TCP on loopback; client, server and proxy share the machine's cores. Q12 is `make soak`.
 *
 * @module
 */
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { machine } from "../machine.ts";
import { endAll, startHaproxy, startOurs, startProgram, startSocat } from "./contestants.ts";
import { descriptorExhaustion, drain, enclaveRestart, floods, nameOutage, reload, upstreamDeath } from "./faults.ts";
import { churn, halfClose, holdConnections, latency, stalledReaders, throughput } from "./figures.ts";
import type { Bed, Row, Scale } from "./row.ts";

const FULL: Scale = {
  ...{ idle: 5_000, active: 1_000, holdSeconds: 600, churnSeconds: 60, pings: 20_000, uploadMiB: 512 },
  ...{ stalled: 1_000, stallSeconds: 300, outageSeconds: 60 },
};
const SHORT: Scale = {
  ...{ idle: 2_000, active: 500, holdSeconds: 20, churnSeconds: 8, pings: 4_000, uploadMiB: 256 },
  ...{ stalled: 1_000, stallSeconds: 20, outageSeconds: 10 },
};
const ROWS: readonly Row[] = [
  { id: "Q1", run: holdConnections },
  { id: "Q2", run: churn },
  { id: "Q3", run: latency },
  { id: "Q4", run: throughput },
  { id: "Q5", run: stalledReaders },
  { id: "Q6", run: upstreamDeath },
  { id: "Q7", run: nameOutage },
  { id: "Q8", run: enclaveRestart },
  { id: "Q9", run: drain },
  { id: "Q10", run: reload },
  { id: "Q11", run: descriptorExhaustion },
  { id: "Q13", run: halfClose },
  { id: "Q14", run: floods },
];

async function makeBed(folder: string, scale: Scale): Promise<Bed> {
  for (const name of ["refused", "drained", "poor", "names"]) mkdirSync(join(folder, name));
  const program = await startProgram("./upstream.js");
  const port = Number(program.ready["port"]);
  const ours = await startOurs(folder, port);
  const peers = [await startHaproxy(folder, port), await startSocat(folder, port)].flatMap((peer) => peer ?? []);
  return { folder, upstream: { ...program, port }, ours, direct: { name: "direct", door: { port } }, peers, scale };
}

const [isFull, wanted] = [process.argv.includes("full"), process.argv.filter((word) => /^Q\d+$/.test(word))];
const folder = mkdtempSync(join(tmpdir(), "cloister-proxy-"));
let failed = 0;
try {
  console.log(`${machine()}${isFull ? "" : "; shortened"}\n`);
  const bed = await makeBed(folder, isFull ? FULL : SHORT);
  console.log("| | held | figures (what is asked) |\n|---|---|---|");
  for (const { id, run } of ROWS.filter(({ id }) => wanted.length === 0 || wanted.includes(id))) {
    const { passed, figure } = await run(bed).catch((error: unknown) => ({ passed: false, figure: String(error) }));
    if (!passed) failed++;
    console.log(`| ${id} | ${passed ? "yes" : "**no**"} | ${figure} |`);
  }
  console.log("\nvsock-proxy is not among the peers: it needs AF_VSOCK, which is used in the emulated enclave only.");
} finally {
  endAll();
  rmSync(folder, { recursive: true, force: true });
}
process.exitCode = failed === 0 ? 0 : 1;
