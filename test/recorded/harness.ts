/**
 * Compares an answer with one that was recorded from AWS, binding placeholders on the way.
 *
 *   `<key-id:1>`    a value of that name's form, the same wherever this recording says 1 and another than where it says 2
 *   `<key-arn>`     a value of that form; the one the recipe captured, if it did
 *   `datetime`      a time; `ciphertext-blob`, `<mac>`, …: bytes, at least one
 *   anything else   is that very value, character for character
 *
 * A member too many and a member too few are differences. A recorded object may come as its JSON text, as policies do.
 *
 * @module
 */
export type Recorded = null | boolean | number | string | readonly Recorded[] | { readonly [member: string]: Recorded };

export interface Difference {
  /** Where, e.g. `$.KeyMetadata.Arn`. */
  readonly path: string;
  readonly expected: string;
  readonly actual: string;
}

const UUID = "[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}";
const KEY_ARN = "arn:aws[a-z-]*:kms:[a-z0-9-]+:\\d{12}:key/";
const NAME = "[\\w+=,.@-]{1,128}";
const MATERIAL_ID = "[0-9a-f]{64}";

/** The form of each placeholder's value. Where AWS says KeyId it means an id or an ARN; the binding keeps it one. */
const FORMS: Readonly<Record<string, string>> = {
  "key-id": `(?:${KEY_ARN})?(?:${UUID}|mrk-[0-9a-f]{32})`,
  "key-arn": KEY_ARN + UUID,
  "mrk-key-arn": `${KEY_ARN}mrk-[0-9a-f]{32}`,
  "current-key-material-id": MATERIAL_ID,
  "key-material-id": MATERIAL_ID,
  description: "[\\s\\S]+",
  resource: NAME,
  "role-name": NAME,
  "role-session-name": NAME,
  "role-id": "AROA[A-Z0-9]{16,124}",
  "access-key-id": "ASIA[A-Z2-7]{16}",
  "secret-access-key": "[A-Za-z0-9/+]{40}",
  "session-token": "[A-Za-z0-9/+=]{64,}",
  partition: "aws[a-z-]*",
  region: "[a-z]{2}(?:-[a-z]+)+-\\d",
  "secondary-region": "[a-z]{2}(?:-[a-z]+)+-\\d",
};
const TIMES: ReadonlySet<string> = new Set(["datetime", "<datetime>"]);
const BYTES: ReadonlySet<string> = new Set([
  ...["<signature>", "<mac>", "ciphertext-blob", "plaintext", "public-key", "import-token", "shared-secret"],
  ...["private-key-ciphertext-blob", "private-key-plaintext"],
]);
/** In brackets, so that `split` keeps it. */
const PLACEHOLDER = /(<[a-z-]+(?::\d+)?>)/;

/** What placeholders stand for in one recording. */
export class Bindings {
  readonly #values: Map<string, string>;
  constructor(values: Iterable<readonly [string, string]> = []) {
    this.#values = new Map(values);
  }

  get(placeholder: string): string | undefined {
    return this.#values.get(placeholder);
  }

  /** `undefined` where it is bound; otherwise why it can not be. */
  bind(placeholder: string, value: string): string | undefined {
    const bound = this.#values.get(placeholder);
    if (bound !== undefined) return bound === value ? undefined : `${placeholder} is ${bound}`;
    const family = placeholder.replace(/:\d+>$/, ":");
    for (const [other, taken] of this.#values) {
      if (other.startsWith(family) && taken === value) return `${other} is ${value}, ${placeholder} is another`;
    }
    this.#values.set(placeholder, value);
    return undefined;
  }
}

export interface Pairing {
  readonly expected: Recorded;
  readonly actual: unknown;
  /** What the recipe knows placeholders to stand for: numbered ones in the whole recording, others in this answer. */
  readonly captures?: Readonly<Record<string, string>>;
}

/** Every difference between a recorded answer and an actual one, in the recording's order; none: they agree. */
export function compare({ expected, actual, captures = {} }: Pairing, bindings: Bindings): readonly Difference[] {
  const differences: Difference[] = [];
  for (const [placeholder, value] of Object.entries(captures).filter(([name]) => isNumbered(name))) {
    const problem = bindings.bind(placeholder, value);
    if (problem !== undefined) differences.push({ path: "$", expected: problem, actual: value });
  }
  differences.push(...compareValue({ bindings, captures }, { path: "$", expected, actual }));
  return differences;
}

interface Known {
  readonly bindings: Bindings;
  readonly captures: Readonly<Record<string, string>>;
}
interface Pair<Expected = Recorded> {
  readonly path: string;
  readonly expected: Expected;
  readonly actual: unknown;
}
type Structure = { readonly [member: string]: Recorded };

function* compareValue(known: Known, { path, expected, actual }: Pair): Generator<Difference> {
  const value = typeof expected === "object" && typeof actual === "string" ? parsedJson(actual) : actual;
  if (typeof expected === "string") yield* compareText(known, { path, expected, actual });
  else if (Array.isArray(expected)) yield* compareList(known, { path, expected, actual: value });
  else if (typeof expected === "object" && expected !== null)
    yield* compareMembers(known, { path, expected: expected as Structure, actual: value });
  else if (actual !== expected) yield difference({ path, expected, actual });
}

function* compareMembers(known: Known, { path, expected, actual }: Pair<Structure>): Generator<Difference> {
  if (!isRecord(actual)) return yield difference({ path, expected, actual });
  for (const [name, member] of Object.entries(expected)) {
    const pair = { path: `${path}.${name}`, expected: member, actual: actual[name] };
    if (Object.hasOwn(actual, name)) yield* compareValue(known, pair);
    else yield difference(pair);
  }
  for (const name of Object.keys(actual).filter((member) => !Object.hasOwn(expected, member)))
    yield difference({ path: `${path}.${name}`, expected: undefined, actual: actual[name] });
}

function* compareList(known: Known, { path, expected, actual }: Pair<readonly Recorded[]>): Generator<Difference> {
  if (!Array.isArray(actual) || actual.length !== expected.length) return yield difference({ path, expected, actual });
  for (const [index, element] of expected.entries())
    yield* compareValue(known, { path: `${path}[${index}]`, expected: element, actual: actual[index] });
}

function* compareText(known: Known, { path, expected, actual }: Pair<string>): Generator<Difference> {
  const isTime = actual instanceof Date && !Number.isNaN(actual.getTime());
  const isBytes = actual instanceof Uint8Array && actual.length > 0;
  if (TIMES.has(expected) ? isTime : BYTES.has(expected) && isBytes) return;
  const isText = typeof actual === "string" && !TIMES.has(expected) && !BYTES.has(expected);
  const problem = isText ? textProblem(known, { expected, actual }) : "";
  if (problem !== undefined) yield { ...difference({ path, expected, actual }), expected: shown(expected) + problem };
}

/** `undefined` where the text is what was recorded; otherwise what to add to the report. */
function textProblem({ bindings, captures }: Known, { expected, actual }: Texts): string | undefined {
  const placeholders: string[] = [];
  const pattern = expected.split(PLACEHOLDER).map((part, index) => {
    if (index % 2 === 0) return escaped(part);
    const form = FORMS[part.slice(1, -1).replace(/:\d+$/, "")];
    if (form === undefined) throw new TypeError(`no form is known for the placeholder ${part}`);
    placeholders.push(part);
    return `(${form})`;
  });
  const match = new RegExp(`^${pattern.join("")}$`).exec(actual);
  if (!match) return "";
  for (const [index, placeholder] of placeholders.entries()) {
    const value = match[index + 1] ?? "";
    const known = captures[placeholder] ?? bindings.get(placeholder) ?? value;
    if (known !== value) return ` where ${placeholder} is ${known}`;
    const problem = isNumbered(placeholder) ? bindings.bind(placeholder, value) : undefined;
    if (problem !== undefined) return ` where ${problem}`;
  }
  return undefined;
}

interface Texts {
  readonly expected: string;
  readonly actual: string;
}

function isNumbered(placeholder: string): boolean {
  return /:\d+>$/.test(placeholder);
}

function difference({ path, expected, actual }: Pair<unknown>): Difference {
  return { path, expected: shown(expected), actual: shown(actual) };
}

function shown(value: unknown): string {
  if (value === undefined) return "absent";
  if (value instanceof Uint8Array) return `${value.length} bytes`;
  return JSON.stringify(value);
}

function parsedJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value) && !(value instanceof Uint8Array);
}

function escaped(text: string): string {
  return text.replace(/[\\^$.*+?()[\]{}|/]/g, "\\$&");
}
