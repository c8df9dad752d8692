/**
 * Matches text against the patterns of IAM policies: `*` is any run, `?` is one character, `${key}` is a variable.
 *
 * What a variable stands for is taken literally: a `*` that a caller put into its session name matches a `*` only.
 * No regular expressions: the time is at most pattern length times text length.
 *
 * Source: IAM User Guide, "IAM policy elements: Variables and tags".
 *
 * @module
 */

const ANY = 0;
const ONE = 1;
/** A literal character or a wildcard. */
type Token = string | typeof ANY | typeof ONE;

/** What a policy variable stands for; absent for an unknown or multi-valued key. */
export type VariableLookup = (key: string) => string | undefined;

export interface PatternOptions {
  readonly wildcards: boolean;
  readonly ignoreCase: boolean;
  /** Absent where the policy's version has no variables. */
  readonly variables?: VariableLookup | undefined;
}

/** Whether `text` fits; a pattern with a variable that stands for nothing fits no text. */
export function matchesPattern(pattern: string, text: string, options: PatternOptions): boolean {
  const fold = (value: string): string => (options.ignoreCase ? value.toLowerCase() : value);
  const tokens = tokenize(pattern, options);
  return (
    tokens !== undefined &&
    fits(
      tokens.map((token) => (typeof token === "string" ? fold(token) : token)),
      [...fold(text)],
    )
  );
}

function tokenize(pattern: string, { wildcards, variables }: PatternOptions): Token[] | undefined {
  const tokens: Token[] = [];
  for (const [part] of pattern.matchAll(/\$\{[^}]*\}|./gsu)) {
    if (variables && part.startsWith("${")) {
      const value = expand(part.slice(2, -1), variables);
      if (value === undefined) return undefined;
      tokens.push(...value);
    } else if (wildcards && part === "*") tokens.push(ANY);
    else if (wildcards && part === "?") tokens.push(ONE);
    else tokens.push(...part);
  }
  return tokens;
}

function expand(variable: string, variables: VariableLookup): string | undefined {
  if (["*", "?", "$"].includes(variable)) return variable;
  const [, key = "", fallback] = /^\s*([^\s,']+)\s*(?:,\s*'([^']*)'\s*)?$/.exec(variable) ?? [];
  return variables(key) ?? fallback;
}

/** Greedy with one point to return to: the last `*`. */
function fits(tokens: readonly Token[], text: readonly string[]): boolean {
  let token = 0;
  let at = 0;
  let star = -1;
  let starAt = 0;
  while (at < text.length) {
    if (token < tokens.length && (tokens[token] === ONE || tokens[token] === text[at])) {
      token++;
      at++;
    } else if (tokens[token] === ANY) {
      star = token++;
      starAt = at;
    } else if (star >= 0) {
      token = star + 1;
      at = ++starAt;
    } else return false;
  }
  while (tokens[token] === ANY) token++;
  return token === tokens.length;
}
