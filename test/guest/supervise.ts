/**
 * Runs suites, each in a process of its own, and reports every test as one JSON line, whatever happens to the process.
 *
 *   {"event":"result","suite","test","state":"passed"|"failed"|"skipped","ms",…}     one for each test
 *   {"event":"summary","suites","passed","failed","skipped","ms"}                     the last line
 *
 * A process that crashes, blocks its event loop or exits in the middle costs the test that ran then; another process
 * goes on with the next test. A suite that throws while it loads, or has no tests, is a failure.
 *
 * @module
 */
import { type ChildProcess, spawn } from "node:child_process";
import { writeSync } from "node:fs";
import { createInterface } from "node:readline";
import type { Readable } from "node:stream";
import { type Fault, faultOf, runTests, type State, type Step } from "./run-tests.ts";

export interface GuestSuite {
  readonly name: string;
  /** Imports the modules that register the tests. */
  readonly load: () => Promise<unknown>;
  /** Why it can not run on this machine; it is then skipped by name. */
  readonly unavailable?: () => string | undefined;
}

export interface SuperviseOptions {
  readonly suites: readonly GuestSuite[];
  readonly line: (text: string) => void;
  /** How long a test may take when it does not say so itself, in milliseconds. */
  readonly timeoutMs: number;
  readonly slowness: number;
}

const STEPS_FD = 3;
/** What a process may take to start and load its suite, and what a slow machine takes on top of a step, in milliseconds. */
const LOAD_MS = 60_000;
const MARGIN_MS = 3_000;
const CHILD_FLAG = "--suite";

interface Result {
  readonly suite: string;
  readonly test: string;
  readonly state: State;
  readonly ms: number;
  readonly errors?: readonly Fault[];
  readonly reason?: string;
}

/** The part of a process that `supervise` started; undefined when this is the first process. */
export function childTask(argv: readonly string[]): { readonly suite: string; readonly from: number } | undefined {
  if (argv[2] !== CHILD_FLAG) return undefined;
  return { suite: argv[3] ?? "", from: Number(argv[4] ?? 0) };
}

/** Runs one suite in this process and tells the supervisor; ends the process, with whatever is still open in it. */
export async function serveSuite(
  suite: GuestSuite,
  options: { from: number; timeoutMs: number; slowness: number },
): Promise<never> {
  const tell = (step: Step): void => void writeSync(STEPS_FD, `${JSON.stringify(step)}\n`);
  try {
    await suite.load();
    await runTests({ ...options, tell });
  } catch (error) {
    tell({ step: "fault", errors: [faultOf(error)] });
    tell({ step: "end" });
  }
  process.exit(0);
}

/** Runs all suites; gives how many results of each state there were. */
export async function supervise(options: SuperviseOptions): Promise<Readonly<Record<State, number>>> {
  const counts = { passed: 0, failed: 0, skipped: 0 };
  const began = performance.now();
  const report = (result: Result): void => {
    counts[result.state]++;
    options.line(JSON.stringify({ event: "result", ...result }));
  };
  for (const suite of options.suites) {
    const reason = suite.unavailable?.();
    if (reason === undefined) await new SuiteRun(suite.name, options, report).run();
    else report({ suite: suite.name, test: "(all)", state: "skipped", ms: 0, reason });
  }
  const ms = Math.round(performance.now() - began);
  options.line(JSON.stringify({ event: "summary", suites: options.suites.length, ...counts, ms }));
  return counts;
}

class SuiteRun {
  readonly #name: string;
  readonly #options: SuperviseOptions;
  readonly #report: (result: Result) => void;
  #tests: number | undefined;
  #done = 0;
  #faults = 0;
  #running: string | undefined;
  #ended = false;

  constructor(name: string, options: SuperviseOptions, report: (result: Result) => void) {
    this.#name = name;
    this.#options = options;
    this.#report = report;
  }

  async run(): Promise<void> {
    do {
      const before = this.#done;
      const death = await this.#oneProcess();
      if (this.#ended) break;
      this.#fail(this.#running ?? "(between tests)", [{ message: `the process ended: ${death}` }]);
      if (this.#running !== undefined) this.#done++;
      this.#running = undefined;
      if (this.#done === before) break;
    } while (this.#tests !== undefined && this.#done < this.#tests);
    const missing = (this.#tests ?? 0) - this.#done;
    if (missing > 0) this.#fail(`(${missing} tests did not run)`, []);
    else if (this.#done === 0 && this.#faults === 0) this.#fail("(the suite has no tests)", []);
  }

  #fail(test: string, errors: readonly Fault[]): void {
    this.#faults++;
    this.#report({ suite: this.#name, test, state: "failed", ms: 0, errors });
  }

  /** Resolves with how the process ended. */
  async #oneProcess(): Promise<string> {
    const args = [...process.execArgv, process.argv[1] ?? "", CHILD_FLAG, this.#name, String(this.#done)];
    const child = spawn(process.execPath, args, { stdio: ["ignore", "inherit", "inherit", "pipe"] });
    let blocked = false;
    let watchdog: NodeJS.Timeout | undefined;
    const watch = (ms: number): void => {
      clearTimeout(watchdog);
      watchdog = setTimeout(() => {
        blocked = true;
        child.kill("SIGKILL");
      }, ms);
    };
    watch(LOAD_MS);
    const lines = createInterface({ input: child.stdio[STEPS_FD] as Readable });
    lines.on("line", (line) => watch(this.#take(JSON.parse(line) as Step)));
    const death = await ended(child);
    clearTimeout(watchdog);
    return blocked ? "killed, its event loop did not turn" : death;
  }

  /** Gives how long the next step may take, in milliseconds. */
  #take(step: Step): number {
    switch (step.step) {
      case "begin":
        this.#tests = step.tests;
        break;
      case "start":
        this.#running = step.test;
        return step.budgetMs + MARGIN_MS;
      case "result": {
        const { test, state, ms, errors } = step;
        this.#running = undefined;
        this.#done++;
        this.#report({ suite: this.#name, test, state, ms, ...(errors.length > 0 && { errors }) });
        break;
      }
      case "fault":
        this.#fail("(outside of a test)", step.errors);
        break;
      case "end":
        this.#ended = true;
        break;
      default:
        throw new TypeError(`not a step: ${JSON.stringify(step satisfies never)}`);
    }
    return 2 * this.#options.timeoutMs + MARGIN_MS;
  }
}

function ended(child: ChildProcess): Promise<string> {
  return new Promise((resolve) => {
    child.once("error", (error) => resolve(error.message));
    child.once("close", (code, signal) => resolve(signal ?? `exit code ${code}`));
  });
}
