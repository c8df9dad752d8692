#!/usr/bin/env node
/**
 * Stands for AWS's nitro-cli 1.3 and later: its documented answers, from a state in a file.
 *
 * `FAKE_NITRO_FOLDER` holds `enclaves.json`, and `behave.json` to make it misbehave. Each start is noted in `calls`.
 */
import { spawn } from "node:child_process";
import { appendFileSync, existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const folder = process.env.FAKE_NITRO_FOLDER;
const stored = (name, otherwise) => {
  const path = join(folder, name);
  return existsSync(path) ? JSON.parse(readFileSync(path, "utf8")) : otherwise;
};
const [command, ...args] = process.argv.slice(2);
const option = (name) => (args.includes(name) ? args[args.indexOf(name) + 1] : undefined);
const behave = stored("behave.json", {});
const enclaves = stored("enclaves.json", []);
const save = (list) => writeFileSync(join(folder, "enclaves.json"), JSON.stringify(list));
const answer = (value) => process.stdout.write(`${JSON.stringify(value, null, 2)}\n`);
const fail = (code, text) => {
  process.stderr.write(`[ ${code} ] ${text}\n\nFor more details, please visit the page of ${code}\n`);
  process.exit(1);
};
appendFileSync(join(folder, "calls"), `${JSON.stringify([command, ...args])}\n`);
if (behave.leaves) {
  // As a process of the enclave's may: it holds the output of this one open.
  const left = spawn(process.execPath, ["-e", "setTimeout(() => undefined, 60_000)"], {
    detached: true,
    stdio: ["ignore", "inherit", "inherit"],
  });
  writeFileSync(join(folder, "left"), String(left.pid));
  left.unref();
}
if (behave.command === command) {
  if (behave.error) fail(behave.error, "Something. User provided what does not fit.");
  if (behave.exit) process.exit(behave.exit);
  if (behave.stdout !== undefined) process.stdout.write(behave.stdout.repeat(behave.times ?? 1));
  if (behave.hang) setInterval(() => undefined, 1_000);
} else await (COMMANDS()[command] ?? (() => fail("E02", "Unknown command")))();

function COMMANDS() {
  return {
    "run-enclave": () => {
      const taken = new Set(enclaves.map((enclave) => enclave.EnclaveCID));
      let cid = Number(option("--enclave-cid") ?? 16);
      while (option("--enclave-cid") === undefined && taken.has(cid)) cid++;
      const id = `i-0f9bd0d9d2c0a1bf7-enc17d${Date.now().toString(16)}${String(enclaves.length).padStart(2, "0")}`;
      const run = {
        EnclaveName: "app",
        EnclaveID: id,
        ProcessID: process.ppid,
        EnclaveCID: cid,
        NumberOfCPUs: Number(option("--cpu-count")),
        CPUIDs: [1, 3],
        MemoryMiB: Number(option("--memory")),
      };
      const Flags = args.includes("--debug-mode") && !behave.forgetsDebug ? "DEBUG_MODE" : "NONE";
      const measured = stored("measurements.json", undefined);
      save([...enclaves, { ...run, State: "RUNNING", Flags, ...(measured && { Measurements: measured }) }]);
      process.stderr.write("Start allocating memory...\n");
      process.stdout.write(`Started enclave with enclave-cid: ${cid}, memory: ${run.MemoryMiB} MiB, cpu-ids: [1, 3]\n`);
      answer(run);
    },
    "describe-enclaves": () => answer(enclaves),
    "terminate-enclave": () => {
      const found = enclaves.find((enclave) => enclave.EnclaveID === option("--enclave-id"));
      if (!found) fail("E54", "No such enclave");
      save(enclaves.filter((enclave) => enclave !== found));
      process.stdout.write(`Successfully terminated enclave ${found.EnclaveID}.\n`);
      answer({ EnclaveName: "app", EnclaveID: found.EnclaveID, Terminated: true });
    },
    console: () => {
      process.stdout.write("Connecting to the console...\n");
      process.stdout.write("inside\n");
      if (behave.console === "stays") setInterval(() => undefined, 1_000);
    },
  };
}
