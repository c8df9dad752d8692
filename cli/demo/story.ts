/**
 * Tells the demo as it happens, and keeps what happened: each step with its verdict and its time.
 *
 * Two sorts of steps: one that must succeed, and an attack that must be refused with the code that names the right
 * reason. A refusal for another reason counts as a failure: it would hide a check that is gone.
 *
 * @module
 */
import { performance } from "node:perf_hooks";
import { isToolkitError } from "../../shared/errors/index.ts";
import { ControlError } from "../../transport/control.ts";
import type { Terminal } from "../terminal.ts";

export interface StepRecord {
  readonly chapter: string;
  readonly title: string;
  readonly held: boolean;
  readonly ms: number;
  /** What was seen: a fact of a step, the reason of a refusal, or why it did not hold. */
  readonly saw: string;
  /** The code that an attack was refused with. */
  readonly code?: string;
}

/** A refusal that has a code, of whatever kind. */
interface Refusal {
  readonly code: string;
  readonly message: string;
}

export class Story {
  readonly #terminal: Terminal;
  readonly #isQuiet: boolean;
  readonly #steps: StepRecord[] = [];
  #chapter = "";

  constructor(terminal: Terminal, { isQuiet }: { readonly isQuiet: boolean }) {
    this.#terminal = terminal;
    this.#isQuiet = isQuiet;
  }

  get steps(): readonly StepRecord[] {
    return this.#steps;
  }

  get held(): boolean {
    return this.#steps.every((step) => step.held);
  }

  chapter(title: string): void {
    this.#chapter = title;
    this.#say(`\n${this.#terminal.paint("bold", title)}`);
  }

  /** A step that must succeed; `describe` tells what was seen. Stops the story when it does not. */
  async step<Result>(title: string, run: () => Promise<Result>, describe: (result: Result) => string): Promise<Result> {
    const start = performance.now();
    try {
      const result = await run();
      this.#record({ title, held: true, ms: performance.now() - start, saw: describe(result) });
      return result;
    } catch (error) {
      const saw = error instanceof Error ? error.message : String(error);
      this.#record({ title, held: false, ms: performance.now() - start, saw, ...codeOf(error) });
      throw error;
    }
  }

  /** An attack that must be refused with `code`, and with a reason that says `because` where one is named. */
  async attack(title: string, code: string, attempt: () => Promise<unknown>, because?: RegExp): Promise<void> {
    const start = performance.now();
    const refusal = await refusalOf(attempt);
    const held = refusal?.code === code && (because === undefined || because.test(refusal.message));
    const saw = refusal ? refusal.message : "NOT REFUSED";
    this.#record({ title, held, ms: performance.now() - start, saw, ...(refusal && { code: refusal.code }) });
  }

  remark(text: string): void {
    this.#say(this.#terminal.paint("dim", `    ${text}`));
  }

  #record(step: Omit<StepRecord, "chapter">): void {
    const rounded = { ...step, ms: Math.round(step.ms), chapter: this.#chapter };
    this.#steps.push(rounded);
    const { paint } = this.#terminal;
    const mark = step.held ? paint("green", "✔") : paint("red", "✘");
    this.#say(`  ${mark} ${step.title} ${paint("dim", `(${rounded.ms} ms)`)}`);
    const code = step.code ? `${step.code}: ` : "";
    if (step.saw || code) this.#say(paint("dim", `      ${code}${shorten(step.saw)}`));
  }

  #say(text: string): void {
    if (!this.#isQuiet) this.#terminal.print(text);
  }
}

/** Measurements are 96 digits: enough of each is shown to tell them apart. */
function shorten(text: string): string {
  return text.replace(/\b([0-9a-f]{12})[0-9a-f]{52,}\b/g, "$1…");
}

function codeOf(error: unknown): { code?: string } {
  const refusal = asRefusal(error);
  return refusal ? { code: refusal.code } : {};
}

function asRefusal(error: unknown): Refusal | undefined {
  if (isToolkitError(error) || error instanceof ControlError) return error;
  return undefined;
}

async function refusalOf(attempt: () => Promise<unknown>): Promise<Refusal | undefined> {
  try {
    await attempt();
    return undefined;
  } catch (error) {
    const refusal = asRefusal(error);
    // Anything that is not a refusal by design is a failure of the story, not a success of the defence.
    return refusal ?? { code: "ERR_NOT_A_REFUSAL", message: error instanceof Error ? error.message : String(error) };
  }
}
