/**
 * What the suites use of vitest, for places without it: a guest has no node_modules. `bundle.mjs` puts this module in
 * vitest's place.
 *
 * It only registers: a tree of groups, each with hooks and tests, that `run-tests.ts` walks. `expect` is vitest's own.
 *
 * @module
 */
import { format } from "node:util";
import {
  ASYMMETRIC_MATCHERS_OBJECT,
  chai,
  getState,
  JestAsymmetricMatchers,
  JestChaiExpect,
  JestExtend,
  setState,
} from "@vitest/expect";
import { fakeTimers } from "./fake-timers.ts";

type Body = (...row: unknown[]) => unknown;
type Hook = () => unknown;

export interface Test {
  readonly name: string;
  readonly body: Hook;
  readonly skipped: boolean;
  readonly timeoutMs: number | undefined;
}

export interface Group {
  readonly name: string;
  readonly skipped: boolean;
  readonly children: (Group | Test)[];
  readonly hooks: Readonly<Record<HookKind, Hook[]>>;
}

type HookKind = "beforeAll" | "afterAll" | "beforeEach" | "afterEach";

function makeGroup(name: string, skipped: boolean): Group {
  return { name, skipped, children: [], hooks: { beforeAll: [], afterAll: [], beforeEach: [], afterEach: [] } };
}

/** Everything that was registered. */
export const root: Group = makeGroup("", false);
let current = root;

type Options = number | { readonly timeout?: number } | undefined;
type Declare = (name: string, first?: Body | Options, second?: Body | Options) => void;

interface Declarer extends Declare {
  readonly each: (rows: readonly unknown[]) => Declare;
  readonly skipIf: (condition: unknown) => Declarer;
  readonly runIf: (condition: unknown) => Declarer;
  readonly skip: Declarer;
}

type Register = (name: string, skipped: boolean, body: Hook, timeoutMs: number | undefined) => void;

function declarer(register: Register, skipped = false): Declarer {
  const declare = (name: string, row: readonly unknown[], first?: Body | Options, second?: Body | Options): void => {
    const [body, options] = typeof first === "function" ? [first, second] : [second, first];
    if (typeof body !== "function") throw new TypeError(`"${name}" has no body`);
    const timeoutMs = typeof options === "number" ? options : (options as { timeout?: number } | undefined)?.timeout;
    register(name, skipped, () => body(...row), timeoutMs);
  };
  const each =
    (rows: readonly unknown[]): Declare =>
    (name, first, second) => {
      for (const row of rows) declare(titleOf(name, row), Array.isArray(row) ? row : [row], first, second);
    };
  const skipIf = (condition: unknown): Declarer => declarer(register, skipped || Boolean(condition));
  const plain: Declare = (name, first, second) => declare(name, [], first, second);
  const runIf = (condition: unknown): Declarer => skipIf(!condition);
  const declared = Object.assign(plain, { each, skipIf, runIf });
  return Object.defineProperty(declared, "skip", { get: () => skipIf(true) }) as Declarer;
}

/** `%s`, `%d`, … by place, `$key` of a row that is an object. */
function titleOf(name: string, row: unknown): string {
  const values = Array.isArray(row) ? row : [row];
  const placeholders = name.match(/%[sdifjoO]/g)?.length ?? 0;
  const title = format(name, ...values.slice(0, placeholders));
  if (typeof row !== "object" || row === null || Array.isArray(row)) return title;
  return title.replace(/\$(\w+)/g, (whole, key: string) => (key in row ? String(Reflect.get(row, key)) : whole));
}

export const test: Declarer = declarer((name, skipped, body, timeoutMs) => {
  current.children.push({ name, skipped, body, timeoutMs });
});
export const it: Declarer = test;

export const describe: Declarer = declarer((name, skipped, body) => {
  const outer = current;
  const group = makeGroup(name, skipped);
  outer.children.push(group);
  current = group;
  try {
    if (body() instanceof Promise) throw new TypeError(`the body of "${name}" is asynchronous`);
  } finally {
    current = outer;
  }
});

const hook =
  (kind: HookKind) =>
  (body: Hook): void => {
    current.hooks[kind].push(body);
  };
export const beforeAll: (body: Hook) => void = hook("beforeAll");
export const afterAll: (body: Hook) => void = hook("afterAll");
export const beforeEach: (body: Hook) => void = hook("beforeEach");
export const afterEach: (body: Hook) => void = hook("afterEach");

chai.use(JestExtend);
chai.use(JestChaiExpect);
chai.use(JestAsymmetricMatchers);

function makeExpect(): unknown {
  const assert = (value: unknown, message?: string): unknown => chai.expect(value, message);
  Object.assign(assert, chai.expect, Reflect.get(globalThis, ASYMMETRIC_MATCHERS_OBJECT));
  const state = assert as unknown as Parameters<typeof getState>[0];
  setState({ assertionCalls: 0, isExpectingAssertions: false, expectedAssertionsNumber: null }, state);
  return Object.assign(assert, {
    getState: () => getState(state),
    setState: (to: object) => setState(to, state),
    unreachable: (message?: string): never => chai.assert.fail(message ?? "this place must not be reached"),
  });
}

export const expect: unknown = makeExpect();
export const vi: typeof fakeTimers = fakeTimers;
