/**
 * vsock, `/dev/nsm` and the egress proxy in an enclave that boots, ours beside plain C, node-vsock, AWS's vsock-proxy and
 * socat, in one run.
 *
 *   CLOISTER_EMULATOR=FOLDER node dist/bench/guest/run.js [--rounds 5] [--mib 32] [--trips 1000] [--calls 300]
 *     [--requests 1000] [--only vsock|nsm|egress] [--vsock-proxy FILE]
 *
 * FILE is an executable of vsock-proxy, static or for this host's libraries; without it that row is left out. So is
 * socat where this host has none.
 *
 * The guest runs the contestants in rounds, in an order that rotates, and tells of each on its console; here the tables
 * are made. A contestant that has no answer in 120 s, or none at all, is told by name. Exit code 1: the guest did not
 * come to its end, or a contestant of ours or the C program failed.
 *
 * @module
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { EmulatedInstance } from "../../mock/emulator/instance.ts";
import { machine } from "../machine.ts";
import { hasNodeVsock, writeGuestImage } from "./image.ts";
import { watchStrangers } from "./others.ts";
import { findPeers } from "./peers.ts";
import { GUEST_CID } from "./proxies.ts";
import { CONTESTANT_MS, GROUPS, type Plan, readClock, readSamples, roundPattern, type Sample } from "./samples.ts";
import { failures, tables } from "./table.ts";

const MIB = 1_048_576;
const CONTESTANTS_MAX = 12;

const { values } = parseArgs({
  options: {
    rounds: { type: "string", default: "5" },
    mib: { type: "string", default: "32" },
    trips: { type: "string", default: "1000" },
    calls: { type: "string", default: "300" },
    requests: { type: "string", default: "1000" },
    only: { type: "string" },
    "vsock-proxy": { type: "string" },
  },
});
const peers = findPeers(values["vsock-proxy"]);
const groups = GROUPS.filter((group) => values.only === undefined || group === values.only);
if (groups.length === 0) throw new RangeError(`--only is one of ${GROUPS.join(", ")}, not ${values.only}`);
const plan: Plan = {
  groups,
  rounds: count("rounds"),
  bytes: count("mib") * MIB,
  trips: count("trips"),
  calls: count("calls"),
  hasNodeVsock,
  requests: count("requests"),
  peers: peers.commands,
};

function count(name: "rounds" | "mib" | "trips" | "calls" | "requests"): number {
  const value = Number(values[name]);
  if (Number.isInteger(value) && value > 0) return value;
  throw new RangeError(`--${name} is a number of 1 or more, not ${values[name]}`);
}

interface Heard {
  readonly samples: readonly Sample[];
  readonly clock: string;
  readonly retries: number;
  /** The share of the host's cores that other processes took of each round. */
  readonly others: readonly number[];
  readonly failure?: string;
}

async function runInGuest(emulatorFolder: string): Promise<Heard> {
  const emulator = { folder: emulatorFolder };
  // Short: paths of Unix sockets have 107 bytes.
  const folder = mkdtempSync(join(tmpdir(), "gb-"));
  try {
    const eifPath = await writeGuestImage({ emulator, folder, plan, files: peers.files });
    await using instance = await EmulatedInstance.start({ files: emulator, folder, cids: [] });
    const { guest } = await instance.bootEnclave({ eifPath, cid: GUEST_CID, memoryMiB: 2048 });
    const others: number[] = [];
    const heard = (): Heard => {
      const { console } = guest;
      return { samples: readSamples(console), clock: readClock(console), retries: instance.retries, others };
    };
    try {
      for (let round = 0; round < plan.rounds; round++) {
        const share = watchStrangers();
        await guest.says(roundPattern(round), CONTESTANTS_MAX * CONTESTANT_MS);
        others.push(share());
        process.stderr.write(`bench: round ${round + 1} of ${plan.rounds}\n`);
      }
      return heard();
    } catch (error) {
      process.stderr.write(guest.console.slice(-3_000));
      return { ...heard(), failure: (error as Error).message };
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

const emulatorFolder = process.env["CLOISTER_EMULATOR"];
if (!emulatorFolder) throw new Error("CLOISTER_EMULATOR names the folder that `make emulator` prints");
const { samples, clock, retries, others, failure } = await runInGuest(emulatorFolder);

console.log(`${machine()}; guest: QEMU without hardware virtualisation, 2 processors, clock ${clock}`);
console.log(
  `${plan.rounds} rounds, ${plan.bytes / MIB} MiB, ${plan.trips} round trips, ${plan.calls} calls, ${plan.requests} requests; median (least–most)\n`,
);
console.log(tables(samples));
const shares = others.map((share) => `${(100 * share).toFixed(0)} %`).join(", ");
console.log(`boots repeated: ${retries}; other processes took of the host's cores, by round: ${shares}`);
for (const name of peers.missing) console.log(`${name}: left out, not given or not installed`);
if (!hasNodeVsock) console.log("node-vsock: left out, not installed in test/guest/peer");
const told = failures(samples);
for (const line of told) console.log(line);
if (failure !== undefined) console.log(`the guest did not come to its end: ${failure}`);
const isOurs = (line: string): boolean => /^(cloister|plain C)/.test(line);
if (failure !== undefined || told.some(isOurs)) process.exitCode = 1;
