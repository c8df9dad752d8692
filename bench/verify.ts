/**
 * The verifier beside its floor and beside what a user would pick instead, in one run: `make bench`, `make bench-peers`.
 *
 *   node dist/bench/verify.js [folder with the peers' node_modules]
 *
 * @module
 */
import { createChainCache, verifyAttestation } from "../shared/attestation/index.ts";
import { coreScaling } from "./cores.ts";
import { type BenchDocument, loadDocuments } from "./documents.ts";
import { checkOneByOne, checksOf } from "./floor.ts";
import { machine } from "./machine.ts";
import { loadPeers, type Peer } from "./peers.ts";
import { absolute, alternate, type Contestant, ratio, type Samples } from "./rounds.ts";

const ROUNDS = 40;
const PER_ROUND = 8;
const FLOOR = "floor: 5 key imports, 5 checks, in turn";

const [folder] = process.argv.slice(2);
const { origin, documents } = await loadDocuments();
const cache = createChainCache();

const ours: readonly Peer[] = [
  { name: "cloister, cold", clock: "an argument", accepts: (document) => verify(document) },
  { name: "cloister, chain cached", clock: "an argument", accepts: (document) => verify(document, cache) },
];
const verifiers = [...ours, ...(folder ? await loadPeers(folder) : [])];

async function verify({ bytes, policy, at }: BenchDocument, chainCache?: typeof cache): Promise<boolean> {
  await verifyAttestation(bytes, policy, { now: at, clockSkewMs: 0, ...(chainCache && { chainCache }) });
  return true;
}

async function acceptedBy(verifier: Peer): Promise<ReadonlySet<BenchDocument>> {
  const accepted = new Set<BenchDocument>();
  for (const document of documents) if (await verifier.accepts(document)) accepted.add(document);
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
const before = machine();
const samples = await alternate(
  [...floors, ...verifiers.map(({ name, accepts }) => contestant(name, accepts))],
  ROUNDS,
);

function row(name: string, of: Samples): string {
  const [wall, cpu] = [absolute(of, name, "wall"), absolute(of, name, "cpu")];
  const [latency, work] = [ratio(of, name, FLOOR, "wall"), ratio(of, name, FLOOR, "cpu")];
  const times = ({ low, median, high }: typeof latency): string =>
    `${median.toFixed(2)} (${low.toFixed(2)}–${high.toFixed(2)})`;
  const count = accepted.get(name)?.size;
  const share = count === undefined ? "" : `${count} of ${documents.length}`;
  const ms = (us: number): string => (us / 1000).toFixed(2);
  return `| ${name} | ${share} | ${ms(wall.median)} | ${times(latency)} | ${ms(cpu.median)} | ${times(work)} |`;
}

console.log(before);
console.log(
  `${origin}: ${documents.length}; timed: the ${timed.length} that every verifier here accepts, one at a time\n`,
);
console.log("| | accepts | ms a document | ÷ floor (quartiles) | CPU ms a document | ÷ floor's CPU (quartiles) |");
console.log("|---|---|---|---|---|---|");
for (const name of samples.keys()) console.log(row(name, samples));
console.log(`\n${await coreScaling(timed, (document) => verify(document))}`);
for (const { name, clock } of verifiers.slice(ours.length)) console.log(`${name}: its clock is ${clock}`);
