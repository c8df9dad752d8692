/**
 * `cloister demo`: the whole story in mock mode, with no AWS account and no Nitro hardware.
 *
 * @module
 */
import { constants } from "node:os";
import { performance } from "node:perf_hooks";
import { requireDataPackages } from "../../examples/joint-analysis/data.ts";
import { FLIGHTS_HEADER, STRIKES_HEADER } from "../../examples/joint-analysis/tables.ts";
import { readArguments, readInput } from "../arguments.ts";
import { runDemo } from "../demo/run.ts";
import { Story } from "../demo/story.ts";
import type { Terminal } from "../terminal.ts";

const DEMO_USAGE = `usage: cloister demo [--flights FILE.csv] [--strikes FILE.csv] [--json]

  two owners seal real data; an attested enclave joins it; then the demo attacks itself; exits 0 only if every step held
  --flights FILE   the carrier's table instead of the published one; its first line is
                   ${FLIGHTS_HEADER.join(",")}
  --strikes FILE   the insurer's table instead of the published one; its first line is
                   ${STRIKES_HEADER.join(",")}

  the published tables come with a clone (npm vega-datasets); an installed package needs both files

  example: cloister demo --json`;

const SIGNALS = ["SIGINT", "SIGTERM", "SIGHUP"] as const;

export async function demo(args: readonly string[], terminal: Terminal): Promise<number> {
  const string = { type: "string" } as const;
  const boolean = { type: "boolean" } as const;
  const options = { flights: string, strikes: string, json: boolean, help: boolean };
  const { values } = readArguments(args, { options, operands: 0, usage: DEMO_USAGE });
  if (values["help"]) {
    terminal.print(DEMO_USAGE);
    return 0;
  }
  const isJson = values["json"] === true;
  const { flights, strikes } = values;
  const data = {
    ...(typeof flights === "string" && { flights: await readInput(flights) }),
    ...(typeof strikes === "string" && { strikes: await readInput(strikes) }),
  };
  if (data.flights === undefined || data.strikes === undefined) await requireDataPackages();
  const story = new Story(terminal, { isQuiet: isJson });
  const start = performance.now();
  const interruption = new Interruption(terminal);
  let failure: unknown;
  try {
    await runDemo(story, { data, onWorld: (world) => interruption.holds(world) });
  } catch (error) {
    failure = error;
  }
  await interruption.end();
  conclude(story, { terminal, isJson, ms: Math.round(performance.now() - start), failure });
  if (failure !== undefined) throw failure;
  return story.held ? 0 : 1;
}

/** Ctrl-C: ends the processes and removes what they left, then ends this one. */
class Interruption {
  readonly #terminal: Terminal;
  readonly #onSignal = (signal: NodeJS.Signals): void => {
    this.#stopping ??= this.#stop(signal);
  };
  #world: AsyncDisposable | undefined;
  #stopping: Promise<void> | undefined;

  constructor(terminal: Terminal) {
    this.#terminal = terminal;
    for (const signal of SIGNALS) process.on(signal, this.#onSignal);
  }

  holds(world: AsyncDisposable): void {
    this.#world = world;
  }

  /** Waits for the clean-up that is under way, which ends the process; the story it broke off has no verdict. */
  async end(): Promise<void> {
    await this.#stopping;
    for (const signal of SIGNALS) process.off(signal, this.#onSignal);
  }

  async #stop(signal: NodeJS.Signals): Promise<void> {
    this.#terminal.tell(`cloister: interrupted by ${signal}, cleaning up`);
    try {
      await this.#world?.[Symbol.asyncDispose]();
    } catch (error) {
      this.#terminal.tell(`cloister: error: the clean-up failed: ${error instanceof Error ? error.message : error}`);
    }
    process.exit(128 + (constants.signals[signal] ?? 0));
  }
}

interface Conclusion {
  readonly terminal: Terminal;
  readonly isJson: boolean;
  readonly ms: number;
  readonly failure: unknown;
}

function conclude(story: Story, { terminal, isJson, ms, failure }: Conclusion): void {
  const held = story.held && failure === undefined;
  if (isJson) {
    terminal.print(JSON.stringify({ trust: "mock", held, ms, steps: story.steps }));
    return;
  }
  const broken = story.steps.filter((step) => !step.held);
  const count = `${story.steps.length - broken.length} of ${story.steps.length} steps held`;
  const verdict = held ? terminal.paint("green", `✔ ${count}`) : terminal.paint("red", `✘ ${count}`);
  terminal.print(
    `\n${verdict} in ${(ms / 1000).toFixed(1)} s (mock mode: emulated hardware and cloud, every check real)`,
  );
  for (const { title, saw } of broken) terminal.print(terminal.paint("red", `  ✘ ${title}: ${saw}`));
}
