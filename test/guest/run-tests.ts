/**
 * Runs what a suite registered, one test after another, and tells each step as it happens.
 *
 * A test that does not end is left at its deadline. What a test throws into the process (an unhandled rejection, an
 * uncaught exception) is that test's failure; between tests it is the suite's.
 *
 * @module
 */
import { realTimers } from "./fake-timers.ts";
import { type Group, root, type Test } from "./vitest.ts";

export type Step =
  | { readonly step: "begin"; readonly tests: number }
  /** `budgetMs` is the longest that a test and its hooks may take. */
  | { readonly step: "start"; readonly test: string; readonly budgetMs: number }
  | {
      readonly step: "result";
      readonly test: string;
      readonly state: State;
      readonly ms: number;
      readonly errors: Fault[];
    }
  | { readonly step: "fault"; readonly errors: Fault[] }
  | { readonly step: "end" };

export type State = "passed" | "failed" | "skipped";

export interface Fault {
  readonly message: string;
  readonly code?: string;
  readonly stack?: string;
}

export interface RunOptions {
  /** Tests to leave out at the start: an earlier process has run them. */
  readonly from: number;
  /** How long a test may take when it does not say so itself, and each hook, in milliseconds. */
  readonly timeoutMs: number;
  /** For a slow machine: what a test says about its own time is multiplied by it. */
  readonly slowness: number;
  readonly tell: (step: Step) => void;
}

interface Planned {
  readonly title: string;
  readonly path: readonly Group[];
  readonly test: Test;
  readonly skipped: boolean;
}

export function faultOf(error: unknown): Fault {
  if (!(error instanceof Error)) return { message: `thrown: ${String(error)}` };
  const { code } = error as { code?: unknown };
  const { stack } = error;
  return { message: error.message, ...(typeof code === "string" && { code }), ...(stack !== undefined && { stack }) };
}

function plan(group: Group, path: readonly Group[]): Planned[] {
  const here = [...path, group];
  return group.children.flatMap((child) => {
    if ("children" in child) return plan(child, here);
    const title = [...here.map(({ name }) => name), child.name].filter(Boolean).join(" > ");
    return [{ title, path: here, test: child, skipped: child.skipped || here.some(({ skipped }) => skipped) }];
  });
}

async function within(ms: number, what: string, body: () => unknown): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = realTimers.setTimeout(() => reject(new Error(`${what} did not end in ${ms} ms`)), ms);
  });
  try {
    await Promise.race([Promise.resolve().then(body), late]);
  } finally {
    realTimers.clearTimeout(timer);
  }
}

const turn = async (): Promise<void> => {
  for (let i = 0; i < 3; i++) await new Promise(setImmediate);
};

/** Runs the tests of this process's one suite. */
export async function runTests(options: RunOptions): Promise<void> {
  const planned = plan(root, []);
  options.tell({ step: "begin", tests: planned.length });
  let faults: Fault[] = [];
  const note = (error: unknown): void => void faults.push(faultOf(error));
  process.on("uncaughtException", note).on("unhandledRejection", note);
  const drain = (): Fault[] => {
    const drained = faults;
    faults = [];
    return drained;
  };
  const attempt = async (what: string, body: () => unknown, ms = options.timeoutMs): Promise<void> => {
    await within(ms, what, body).catch(note);
  };
  const open: Group[] = [];
  const moveTo = async (path: readonly Group[]): Promise<void> => {
    while (open.some((group, depth) => path[depth] !== group)) {
      for (const hook of [...(open.pop()?.hooks.afterAll ?? [])].reverse()) await attempt("afterAll", hook);
    }
    for (const group of path.slice(open.length)) {
      open.push(group);
      for (const hook of group.hooks.beforeAll) await attempt("beforeAll", hook);
    }
  };
  for (const [index, { title, path, test, skipped }] of planned.entries()) {
    if (index < options.from) continue;
    if (skipped) {
      options.tell({ step: "result", test: title, state: "skipped", ms: 0, errors: [] });
      continue;
    }
    const timeoutMs = Math.ceil((test.timeoutMs ?? options.timeoutMs) * options.slowness);
    const hooks = [...path, ...open].flatMap((group) => Object.values(group.hooks).flat()).length;
    options.tell({ step: "start", test: title, budgetMs: timeoutMs + hooks * options.timeoutMs });
    const began = performance.now();
    await moveTo(path);
    for (const hook of path.flatMap(({ hooks }) => hooks.beforeEach)) await attempt("beforeEach", hook);
    if (faults.length === 0) await attempt("the test", test.body, timeoutMs);
    for (const hook of path.flatMap(({ hooks }) => hooks.afterEach).reverse()) await attempt("afterEach", hook);
    await turn();
    const errors = drain();
    const ms = Math.round(performance.now() - began);
    options.tell({ step: "result", test: title, state: errors.length > 0 ? "failed" : "passed", ms, errors });
  }
  await moveTo([]);
  await turn();
  const errors = drain();
  if (errors.length > 0) options.tell({ step: "fault", errors });
  options.tell({ step: "end" });
}
