/**
 * Reads YAML in a strict form, and remembers where each field stands.
 *
 *   taken      one document of mappings, sequences, plain scalars of YAML 1.2's core schema
 *   refused    anchors and aliases, tags, merge keys, duplicate keys, keys that are no plain text, several documents,
 *              numbers that are not written in decimal (0443, 0x1bb, 1e3), more than 64 collections in each other
 *
 * What is refused is what two readers understand differently, or what makes much of little. The parser's own messages
 * can quote the file: only its code goes on.
 *
 * Pure: no file is read here. Source: YAML 1.2.2 §3.2.1.3, §10.3.
 *
 * @module
 */
import {
  Composer,
  CST,
  isMap,
  isNode,
  isScalar,
  isSeq,
  Lexer,
  LineCounter,
  type Node,
  Parser,
  type Scalar,
  type YAMLMap,
} from "yaml";
import { ConfigError } from "../../shared/errors/index.ts";

/** A mapping is an object without a prototype: `__proto__` is a name like others. */
export type YamlValue =
  | string
  | number
  | boolean
  | null
  | readonly YamlValue[]
  | { readonly [name: string]: YamlValue };

export interface StrictYaml {
  readonly value: YamlValue;
  /** Where a field stands, `file:line:column`; of one that is not there, where the nearest around it does. */
  place(field: string): string;
}

/** How many collections may be open at once. The package's functions call themselves for each, and a stack has an end. */
const OPEN_MAX = 64;

/**
 * @param path how the file is called in errors
 * @throws {ConfigError} `ERR_CONFIG_SYNTAX`
 */
export function parseStrictYaml(text: string, { path }: { readonly path: string }): StrictYaml {
  const lines = new LineCounter();
  const reader = new Reader(path, lines);
  // Its own look for keys that come twice compares each with each: the reader does it.
  const composer = new Composer({
    ...{ version: "1.2", schema: "core", strict: true, uniqueKeys: false, merge: false, keepSourceTokens: false },
    ...{ prettyErrors: false, lineCounter: lines, logLevel: "error" },
  });
  const [document, second] = composer.compose(shallowTokens(text, lines, reader), true, text.length);
  const [fault] = [...(document?.errors ?? []), ...(document?.warnings ?? [])];
  if (fault) throw reader.refuse(fault.pos[0], RULES[fault.code] ?? `not YAML (${fault.code})`);
  if (second) throw reader.refuse(second.range[0], "a configuration is one document");
  const value = document?.contents ? reader.read(document.contents, "") : null;
  return { value, place: (field) => reader.place(field) };
}

const RULES: Readonly<Record<string, string>> = {
  TAB_AS_INDENT: "indentation is by spaces",
  BAD_INDENT: "another indentation than the lines before",
};

/** The syntax of a text, token by token, and no further than to the first collection that is too deep. */
function* shallowTokens(text: string, lines: LineCounter, reader: Reader): Generator<CST.Token> {
  const parser = new Parser(lines.addNewLine);
  lines.addNewLine(0);
  for (const lexeme of new Lexer().lex(text)) {
    yield* parser.next(lexeme);
    const tooDeep = parser.stack.filter(CST.isCollection)[OPEN_MAX];
    if (tooDeep) throw reader.refuse(tooDeep.offset, `more than ${OPEN_MAX} collections in each other`);
  }
  yield* parser.end();
}

class Reader {
  readonly #path: string;
  readonly #lines: LineCounter;
  readonly #offsets = new Map<string, number>();

  constructor(path: string, lines: LineCounter) {
    this.#path = path;
    this.#lines = lines;
  }

  read(node: Node, field: string): YamlValue {
    const at = startOf(node);
    if (!this.#offsets.has(field)) this.#offsets.set(field, at);
    if (isScalar(node)) return this.#readScalar(node);
    this.#refuseProperties(node);
    if (isMap(node)) return this.#readMap(node, field);
    if (!isSeq(node)) throw this.refuse(at, "aliases are not taken");
    return node.items.map((item, index) => {
      if (!isNode(item)) throw this.refuse(at, "an item is a value");
      return this.read(item, `${field}[${index}]`);
    });
  }

  #readMap(node: YAMLMap, field: string): YamlValue {
    const value: Record<string, YamlValue> = Object.create(null);
    const names = new Set<string>();
    for (const { key, value: member } of node.items) {
      const at = startOf(isNode(key) ? key : node);
      const name = isScalar(key) ? this.#readScalar(key) : undefined;
      if (typeof name !== "string") throw this.refuse(at, "a key is plain text");
      // YAML 1.1's merge: other readers would put another mapping here.
      if (name === "<<") throw this.refuse(at, "merge keys are not taken");
      if (names.has(name)) throw this.refuse(at, "a key comes once");
      names.add(name);
      const path = field === "" ? name : `${field}.${name}`;
      this.#offsets.set(path, at);
      value[name] = isNode(member) ? this.read(member, path) : null;
    }
    return value;
  }

  #readScalar(node: Scalar): YamlValue {
    this.#refuseProperties(node);
    const { value, source = "" } = node;
    if (typeof value === "number") {
      const isPlain = /^-?(0|[1-9][0-9]{0,15})(\.[0-9]{1,15})?$/.test(source);
      const rule = "a number is written in decimal, without leading zeros or an exponent";
      if (!isPlain) throw this.refuse(startOf(node), rule);
    }
    if (typeof value === "string" || typeof value === "number" || typeof value === "boolean" || value === null) {
      return value;
    }
    throw this.refuse(startOf(node), "not a value");
  }

  #refuseProperties(node: Node): void {
    if ("anchor" in node && node.anchor !== undefined) throw this.refuse(startOf(node), "anchors are not taken");
    if (node.tag !== undefined) throw this.refuse(startOf(node), "tags are not taken");
  }

  place(field: string): string {
    for (let name = field; name !== ""; name = name.replace(/(^|\.)[^.[\]]+$|\[[0-9]+\]$|.$/, "")) {
      const offset = this.#offsets.get(name);
      if (offset !== undefined) return this.#format(offset);
    }
    return this.#format(this.#offsets.get("") ?? 0);
  }

  refuse(offset: number, rule: string): ConfigError {
    const { line, col } = this.#lines.linePos(offset);
    return new ConfigError("ERR_CONFIG_SYNTAX", {
      path: this.#path,
      line: Math.max(1, line),
      column: Math.max(1, col),
      rule,
    });
  }

  #format(offset: number): string {
    const { line, col } = this.#lines.linePos(offset);
    return `${this.#path}:${Math.max(1, line)}:${Math.max(1, col)}`;
  }
}

function startOf(node: Node): number {
  return node.range?.[0] ?? 0;
}
