/**
 * One page of a list: as many as asked for, and where the next one begins.
 *
 * A marker is opaque and names the last item given, so a list that changes between two calls neither repeats nor jumps.
 *
 * Source: KMS API Reference, "Limit", "Marker", "InvalidMarkerException".
 *
 * @module
 */
import { AwsFault } from "../fault.ts";

export interface Page<Item> {
  readonly page: readonly Item[];
  readonly Truncated: boolean;
  readonly NextMarker?: string;
}

export interface PageForm<Item> {
  readonly idOf: (item: Item) => string;
  readonly defaultLimit: number;
  /** Whoever asks for more gets so many; the model's 1000 if absent. */
  readonly maxLimit?: number;
}

/** `items` sorted by what `idOf` gives. @throws {AwsFault} `InvalidMarkerException` */
export function paginate<Item>(
  items: readonly Item[],
  { Limit: limit, Marker: marker }: { readonly Limit?: number | undefined; readonly Marker?: string | undefined },
  { idOf, defaultLimit, maxLimit = 1000 }: PageForm<Item>,
): Page<Item> {
  const sorted = [...items].sort((a, b) => (idOf(a) < idOf(b) ? -1 : 1));
  const after = marker === undefined ? undefined : readMarker(marker);
  const start = after === undefined ? 0 : sorted.findIndex((item) => idOf(item) > after);
  const rest = start < 0 ? [] : sorted.slice(start);
  const page = rest.slice(0, Math.min(limit ?? defaultLimit, maxLimit));
  const last = page.at(-1);
  if (page.length === rest.length || last === undefined) return { page, Truncated: false };
  return { page, Truncated: true, NextMarker: Buffer.from(`after ${idOf(last)}`).toString("base64") };
}

function readMarker(marker: string): string {
  const bytes = Buffer.from(marker, "base64");
  const text = bytes.toString();
  if (bytes.toString("base64") !== marker || !text.startsWith("after ")) throw new AwsFault("InvalidMarkerException");
  return text.slice("after ".length);
}
