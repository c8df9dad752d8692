/**
 * `attestedFetch` beside the platform's `fetch` and beside bare `https`, in one run, against one server: `make bench-tls`.
 *
 *   node dist/bench/tls/run.js
 *
 * Warm: one connection, one request after the other, 1 KiB each. Cold: a new connection for each request, with its
 * document made by a software NSM and verified here.
 *
 * @module
 */
import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { Agent, get } from "node:https";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { createAttestedAgent } from "../../client/attested-agent.ts";
import { attestedFetch } from "../../client/attested-fetch.ts";
import { dangerouslyTrustRoot } from "../../shared/attestation/index.ts";
import type { EnclavePolicy } from "../../shared/session/bound-document.ts";
import { machine } from "../machine.ts";
import { absolute, alternate, type Contestant, quietness, ratio, type spread } from "../rounds.ts";

interface Served {
  readonly port: number;
  /** PEM. */
  readonly certificate: string;
  /** Base64 of the mock's root. */
  readonly root: string;
}

const WARM = { perRound: 300, wanted: 20, limitMs: 12_000 };
const COLD = { perRound: 10, wanted: 10, limitMs: 5_000 };
const FETCH = "fetch of the platform, plain https";
const HTTPS = "https.get, plain";
const ATTESTED = "attestedFetch";
const ATTESTED_HTTPS = "https.get, attested agent";
const [, , input] = process.argv;

/** The client is a process of its own too: the platform's `fetch` learns whom to trust at its start only. */
async function runWithServer(): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "bench-tls-"));
  const server = fork(fileURLToPath(new URL("./server.js", import.meta.url)));
  try {
    const [served] = (await once(server, "message")) as [Served];
    const authority = join(folder, "authority.pem");
    writeFileSync(authority, served.certificate);
    const argument = JSON.stringify({ ...served, server: server.pid });
    const client: ChildProcess = fork(fileURLToPath(import.meta.url), [argument], {
      env: { NODE_EXTRA_CA_CERTS: authority },
    });
    await once(client, "exit");
    process.exitCode = client.exitCode ?? 1;
  } finally {
    server.disconnect();
    rmSync(folder, { recursive: true });
  }
}

async function measure({ port, certificate, root, server }: Served & { readonly server: number }): Promise<void> {
  const pcr = (byte: number): Uint8Array => new Uint8Array(48).fill(byte);
  const roots = [dangerouslyTrustRoot(Buffer.from(root, "base64"))] as const;
  const images = [{ 0: pcr(1), 1: pcr(2), 2: pcr(3) }] as const;
  const policy: EnclavePolicy = { kind: "nsm", roots: [roots[0]], images: [images[0]], maxAgeMs: 60_000 };
  const url = `https://127.0.0.1:${port}/`;
  const attested = createAttestedAgent(policy, { maxSockets: 1 });
  const plain = new Agent({ ca: certificate, keepAlive: true, maxSockets: 1 });
  const warm: [string, () => Promise<unknown>][] = [
    [FETCH, async () => (await fetch(url)).text()],
    [HTTPS, () => getText(url, plain)],
    [ATTESTED, async () => (await attestedFetch(url, { agent: attested })).text()],
    [ATTESTED_HTTPS, () => getText(url, attested)],
  ];
  const cold: [string, () => Promise<unknown>][] = [
    [HTTPS, () => onceOnly(new Agent({ ca: certificate }), (agent) => getText(url, agent))],
    [ATTESTED_HTTPS, () => onceOnly(createAttestedAgent(policy), async (agent) => getText(url, agent))],
  ];
  console.log(machine());
  await report("warm connection, 1 KiB", warm, { ...WARM, children: [server], to: FETCH, also: HTTPS });
  await report("new connection each", cold, { ...COLD, children: [server], to: HTTPS });
  process.exit();
}

interface Reporting {
  readonly perRound: number;
  readonly wanted: number;
  readonly limitMs: number;
  readonly children: readonly number[];
  readonly to: string;
  readonly also?: string;
}

async function report(
  title: string,
  calls: readonly [string, () => Promise<unknown>][],
  { perRound, to, also, ...limits }: Reporting,
): Promise<void> {
  const latencies = new Map<string, number[]>(calls.map(([name]) => [name, []]));
  const contestants = calls.map(
    ([name, call]): Contestant => ({ name, run: () => timed(call, perRound, latencies.get(name)) }),
  );
  const outcome = await alternate(contestants, limits);
  const columns = [to, ...(also === undefined ? [] : [also])];
  console.log(`\n| ${title} | µs, median | p99 | ${columns.map((name) => `÷ ${name}`).join(" | ")} |`);
  console.log(`|---|---|---|${"---|".repeat(columns.length)}`);
  for (const [name] of calls) {
    const sorted = (latencies.get(name) ?? []).toSorted((a, b) => a - b);
    const p99 = sorted[Math.floor(sorted.length * 0.99)] ?? Number.NaN;
    const ratios = columns.map((column) => show(ratio(outcome, name, column, "wall")));
    console.log(
      `| ${name} | ${absolute(outcome, name, "wall").median.toFixed(0)} | ${p99.toFixed(0)} | ${ratios.join(" | ")} |`,
    );
  }
  console.log(quietness(outcome));
}

function show({ low, median, high }: ReturnType<typeof spread>): string {
  return `${median.toFixed(2)} (${low.toFixed(2)}–${high.toFixed(2)})`;
}

async function timed(call: () => Promise<unknown>, count: number, into: number[] = []): Promise<number> {
  for (let i = 0; i < count; i++) {
    const before = performance.now();
    await call();
    into.push((performance.now() - before) * 1_000);
  }
  return count;
}

function getText(url: string, agent: Agent): Promise<string> {
  return new Promise((resolve, reject) => {
    const outgoing = get(url, { agent }, (incoming) => {
      let text = "";
      incoming.setEncoding("utf8").on("data", (chunk: string) => (text += chunk));
      incoming.on("end", () => resolve(text)).on("error", reject);
    });
    outgoing.on("error", reject);
  });
}

async function onceOnly<T extends Agent>(agent: T, call: (agent: T) => Promise<unknown>): Promise<void> {
  await call(agent);
  agent.destroy();
}

if (input === undefined) await runWithServer();
else await measure(JSON.parse(input) as Served & { readonly server: number });
