/**
 * A coverage-guided fuzzer in this process: mutates a corpus, and keeps what reaches code that nothing reached before.
 *
 *   seeded xorshift → one to four mutations of a corpus entry → run the target → V8's precise block coverage
 *
 * Coverage is taken for a batch of inputs, since taking it costs as much as many runs; a batch that found something new
 * is run again one by one. A finding is whatever the target throws. Time is the only limit that is not reproducible:
 * with the same seed and corpus the inputs come in the same order.
 *
 * Ours, since jazzer.js needs a newer glibc than Debian 12 has; targets keep its form, `(data) => void`.
 *
 * @module
 */
import { Session } from "node:inspector/promises";

export interface FuzzTarget {
  readonly name: string;
  /** Valid inputs to start from. */
  readonly seeds: () => Promise<readonly Uint8Array[]>;
  /** Throws only for a finding: refusals by design are caught inside. */
  readonly run: (data: Uint8Array) => void | Promise<void>;
  /** Which sources count as new ground. */
  readonly covers: RegExp;
}

export interface FuzzOptions {
  readonly seconds: number;
  readonly seed: number;
  readonly corpus: readonly Uint8Array[];
}

export interface FuzzReport {
  readonly runs: number;
  /** Blocks reached, counted by how often in powers of two. */
  readonly blocks: number;
  /** Inputs that reached something new, beyond the corpus. */
  readonly added: readonly Uint8Array[];
  readonly findings: readonly { readonly input: Uint8Array; readonly error: unknown }[];
}

const BATCH = 64;
const INPUT_MAX = 40_000;
const FINDINGS_MAX = 3;

/** Values at which length and tag bytes change their meaning. */
const INTERESTING = [
  0, 1, 0x17, 0x18, 0x19, 0x1a, 0x1b, 0x1c, 0x1f, 0x20, 0x30, 0x31, 0x3f, 0x40, 0x58, 0x59, 0x5b, 0x5f, 0x7f, 0x80,
  0x81, 0x82, 0x84, 0x85, 0x9f, 0xa0, 0xa3, 0xbf, 0xd2, 0xf6, 0xf7, 0xfb, 0xff,
];

/** Marsaglia's xorshift32: small, seeded, good enough to choose mutations by. */
export function xorshift(seed: number): (below: number) => number {
  let state = seed | 0 || 1;
  return (below) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % below;
  };
}

type Random = ReturnType<typeof xorshift>;

export function mutate(input: Uint8Array, other: Uint8Array, random: Random): Uint8Array {
  let bytes = input;
  for (let rounds = 1 + random(4); rounds > 0; rounds--) bytes = mutateOnce(bytes, other, random);
  return bytes.length > INPUT_MAX ? bytes.slice(0, INPUT_MAX) : bytes;
}

function mutateOnce(input: Uint8Array, other: Uint8Array, random: Random): Uint8Array {
  if (input.length === 0) return Uint8Array.of(random(256));
  const at = random(input.length);
  const length = 1 + random(Math.min(64, input.length - at));
  const splice = (insert: Uint8Array, remove: number): Uint8Array =>
    Uint8Array.from([...input.subarray(0, at), ...insert, ...input.subarray(at + remove)]);
  switch (random(9)) {
    case 0:
      return input.with(at, (input[at] ?? 0) ^ (1 << random(8)));
    case 1:
      return input.with(at, random(256));
    case 2:
      return input.with(at, INTERESTING[random(INTERESTING.length)] ?? 0);
    case 3:
      return splice(new Uint8Array(0), length);
    case 4:
      return splice(Uint8Array.of(INTERESTING[random(INTERESTING.length)] ?? 0), 0);
    case 5:
      return splice(input.subarray(at, at + length), 0);
    case 6: {
      const from = random(other.length || 1);
      return splice(other.subarray(from, from + 1 + random(64)), random(2) * length);
    }
    case 7:
      return input.slice(0, at);
    default:
      return input.with(at, ((input[at] ?? 0) + (random(2) === 0 ? 1 : 255)) & 0xff);
  }
}

export async function fuzz(target: FuzzTarget, { seconds, seed, corpus }: FuzzOptions): Promise<FuzzReport> {
  const coverage = await Coverage.start(target.covers);
  const random = xorshift(seed);
  const pool = [...(await target.seeds()), ...corpus];
  const added: Uint8Array[] = [];
  const findings: { input: Uint8Array; error: unknown }[] = [];
  let runs = 0;
  const run = async (input: Uint8Array): Promise<void> => {
    runs++;
    try {
      await target.run(input);
    } catch (error) {
      findings.push({ input, error });
    }
  };
  try {
    for (const input of pool) await run(input);
    await coverage.hasGrown();
    const deadline = performance.now() + seconds * 1_000;
    while (performance.now() < deadline && findings.length < FINDINGS_MAX) {
      const pick = (): Uint8Array => pool[random(pool.length)] ?? new Uint8Array(0);
      const batch = Array.from({ length: BATCH }, () => mutate(pick(), pick(), random));
      for (const input of batch) await run(input);
      if (!(await coverage.mayGrow())) continue;
      for (const input of batch) {
        await run(input);
        if (await coverage.hasGrown()) {
          pool.push(input);
          added.push(input);
        }
      }
    }
    return { runs, blocks: coverage.size, added, findings };
  } finally {
    await coverage.stop();
  }
}

/** Blocks of the covered sources that have run, each with how often, in powers of two. */
class Coverage {
  readonly #session: Session;
  readonly #covers: RegExp;
  readonly #seen = new Set<string>();

  private constructor(session: Session, covers: RegExp) {
    this.#session = session;
    this.#covers = covers;
  }

  static async start(covers: RegExp): Promise<Coverage> {
    const session = new Session();
    session.connect();
    await session.post("Profiler.enable");
    await session.post("Profiler.startPreciseCoverage", { callCount: true, detailed: true });
    return new Coverage(session, covers);
  }

  get size(): number {
    return this.#seen.size;
  }

  /** Whether the runs since the last call reached something new; remembers it. */
  async hasGrown(): Promise<boolean> {
    const before = this.#seen.size;
    for (const block of await this.#take()) this.#seen.add(block);
    return this.#seen.size > before;
  }

  /** The same without remembering. */
  async mayGrow(): Promise<boolean> {
    return (await this.#take()).some((block) => !this.#seen.has(block));
  }

  async stop(): Promise<void> {
    await this.#session.post("Profiler.stopPreciseCoverage");
    this.#session.disconnect();
  }

  async #take(): Promise<string[]> {
    const { result } = await this.#session.post("Profiler.takePreciseCoverage");
    return result
      .filter(({ url }) => this.#covers.test(url))
      .flatMap(({ url, functions }) =>
        functions.flatMap(({ ranges }) =>
          ranges
            .filter(({ count }) => count > 0)
            .map(({ startOffset, endOffset }) => `${url}:${startOffset}-${endOffset}`),
        ),
      );
  }
}
