/**
 * Reads YAML in a strict form, and remembers where each field stands.
 *
 *   taken      one document of mappings, sequences, plain scalars of YAML 1.2's core schema
 *   refused    anchors and aliases, tags, merge keys, duplicate keys, keys that are no plain text, several documents,
 *              numbers that are not written in decimal (0443, 0x1bb, 1e3), nesting deeper than a configuration has
 *
 * What is refused is what two readers understand differently, or what makes much of little. The parser's own messages
 * can quote the file: only its code goes on.
 *
 * Pure: no file is read here. Source: YAML 1.2.2 §3.2.1.3, §10.3.
 *
 * @module
 */
import { isMap, isNode, isScalar, isSeq, LineCounter, type Node, parseDocument, type YAMLMap } from "yaml";
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

const DEPTH_MAX = 16;
/** A parser of another's recursion: what nests deeper than a thousand is not shown to it. */
const NESTING_MAX = 1_000;

/**
 * @param path how the file is called in errors
 * @throws {ConfigError} `ERR_CONFIG_SYNTAX`
 */
export function parseStrictYaml(text: string, { path }: { readonly path: string }): StrictYaml {
  const lines = new LineCounter();
  const reader = new Reader(path, lines);
  refuseDeepNesting(text, reader);
  const document = parseDocument(text, {
    ...{ version: "1.2", schema: "core", strict: true, uniqueKeys: true, merge: false, keepSourceTokens: false },
    ...{ prettyErrors: false, lineCounter: lines, logLevel: "error" },
  });
  const [fault] = [...document.errors, ...document.warnings];
  if (fault) throw reader.refuse(fault.pos[0], RULES[fault.code] ?? `not YAML (${fault.code})`);
  const value = document.contents === null ? null : reader.read(document.contents, "", 0);
  return { value, place: (field) => reader.place(field) };
}

const RULES: Readonly<Record<string, string>> = {
  DUPLICATE_KEY: "a key comes once",
  MULTIPLE_DOCS: "a configuration is one document",
  TAB_AS_INDENT: "indentation is by spaces",
  BAD_INDENT: "another indentation than the lines before",
};

class Reader {
  readonly #path: string;
  readonly #lines: LineCounter;
  readonly #offsets = new Map<string, number>();

  constructor(path: string, lines: LineCounter) {
    this.#path = path;
    this.#lines = lines;
  }

  read(node: Node, field: string, depth: number): YamlValue {
    const at = node.range?.[0] ?? 0;
    if (!this.#offsets.has(field)) this.#offsets.set(field, at);
    if ("anchor" in node && node.anchor !== undefined) throw this.refuse(at, "anchors are not taken");
    if (node.tag !== undefined) throw this.refuse(at, "tags are not taken");
    if (depth > DEPTH_MAX) throw this.refuse(at, `nested deeper than ${DEPTH_MAX}`);
    if (isMap(node)) return this.#readMap(node, field, depth);
    if (isSeq(node)) {
      return node.items.map((item, index) => {
        if (!isNode(item)) throw this.refuse(at, "an item is a value");
        return this.read(item, `${field}[${index}]`, depth + 1);
      });
    }
    if (!isScalar(node)) throw this.refuse(at, "aliases are not taken");
    return this.#readScalar(node.value, { at, source: node.source ?? "" });
  }

  #readMap(node: YAMLMap, field: string, depth: number): YamlValue {
    const value: Record<string, YamlValue> = Object.create(null);
    for (const { key, value: member } of node.items) {
      const at = (isNode(key) ? key.range?.[0] : undefined) ?? node.range?.[0] ?? 0;
      const name = isNode(key) ? this.read(key, `${field}.(key)`, depth + 1) : undefined;
      this.#offsets.delete(`${field}.(key)`);
      if (typeof name !== "string") throw this.refuse(at, "a key is plain text");
      // YAML 1.1's merge: other readers would put another mapping here.
      if (name === "<<") throw this.refuse(at, "merge keys are not taken");
      const path = field === "" ? name : `${field}.${name}`;
      this.#offsets.set(path, at);
      value[name] = isNode(member) ? this.read(member, path, depth + 1) : null;
    }
    return value;
  }

  #readScalar(value: unknown, { at, source }: { readonly at: number; readonly source: string }): YamlValue {
    if (typeof value === "number") {
      const isPlain = /^-?(0|[1-9][0-9]{0,15})(\.[0-9]{1,15})?$/.test(source);
      if (!isPlain) throw this.refuse(at, "a number is written in decimal, without leading zeros or an exponent");
    }
    if (typeof value === "string" || typeof value === "number" || typeof value === "boolean" || value === null) {
      return value;
    }
    throw this.refuse(at, "not a value");
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

/** The parser calls itself for each bracket that is open, and each step of indentation; a stack has an end. */
function refuseDeepNesting(text: string, reader: Reader): void {
  let open = 0;
  for (const bracket of text.match(/[[{\]}]/g) ?? []) {
    open = bracket === "[" || bracket === "{" ? open + 1 : Math.max(0, open - 1);
    if (open > NESTING_MAX) throw reader.refuse(0, "too much nesting");
  }
  const isDeep = text.split("\n").some((line) => (/^[ \-?:]*/.exec(line)?.[0].length ?? 0) > NESTING_MAX);
  if (isDeep) throw reader.refuse(0, "too much nesting");
}
