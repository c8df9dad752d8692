/**
 * Refuses XML that is more than a signed SAML response needs, in one pass from left to right, before a parser sees it.
 *
 *   not at all   comments, processing instructions, CDATA sections, document types
 *   at most      1 000 elements, 32 levels, 2 000 attributes, 500 of them namespace declarations
 *   tags         closed in order; attributes with quoted values without `<`
 *
 * What reads it afterwards (a parser, XPath, canonicalization) is not linear in these. One XML declaration may stand in
 * front, in UTF-8. Whether the rest is well-formed is the parser's business.
 *
 * Source: XML 1.0 §2.8, §3.1.
 *
 * @module
 */

export const XML_LIMITS = { elements: 1_000, levels: 32, attributes: 2_000, namespaces: 500 } as const;

const DECLARATION =
  /^<\?xml\s+version\s*=\s*(?:"1\.0"|'1\.0')(?:\s+encoding\s*=\s*(?:"utf-8"|'utf-8'))?(?:\s+standalone\s*=\s*(?:"(?:yes|no)"|'(?:yes|no)'))?\s*\?>/i;
// Each is tried at one place only, and none can match the same text in two ways.
const OPEN = /<([^\s<>"'/=!?&]+)/y;
const CLOSE = /<\/([^\s<>"'/=!?&]+)\s*>/y;
const ATTRIBUTE = /\s+([^\s<>"'/=!?&]+)\s*=\s*(?:"[^<"]*"|'[^<']*')/y;
const END = /\s*(\/?)>/y;

/** Gives the text without its declaration. @throws {SyntaxError} */
export function boundedXml(text: string): string {
  const body = text.replace(DECLARATION, "");
  new Scan(body).run();
  return body;
}

class Scan {
  readonly #text: string;
  readonly #open: string[] = [];
  #at = 0;
  #elements = 0;
  #attributes = 0;
  #namespaces = 0;

  constructor(text: string) {
    this.#text = text;
  }

  run(): void {
    for (;;) {
      this.#at = this.#text.indexOf("<", this.#at);
      if (this.#at < 0) break;
      if (this.#text[this.#at + 1] === "/") this.#close();
      else this.#element();
    }
    if (this.#open.length > 0) throw new SyntaxError("an element is not closed");
  }

  #close(): void {
    const [, name] = this.#take(CLOSE) ?? [];
    if (name === undefined || this.#open.pop() !== name) throw new SyntaxError("a tag closes no element");
  }

  #element(): void {
    const [, name] = this.#take(OPEN) ?? [];
    if (name === undefined) throw new SyntaxError("there is markup beside elements");
    this.#count(++this.#elements, "elements");
    for (let found = this.#take(ATTRIBUTE); found; found = this.#take(ATTRIBUTE)) {
      this.#count(++this.#attributes, "attributes");
      if (/^xmlns(?::|$)/.test(found[1] ?? "")) this.#count(++this.#namespaces, "namespaces");
    }
    const [, slash] = this.#take(END) ?? [];
    if (slash === undefined) throw new SyntaxError("a tag is not one");
    if (slash === "/") return;
    this.#open.push(name);
    this.#count(this.#open.length, "levels");
  }

  #count(count: number, what: keyof typeof XML_LIMITS): void {
    if (count > XML_LIMITS[what]) throw new SyntaxError(`more than ${XML_LIMITS[what]} ${what}`);
  }

  #take(pattern: RegExp): RegExpExecArray | null {
    pattern.lastIndex = this.#at;
    const found = pattern.exec(this.#text);
    if (found) this.#at = pattern.lastIndex;
    return found;
  }
}
