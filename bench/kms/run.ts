/**
 * What attesting costs the client: a Decrypt through the plugin, without the server's time, beside one RSA-2048 private
 * operation; and a burst against a quota.
 *
 *   node dist/bench/kms/run.js [calls]
 *
 * The calls are made one after the other over a kept connection, keys and documents warm, each followed by the operation
 * alone and by the same SDK's call in clear, so that a busy machine slows all three alike. Client and server share the
 * machine; the server says how long it took.
 *
 * @module
 */
import { type ChildProcess, spawn } from "node:child_process";
import { constants, generateKeyPairSync, privateDecrypt, publicEncrypt } from "node:crypto";
import { once } from "node:events";
import { Agent } from "node:https";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { KMS, type KMSClientConfig } from "@aws-sdk/client-kms";
import { NodeHttpHandler } from "@smithy/node-http-handler";
import { attested } from "../../enclave/kms/attested.ts";
import { createRecipientKeys } from "../../enclave/kms/recipient-keys.ts";
import { createMockNsm } from "../../mock/nsm/index.ts";
import { machine, watchOthers } from "../machine.ts";
import { BURST_PER_SECOND, type EmulatorCount, type EmulatorReady, SERVER_TIME } from "./names.ts";

const CALLS = Number(process.argv[2] ?? 1_000);
const WARM_UP = 50;
const BURST = 1_000;
/** One RSA-2048 private operation plus so much is what the issue grants. */
const ALLOWED_MS = 2;
const REGION = "us-east-1";
const KEY = "arn:aws:kms:us-east-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab";

interface Server {
  readonly child: ChildProcess;
  readonly lines: AsyncIterator<string>;
}

function start(script: string, ...args: string[]): Server {
  const path = fileURLToPath(new URL(script, import.meta.url));
  const child = spawn(process.execPath, [path, ...args], { stdio: ["pipe", "pipe", "inherit"] });
  return { child, lines: createInterface({ input: child.stdout })[Symbol.asyncIterator]() };
}

async function said<Line>({ lines }: Server): Promise<Line> {
  const { value } = await lines.next();
  return JSON.parse(String(value)) as Line;
}

function clientOf(ca: string, more: Pick<KMSClientConfig, "credentials" | "endpoint">): KMS {
  const httpsAgent = new Agent({ ca, keepAlive: true });
  return new KMS({ region: REGION, requestHandler: new NodeHttpHandler({ httpsAgent }), ...more });
}

/** Of milliseconds: at a share of the sorted values. */
function at(values: readonly number[], share: number): number {
  return values.toSorted((a, b) => a - b)[Math.floor(share * (values.length - 1))] ?? Number.NaN;
}

function shown(taken: readonly Taken[]): string {
  const [walls, works] = [taken.map(({ wall }) => wall), taken.map(({ work }) => work)];
  return [at(walls, 0.5), at(walls, 0.99), at(works, 0.5)].map((ms) => ms.toFixed(2)).join(" | ");
}

/** Of one call, in milliseconds: how long it took without the server's time, and this process's work for it. */
interface Taken {
  readonly wall: number;
  readonly work: number;
}

async function take(call: () => unknown): Promise<Taken> {
  const [cpu, before] = [process.cpuUsage(), performance.now()];
  await call();
  const wall = performance.now() - before;
  const { user, system } = process.cpuUsage(cpu);
  return { wall, work: (user + system) / 1000 };
}

function timed(kms: KMS): () => Promise<Taken> {
  let serverMs = 0;
  kms.middlewareStack.add(
    (next) => async (args) => {
      const result = await next(args);
      const { headers } = result.response as { headers: Record<string, string> };
      serverMs = Number(headers[SERVER_TIME]) / 1000;
      return result;
    },
    { step: "deserialize", name: "serverTime", priority: "low" },
  );
  const CiphertextBlob = new Uint8Array(150).fill(1);
  return async () => {
    const { wall, work } = await take(async () => {
      const { Plaintext } = await kms.decrypt({ KeyId: KEY, CiphertextBlob });
      if (Plaintext?.length !== 32) throw new Error("not the plaintext");
    });
    return { wall: wall - serverMs, work };
  };
}

function privateOperation(): () => Promise<Taken> {
  const { privateKey, publicKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
  const oaep = { padding: constants.RSA_PKCS1_OAEP_PADDING, oaepHash: "sha256" };
  const encrypted = publicEncrypt({ key: publicKey, ...oaep }, new Uint8Array(32));
  return () => take(() => privateDecrypt({ key: privateKey, ...oaep }, encrypted));
}

const { device, rootCertificate } = await createMockNsm({
  measurements: {
    pcr0: new Uint8Array(48).fill(1),
    pcr1: new Uint8Array(48).fill(2),
    pcr2: new Uint8Array(48).fill(3),
  },
});

async function latency(): Promise<void> {
  const server = start("./server.js");
  const { port, caCertificatePem } = await said<{ port: number; caCertificatePem: string }>(server);
  const common = { endpoint: `https://127.0.0.1:${port}`, credentials: { accessKeyId: "A", secretAccessKey: "s" } };
  const [ours, plain] = [clientOf(caCertificatePem, common), clientOf(caCertificatePem, common)];
  const keys = createRecipientKeys();
  await keys.ready();
  ours.middlewareStack.use(attested({ nsm: device, keys }));
  const [attestedMs, plainMs, rsaMs] = [timed(ours), timed(plain), privateOperation()];
  const rows: Record<"attested" | "plain" | "rsa", Taken[]> = { attested: [], plain: [], rsa: [] };
  const others = watchOthers(server.child.pid === undefined ? [] : [server.child.pid]);
  for (let i = 0; i < CALLS + WARM_UP; i++) {
    const [a, r, p] = [await attestedMs(), await rsaMs(), await plainMs()];
    if (i < WARM_UP) continue;
    rows.attested.push(a);
    rows.rsa.push(r);
    rows.plain.push(p);
  }
  const busy = (100 * others()).toFixed(0);
  const median = (taken: readonly Taken[]): number =>
    at(
      taken.map(({ wall }) => wall),
      0.5,
    );
  const [allowed, added] = [median(rows.rsa) + ALLOWED_MS, median(rows.attested)];
  process.stdout.write(`${machine()}; others took ${busy} % of the cores; ${CALLS} calls, one at a time\n\n`);
  process.stdout.write("| ms | p50 | p99 | work of this process, p50 |\n|---|---|---|---|\n");
  process.stdout.write(`| one RSA-2048 private operation | ${shown(rows.rsa)} |\n`);
  process.stdout.write(`| the SDK's Decrypt in clear, without the server's time | ${shown(rows.plain)} |\n`);
  process.stdout.write(`| attested Decrypt, without the server's time | ${shown(rows.attested)} |\n\n`);
  process.stdout.write(`asked: p50 at most ${allowed.toFixed(2)} ms; ${added <= allowed ? "held" : "missed"}\n`);
  server.child.kill();
}

async function burst(): Promise<void> {
  const server = start("./emulator.js", Buffer.from(rootCertificate).toString("base64"));
  const { url, caCertificatePem, credentials, keyArn, blob } = await said<EmulatorReady>(server);
  const kms = clientOf(caCertificatePem, { endpoint: url, credentials });
  const keys = createRecipientKeys();
  await keys.ready();
  kms.middlewareStack.use(attested({ nsm: device, keys, deadlineMs: 120_000 }));
  const before = performance.now();
  const CiphertextBlob = Uint8Array.from(Buffer.from(blob, "base64"));
  await Promise.all(Array.from({ length: BURST }, () => kms.decrypt({ KeyId: keyArn, CiphertextBlob })));
  const seconds = (performance.now() - before) / 1000;
  server.child.stdin?.end();
  const { accepted, throttled } = await said<EmulatorCount>(server);
  const [allowedS, allowedCalls] = [BURST / BURST_PER_SECOND + 3, 1.3 * BURST];
  const isHeld = accepted === BURST && accepted + throttled <= allowedCalls && seconds <= allowedS;
  process.stdout.write(
    `\n${BURST} calls at once against ${BURST_PER_SECOND} a second: answered in ${seconds.toFixed(1)} s`,
  );
  process.stdout.write(` (${allowedS} asked), ${accepted} accepted and ${throttled} throttled by the audit trail`);
  process.stdout.write(` (${allowedCalls} asked): ${isHeld ? "held" : "missed"}\n`);
  if (server.child.exitCode === null) await once(server.child, "exit");
}

await latency();
await burst();
process.exit(0);
