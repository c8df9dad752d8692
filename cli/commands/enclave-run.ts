/**
 * `cloister enclave run`: starts an image as an enclave, which goes on when the command ends.
 *
 * @module
 */
import { readArguments } from "../arguments.ts";
import { type Terminal, UsageError } from "../terminal.ts";
import { readImageFacts } from "./enclave-image.ts";
import { launcherFor, readPlatform, showEnclave } from "./enclave-launcher.ts";

const RUN_USAGE = `usage: cloister enclave run FILE.eif --platform nitro|emulated|mock [options]

  starts an image as an enclave and prints what it is; the enclave goes on when the command ends
  --memory MIB      default 512; at least four times the size of the image
  --cpu-count N     default 2
  --cid N           its context id, 4 or more; default the lowest free one from 16
  --emulator DIR    platform emulated: the folder that make emulator prints; default the last one
  --dangerously-run-in-debug-mode   opens its console; on nitro and mock its PCR0 to PCR2 are then zero
  --json

  example: cloister enclave run app.eif --platform mock --memory 512`;

const STOP_SIGNALS = ["SIGINT", "SIGTERM"] as const;

export async function enclaveRun(args: readonly string[], { print, tell }: Terminal): Promise<number> {
  const string = { type: "string" } as const;
  const boolean = { type: "boolean" } as const;
  const numbers = { memory: string, "cpu-count": string, cid: string };
  const rest = { platform: string, emulator: string, json: boolean, help: boolean };
  const options = { ...numbers, ...rest, "dangerously-run-in-debug-mode": boolean };
  const { values, positionals } = readArguments(args, { options, operands: 1, usage: RUN_USAGE });
  if (values["help"]) {
    print(RUN_USAGE);
    return 0;
  }
  const platform = readPlatform(values["platform"], RUN_USAGE);
  const [eifPath = ""] = positionals;
  const { memory = "512", "cpu-count": cpuCount = "2", cid, emulator } = values;
  const launch = {
    eifPath,
    ...(cid !== undefined && { cid: readNumber("--cid", cid) }),
    cpuCount: readNumber("--cpu-count", cpuCount),
    memoryMiB: readNumber("--memory", memory),
    debug: values["dangerously-run-in-debug-mode"] === true,
  };
  const launcher = await launcherFor(platform, { tell, ...(typeof emulator === "string" && { emulator }) });
  const image = await readImageFacts(eifPath);
  return endingWithSignals(async (signal) => {
    print(showEnclave(await launcher.run({ ...launch, image, signal }), values["json"] === true));
    return 0;
  });
}

/** The first signal calls the work off; when that is done this process ends by it. A second one ends it at once. */
async function endingWithSignals(work: (signal: AbortSignal) => Promise<number>): Promise<number> {
  const stop = new AbortController();
  let received: NodeJS.Signals | undefined;
  const onSignal = (name: NodeJS.Signals): void => {
    for (const each of STOP_SIGNALS) process.off(each, onSignal);
    received = name;
    stop.abort(new Error(`called off by ${name}`));
  };
  for (const each of STOP_SIGNALS) process.on(each, onSignal);
  try {
    return await work(stop.signal);
  } catch (error) {
    if (received === undefined || error !== stop.signal.reason) throw error;
    process.kill(process.pid, received);
    return 1;
  } finally {
    for (const each of STOP_SIGNALS) process.off(each, onSignal);
  }
}

function readNumber(option: string, value: string | boolean): number {
  if (typeof value !== "string" || !/^[0-9]{1,15}$/.test(value)) {
    throw new UsageError(`${option} is a whole number`, RUN_USAGE);
  }
  return Number(value);
}
