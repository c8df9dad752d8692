/**
 * How fast the mock KMS answers, beside a bare Node HTTPS server that does only the cryptography, and beside moto.
 *
 *   node dist/bench/aws/run.js [path of moto_server [alone]]
 *
 * Each server is a process of its own, asked by the same client over loopback; contestants take turns, ratios are taken
 * within a round. Over HTTPS beside the bare server; over HTTP beside moto, which is asked what it offers.
 *
 * @module
 */
import { type ChildProcess, spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { createServer } from "node:net";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { machine } from "../machine.ts";
import { absolute, alternate, type Contestant, quietness, ratio } from "../rounds.ts";
import { type Ask, ask, type Credentials, load, signedRequest, type Target } from "./load.ts";

const CONNECTIONS = 8;
const ROUNDS = { wanted: 7, limitMs: 40_000 };
const FLAT = 100_000;
const here = (path: string): string => fileURLToPath(new URL(path, import.meta.url));

interface MockReady {
  readonly port: number;
  readonly caCertificatePem: string;
  readonly credentials: Credentials;
  readonly document: string;
  readonly spki: string;
  readonly startMs: number;
  readonly processMs: number;
}

interface Server {
  readonly child: ChildProcess;
  readonly target: Target;
  readonly credentials: Credentials;
  readonly keyId: string;
  readonly blob: string;
}

const children: ChildProcess[] = [];

async function startNode<Ready>(
  script: string,
  { args = [], input }: { args?: string[]; input?: object },
): Promise<{ child: ChildProcess; ready: Ready }> {
  const child = spawn(process.execPath, [here(script), ...args], { stdio: ["pipe", "pipe", "inherit"] });
  children.push(child);
  if (input) child.stdin.write(`${JSON.stringify(input)}\n`);
  for await (const line of createInterface({ input: child.stdout })) return { child, ready: JSON.parse(line) as Ready };
  throw new Error(`${script} ended`);
}

async function prepare(child: ChildProcess, target: Target, credentials: Credentials): Promise<Server> {
  const request = (question: Ask): Buffer => signedRequest(question, target, credentials);
  const { KeyMetadata: made } = await ask(target, request({ operation: "CreateKey", input: {} }));
  const keyId = (made as { Arn: string }).Arn;
  const input = { KeyId: keyId, Plaintext: PLAINTEXT };
  const { CiphertextBlob: blob } = await ask(target, request({ operation: "Encrypt", input }));
  return { child, target, credentials, keyId, blob: String(blob) };
}

const PLAINTEXT = Buffer.alloc(32, 7).toString("base64");

function asksOf({ keyId, blob }: Pick<Server, "keyId" | "blob">, document: string): Readonly<Record<string, Ask>> {
  return {
    Encrypt: { operation: "Encrypt", input: { KeyId: keyId, Plaintext: PLAINTEXT } },
    Decrypt: { operation: "Decrypt", input: { CiphertextBlob: blob } },
    GenerateDataKey: { operation: "GenerateDataKey", input: { KeyId: keyId, KeySpec: "AES_256" } },
    "attested Decrypt": {
      operation: "Decrypt",
      input: {
        CiphertextBlob: blob,
        Recipient: { KeyEncryptionAlgorithm: "RSAES_OAEP_SHA_256", AttestationDocument: document },
      },
    },
  };
}

const PER_ROUND: Readonly<Record<string, number>> = { "attested Decrypt": 200 };

/** A contestant whose round is so many requests; its latencies are gathered beside. */
function contestant(
  name: string,
  server: Pick<Server, "target" | "credentials">,
  question: Ask,
  count: number,
): Contestant & { readonly times: number[] } {
  const times: number[] = [];
  let request = Buffer.alloc(0);
  return {
    name,
    times,
    prepare: async () => {
      request = Buffer.from(signedRequest(question, server.target, server.credentials));
    },
    run: async () => {
      times.push(...(await load(server.target, request, { count, connections: CONNECTIONS })));
      return count;
    },
  };
}

function row(
  name: string,
  outcome: Awaited<ReturnType<typeof alternate>>,
  contestants: readonly (Contestant & { times: number[] })[],
  to: string,
): string {
  const cells = contestants.map(({ name: who, times }) => {
    const perSecond = 1e6 / absolute(outcome, who, "wall").median;
    const sorted = times.toSorted((a, b) => a - b);
    const p99 = (sorted[Math.floor(sorted.length * 0.99)] ?? Number.NaN) / 1000;
    return `${perSecond.toFixed(0)} | ${p99.toFixed(1)}`;
  });
  const [ours] = contestants;
  const against = ratio(outcome, to, ours?.name ?? "", "wall");
  return `| ${name} | ${cells.join(" | ")} | ${against.median.toFixed(2)} (${against.low.toFixed(2)}–${against.high.toFixed(2)}) |`;
}

function residentMiB(child: ChildProcess): number {
  const line = /VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${child.pid}/status`, "utf8"));
  return Number(line?.[1]) / 1024;
}

async function besideBare(): Promise<void> {
  const { child, ready } = await startNode<MockReady>("./mock-server.js", { args: ["tls"] });
  console.log(
    `start: ${ready.startMs.toFixed(0)} ms in its process, ${ready.processMs.toFixed(0)} ms with the process's own preparations\n`,
  );
  const ours = await prepare(child, { port: ready.port, ca: ready.caCertificatePem }, ready.credentials);
  const bare = await startNode<{ port: number; caCertificatePem: string }>("./bare-server.js", {
    input: { document: ready.document, spki: ready.spki },
  });
  const bareTarget = { port: bare.ready.port, ca: bare.ready.caCertificatePem };
  const bareRequest = signedRequest(
    { operation: "Encrypt", input: { Plaintext: PLAINTEXT } },
    bareTarget,
    ready.credentials,
  );
  const { CiphertextBlob: bareBlob } = await ask(bareTarget, bareRequest);
  const bareAsks = asksOf({ keyId: "", blob: String(bareBlob) }, ready.document);
  console.log(
    "| HTTPS | cloister requests/s | p99 ms | bare requests/s | p99 ms | cloister ÷ bare |\n|---|---|---|---|---|---|",
  );
  for (const [name, question] of Object.entries(asksOf(ours, ready.document))) {
    const count = PER_ROUND[name] ?? 1000;
    const contestants = [
      contestant("cloister", ours, question, count),
      contestant("bare", { target: bareTarget, credentials: ready.credentials }, bareAsks[name] ?? question, count),
    ];
    const outcome = await alternate(contestants, { ...ROUNDS, children: children.flatMap(({ pid }) => pid ?? []) });
    console.log(`${row(name, outcome, contestants, "bare")} ${quietness(outcome)}`);
  }
  const decrypt = signedRequest(asksOf(ours, ready.document)["Decrypt"] as Ask, ours.target, ours.credentials);
  const memory: number[] = [];
  for (let part = 0; part < 10; part++) {
    await load(ours.target, decrypt, { count: FLAT / 10, connections: CONNECTIONS });
    memory.push(residentMiB(child));
  }
  console.log(`\nresident MiB after each tenth of ${FLAT} Decrypts: ${memory.map((mib) => mib.toFixed(0)).join(" ")}`);
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await new Promise((resolve) => server.once("listening", resolve));
  const { port } = server.address() as { port: number };
  await new Promise((resolve) => server.close(resolve));
  return port;
}

async function besideMoto(program: string): Promise<void> {
  const { child, ready } = await startNode<MockReady>("./mock-server.js", { args: ["plain"] });
  const ours = await prepare(child, { port: ready.port }, ready.credentials);
  const port = await freePort();
  const moto = spawn(program, ["-H", "127.0.0.1", "-p", String(port)], { stdio: "ignore" });
  children.push(moto);
  let theirs: Server | undefined;
  for (let attempt = 0; attempt < 100 && !theirs; attempt++) {
    await new Promise((resolve) => setTimeout(resolve, 300));
    theirs = await prepare(moto, { port }, ready.credentials).catch(() => undefined);
  }
  if (!theirs) throw new Error("moto_server did not start");
  console.log(
    "\n| HTTP | cloister requests/s | p99 ms | moto requests/s | p99 ms | cloister ÷ moto |\n|---|---|---|---|---|---|",
  );
  for (const name of ["Encrypt", "Decrypt", "GenerateDataKey"]) {
    const contestants = [
      contestant("cloister", ours, asksOf(ours, "")[name] as Ask, 1000),
      contestant("moto", theirs, asksOf(theirs, "")[name] as Ask, 200),
    ];
    const outcome = await alternate(contestants, { ...ROUNDS, children: children.flatMap(({ pid }) => pid ?? []) });
    console.log(`${row(name, outcome, contestants, "moto")} ${quietness(outcome)}`);
  }
}

try {
  console.log(`${machine()}\n`);
  const [moto, only] = process.argv.slice(2);
  if (only === undefined) await besideBare();
  if (moto === undefined) console.log("\nmoto: no path of moto_server was given");
  else await besideMoto(moto);
} finally {
  for (const child of children) child.kill();
}
