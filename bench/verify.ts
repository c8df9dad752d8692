/**
 * The verifier beside its floor and beside what a user would pick instead, in one run: `make bench`, `make bench-peers`.
 *
 *   node dist/bench/verify.js [folder with the peers' node_modules]
 *
 * @module
 */
import { createChainCache, verifyAttestation } from "../shared/attestation/index.ts";
import { decodeAttestationUnverified } from "../shared/attestation/inspect.ts";
import { readCertificate } from "../shared/der/certificate.ts";
import { isAttestationError } from "../shared/errors/index.ts";
import { allowedCores, coreScaling, onCores } from "./cores.ts";
import { type BenchDocument, damaged, loadDocuments } from "./documents.ts";
import { checkOneByOne, checksOf, importAll } from "./floor.ts";
import { machine } from "./machine.ts";
import { loadPeers, type Peer } from "./peers.ts";
import { absolute, alternate, type Contestant, type Outcome, quietness, ratio, type Sample } from "./rounds.ts";

const PER_ROUND = 8;
const FLOOR = "floor: 5 key imports, 5 checks, in turn";

const [folder] = process.argv.slice(2);
const ROUNDS = { wanted: 30, limitMs: folder ? 45_000 : 12_000 };
const { origin, documents } = await loadDocuments();
const cache = createChainCache();

const ours: readonly Peer[] = [
  { name: "cloister, cold", clock: "an argument", accepts: (document) => verify(document) },
  { name: "cloister, chain cached", clock: "an argument", accepts: (document) => verify(document, cache) },
];
const verifiers = [...ours, ...(folder ? await loadPeers(folder) : [])];

async function verify({ bytes, policy, at }: BenchDocument, chainCache?: typeof cache): Promise<boolean> {
  try {
    await verifyAttestation(bytes, policy, { now: at, clockSkewMs: 0, ...(chainCache && { chainCache }) });
    return true;
  } catch (error) {
    if (!isAttestationError(error)) throw error;
    return false;
  }
}

async function acceptedBy(verifier: Peer): Promise<ReadonlySet<BenchDocument>> {
  const accepted = new Set<BenchDocument>();
  for (const document of documents) {
    if (!(await verifier.accepts(document))) continue;
    if (await verifier.accepts(damaged(document))) throw new Error(`${verifier.name} accepts a damaged document`);
    accepted.add(document);
  }
  return accepted;
}

const accepted = new Map<string, ReadonlySet<BenchDocument>>();
for (const verifier of verifiers) accepted.set(verifier.name, await acceptedBy(verifier));
// Only what all of them accept is timed: a refusal may come early, and would look fast.
const timed = documents.filter((document) => [...accepted.values()].every((set) => set.has(document)));
if (timed.length === 0)
  throw new Error("no document is accepted by all: peers trust AWS alone, so genuine ones are needed");
const checks = new Map<BenchDocument, Awaited<ReturnType<typeof checksOf>>>();
for (const document of timed) checks.set(document, await checksOf(document.bytes));

function contestant(name: string, one: (document: BenchDocument) => Promise<unknown>): Contestant {
  const run = async (round: number): Promise<number> => {
    for (let i = 0; i < PER_ROUND; i++) {
      const document = timed[(round * PER_ROUND + i) % timed.length];
      if (document) await one(document);
    }
    return PER_ROUND;
  };
  return { name, run };
}

const floors = (["raw", "spki"] as const).map((form) =>
  contestant(form === "raw" ? FLOOR : `${FLOOR}, keys as SPKI`, (document) =>
    checkOneByOne(checks.get(document) ?? [], form),
  ),
);
const parts = [
  contestant("of it: 5 key imports", (document) => importAll(checks.get(document) ?? [])),
  contestant("of ours: reading document and certificates", async ({ bytes }) =>
    decodeAttestationUnverified(bytes).chain.map(readCertificate),
  ),
];
const contestants = [...floors, ...parts, ...verifiers.map(({ name, accepts }) => contestant(name, accepts))];

interface Half {
  readonly title: string;
  readonly of: keyof Sample;
  readonly outcome: Outcome;
}

/** Cells of one table's half: milliseconds a document, and times the floor. */
function cells({ outcome, of }: Half, name: string): string {
  const times = ratio(outcome, name, FLOOR, of);
  const quartiles = `${times.low.toFixed(2)}–${times.high.toFixed(2)}`;
  return `${(absolute(outcome, name, of).median / 1000).toFixed(2)} | ${times.median.toFixed(2)} (${quartiles})`;
}

console.log(machine());
console.log(`${documents.length} ${origin}; timed: the ${timed.length} that every verifier here accepts\n`);
const [first, second] = allowedCores();
const halves: Half[] = [
  // On one core the work is what counts, and CPU time leaves out what other processes took of it.
  { title: "one core: CPU ms", of: "cpu", outcome: await onCores([first], () => alternate(contestants, ROUNDS)) },
];
if (second !== undefined) {
  const outcome = await onCores([first, second], () => alternate(contestants, ROUNDS));
  halves.push({ title: "two cores: ms until the answer", of: "wall", outcome });
}
console.log(`| one document at a time | accepts | ${halves.map(({ title }) => `${title} | ÷ floor`).join(" | ")} |`);
console.log(`|---|---|${"---|---|".repeat(halves.length)}`);
for (const { name } of contestants) {
  const count = accepted.get(name)?.size;
  const share = count === undefined ? "" : `${count} of ${documents.length}`;
  console.log(`| ${name} | ${share} | ${halves.map((half) => cells(half, name)).join(" | ")} |`);
}
console.log();
for (const { title, outcome } of halves) console.log(`${title}: ${quietness(outcome)}`);
console.log(await coreScaling(timed, (document) => verify(document), ROUNDS.limitMs));
for (const { name, clock } of verifiers.slice(ours.length)) console.log(`${name}: its clock is ${clock}`);
