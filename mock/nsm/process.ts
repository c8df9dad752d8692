/**
 * The mock hypervisor as a process: JSON lines on standard input and output, keys that never leave it.
 *
 *   start     {instanceId, region, parentRoleArn, vsock}   → {rootCertificate: base64 DER}
 *   run       {eifPath, cid, debug?}                       → {enclaveId, pcrs}
 *   terminate {enclaveId}       list {}  → {enclaves}       console {enclaveId} → {text}
 *
 * When its input ends, every enclave is killed and nothing stays behind.
 *
 * @module
 */
import { randomBytes } from "node:crypto";
import { ConfigError } from "../../shared/errors/config.ts";
import { serveControl } from "../../transport/control.ts";
import { MockHypervisor, type RunOptions } from "./hypervisor.ts";

type Params = Readonly<Record<string, unknown>>;

let hypervisor: MockHypervisor | undefined;
let stopping: Promise<void> | undefined;

process.stderr.write(
  "*** MOCK MODE: an emulated Nitro hypervisor signs with a root of its own; nothing here is protected by hardware ***\n",
);
serveControl(process.stdin, process.stdout, { start, run, terminate, list, console: readConsole }, () => void stop());
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, () => void stop());
process.once("exit", () => hypervisor?.kill());

async function start(params: Params): Promise<object> {
  if (hypervisor) throw new TypeError("the hypervisor was started already");
  hypervisor = await MockHypervisor.start({
    instanceId: text(params, "instanceId"),
    region: text(params, "region"),
    parentRoleArn: text(params, "parentRoleArn"),
    vsock: text(params, "vsock"),
    now: () => new Date(),
    randomBytes: (length) => new Uint8Array(randomBytes(length)),
  });
  return { rootCertificate: Buffer.from(hypervisor.rootCertificate).toString("base64") };
}

async function run(params: Params): Promise<object> {
  const { cid, debug = false, ...rest } = params;
  const unknown = Object.keys(rest).find((field) => field !== "eifPath");
  if (unknown !== undefined) {
    throw new ConfigError("ERR_CONFIG_FIELD_UNKNOWN", { field: unknown, known: ["eifPath", "cid", "debug"] });
  }
  if (typeof cid !== "number") throw invalid("cid", "a number", cid);
  if (typeof debug !== "boolean") throw invalid("debug", "true or false", debug);
  const options: RunOptions = { eifPath: text(params, "eifPath"), cid, debug };
  return started().run(options);
}

async function terminate(params: Params): Promise<object> {
  await started().terminate(text(params, "enclaveId"));
  return {};
}

function list(): object {
  return { enclaves: started().list() };
}

function readConsole(params: Params): object {
  return { text: started().console(text(params, "enclaveId")) };
}

/** Once: the end of the input and a signal come together when a terminal interrupts the whole group. */
function stop(): Promise<void> {
  stopping ??= (async () => {
    await hypervisor?.[Symbol.asyncDispose]();
    process.exit(0);
  })();
  return stopping;
}

function started(): MockHypervisor {
  if (!hypervisor) throw new TypeError("the hypervisor was not started");
  return hypervisor;
}

function text(params: Params, field: string): string {
  const value = params[field];
  if (typeof value !== "string") throw invalid(field, "text", value);
  return value;
}

function invalid(field: string, expected: string, value: unknown): ConfigError {
  return new ConfigError("ERR_CONFIG_FIELD_INVALID", { field, expected, actual: typeof value });
}
