/**
 * The first lines of a test program that needs nothing but Node: settings from the environment, a sink, an exit code.
 *
 *   GUEST_SUITES       names, with commas; default all
 *   GUEST_SINK         "stdout" (default) or an address, as vsock://2:9100, that takes the JSON lines
 *   GUEST_TIMEOUT_MS   for a test that says nothing itself, and for hooks; default 20 000
 *   GUEST_SLOWNESS     multiplies the time of each test; default 1; an emulated processor needs 5 or more
 *
 * Exit code 0: every test that could run passed; 1: a failure, or lines that the sink did not take.
 *
 * @module
 */
import { finished } from "node:stream/promises";
import { parseAddress } from "../../shared/transport/address.ts";
import type { Transport } from "../../shared/transport/transport.ts";
import { childTask, type GuestSuite, serveSuite, supervise } from "./supervise.ts";

const SINK_TIMEOUT_MS = 30_000;

interface Sink {
  readonly line: (text: string) => void;
  /** Resolves with whether everything was taken. */
  readonly close: () => Promise<boolean>;
}

function complain(error: unknown): false {
  process.stderr.write(`the sink: ${error instanceof Error ? error.message : String(error)}\n`);
  return false;
}

async function openSink(transport: () => Transport): Promise<Sink> {
  const url = process.env["GUEST_SINK"] ?? "stdout";
  const toStdout = (text: string): void => void process.stdout.write(`${text}\n`);
  if (url === "stdout") return { line: toStdout, close: async () => true };
  try {
    const socket = await transport().connect(parseAddress(url), { timeoutMs: SINK_TIMEOUT_MS });
    const done = finished(socket.resume()).then(() => true, complain);
    const close = (): Promise<boolean> => {
      socket.end();
      return done;
    };
    return { line: (text) => void socket.write(`${text}\n`), close };
  } catch (error) {
    complain(error);
    return { line: toStdout, close: async () => false };
  }
}

function chosen(suites: readonly GuestSuite[]): readonly GuestSuite[] {
  const names = process.env["GUEST_SUITES"]?.split(",");
  if (names === undefined) return suites;
  return names.map((name) => {
    const suite = suites.find((candidate) => candidate.name === name);
    return suite ?? { name, load: () => Promise.reject(new Error(`there is no suite of the name ${name}`)) };
  });
}

/** Runs the suites, or in a process that this started the one it is for; ends the process. */
export async function guestMain(suites: readonly GuestSuite[], transport: () => Transport): Promise<void> {
  const settings = {
    timeoutMs: Number(process.env["GUEST_TIMEOUT_MS"] ?? 20_000),
    slowness: Number(process.env["GUEST_SLOWNESS"] ?? 1),
  };
  const selected = chosen(suites);
  const task = childTask(process.argv);
  if (task) {
    const suite = selected.find(({ name }) => name === task.suite);
    if (!suite) throw new Error(`there is no suite of the name ${task.suite}`);
    return serveSuite(suite, { ...settings, from: task.from });
  }
  const sink = await openSink(transport);
  const { failed } = await supervise({ ...settings, suites: selected, line: sink.line });
  const taken = await sink.close();
  process.exit(failed === 0 && taken ? 0 : 1);
}
