/**
 * Matches text against the patterns of IAM policies: `*` is any run, `?` is one character, `${key}` is a variable.
 *
 * `${key, 'text'}` stands for the text where the key has no value; `${*}`, `${?}` and `${$}` are the characters. What a
 * variable stands for is taken literally: a `*` that a caller put into its session name matches a `*` only. A `${` that
 * nothing closes is text. In a policy of version 2008-10-17 all of this is text, and a `*` in it a wildcard.
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
  if (options.wildcards && pattern === "*") return true;
  if (!/[*?$]/.test(pattern)) return fold(pattern) === fold(text);
  const tokens = tokenize(pattern, options, fold);
  return tokens !== undefined && fits(tokens, [...fold(text)]);
}

/** Whether each variable in the pattern stands for something. */
export function isResolvable(pattern: string, variables: VariableLookup | undefined): boolean {
  if (!variables) return true;
  return pieces(pattern).every((piece) => !isVariable(piece) || expand(piece, variables) !== undefined);
}

function tokenize(
  pattern: string,
  { wildcards, variables }: PatternOptions,
  fold: (value: string) => string,
): Token[] | undefined {
  const tokens: Token[] = [];
  for (const piece of variables ? pieces(pattern) : [pattern]) {
    if (variables && isVariable(piece)) {
      const value = expand(piece, variables);
      if (value === undefined) return undefined;
      for (const character of fold(value)) tokens.push(character);
    } else
      for (const character of fold(piece)) {
        if (wildcards && character === "*") tokens.push(ANY);
        else if (wildcards && character === "?") tokens.push(ONE);
        else tokens.push(character);
      }
  }
  return tokens;
}

/** Cuts a pattern into variables and the texts between them. */
function pieces(pattern: string): readonly string[] {
  const found: string[] = [];
  let at = 0;
  while (at < pattern.length) {
    const open = pattern.indexOf("${", at);
    const close = open < 0 ? -1 : pattern.indexOf("}", open);
    if (close < 0) return [...found, pattern.slice(at)];
    found.push(pattern.slice(at, open), pattern.slice(open, close + 1));
    at = close + 1;
  }
  return found;
}

function isVariable(piece: string): boolean {
  return piece.startsWith("${") && piece.endsWith("}");
}

function expand(piece: string, variables: VariableLookup): string | undefined {
  const variable = piece.slice(2, -1);
  if (["*", "?", "$"].includes(variable)) return variable;
  const comma = variable.indexOf(",");
  if (comma < 0) return variables(variable.trim());
  return variables(variable.slice(0, comma).trim()) ?? /^'([^']*)'$/.exec(variable.slice(comma + 1).trim())?.[1];
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
