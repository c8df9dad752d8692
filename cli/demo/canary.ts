/**
 * Searches what the parent saw for secrets that were planted, in every form they might travel in.
 *
 * The same search must find beacons that are known to have crossed in clear: a search that finds nothing of anything
 * proves nothing.
 *
 * @module
 */

export interface Canary {
  readonly name: string;
  readonly bytes: Uint8Array;
}

export interface Sighting {
  readonly name: string;
  readonly form: string;
}

/** The encodings that a secret is looked for in; base64 at each of its three alignments. */
export function formsOf(bytes: Uint8Array): ReadonlyMap<string, Buffer> {
  const raw = Buffer.from(bytes);
  const hex = raw.toString("hex");
  const forms = new Map<string, Buffer>([
    ["as it is", raw],
    ["reversed", Buffer.from(raw).reverse()],
    ["hex", Buffer.from(hex)],
    ["upper-case hex", Buffer.from(hex.toUpperCase())],
    ["UTF-16", Buffer.from(raw.toString("latin1"), "utf16le")],
  ]);
  for (const shift of [0, 1, 2]) {
    // Whole groups of three bytes that do not touch a neighbour, so that the text is the same whatever surrounds it.
    const start = (3 - shift) % 3;
    const inner = raw.subarray(start, start + Math.floor((raw.length - start) / 3) * 3);
    forms.set(`base64 at offset ${shift}`, Buffer.from(inner.toString("base64")));
    forms.set(`base64url at offset ${shift}`, Buffer.from(inner.toString("base64url")));
  }
  return forms;
}

/** Every canary that stands in `haystack`, with the form it was found in. */
export function search(haystack: Buffer, canaries: readonly Canary[]): Sighting[] {
  return canaries.flatMap(({ name, bytes }) =>
    [...formsOf(bytes)].filter(([, form]) => haystack.includes(form)).map(([form]) => ({ name, form })),
  );
}
