/**
 * The canary method: unique secrets of 32 bytes are planted, every sink is kept, and all that was kept is searched.
 *
 *   plant    a secret, or a beacon: something of the same make that the sinks are expected to show
 *   note     a value in all the forms in which a log, a crash or a debugger would write it
 *   end      which secrets were found, where, in which form; every sink must have shown its beacon
 *
 * A search that would find nothing of anything proves nothing: a sink without its beacon is a fault of the test.
 *
 * @module
 */
import { randomBytes } from "node:crypto";
import { subscribe, unsubscribe } from "node:diagnostics_channel";
import { inspect } from "node:util";
import { expect, vi } from "vitest";
import { type Canary, formsOf } from "../../cli/demo/canary.ts";

/** A canary that is text as well, so that it is found wherever text is quoted. */
export interface TextCanary extends Canary {
  readonly text: string;
}

/** 32 letters and digits: what any field of text takes. */
export function plant(name: string): TextCanary {
  const text = randomBytes(64)
    .toString("base64")
    .replace(/[^A-Za-z0-9]/g, "")
    .slice(0, 32);
  return { name, text, bytes: new Uint8Array(Buffer.from(text)) };
}

/** Bytes that a test did not choose: a private key's, or a data key's. */
export function plantBytes(name: string, bytes: Uint8Array): Canary {
  return { name, bytes: Uint8Array.from(bytes) };
}

/** The shortest piece that is looked for: V8 quotes ten characters around a fault in JSON. */
const PIECE_BYTES = 8;

/** Whole and in halves in each encoding; in shorter pieces as it is, in hex and in base64. */
export function needlesOf({ bytes }: Pick<Canary, "bytes">): ReadonlyMap<string, Buffer> {
  const needles = new Map<string, Buffer>();
  const middle = bytes.length / 2;
  for (const [part, piece] of [
    ["whole", bytes],
    ["first half", bytes.subarray(0, middle)],
    ["second half", bytes.subarray(middle)],
  ] as const) {
    for (const [form, needle] of encodingsOf(piece)) needles.set(`${part}, ${form}`, needle);
  }
  for (let at = 0; at + PIECE_BYTES <= bytes.length; at += PIECE_BYTES / 2) {
    const piece = Buffer.from(bytes.subarray(at, at + PIECE_BYTES));
    needles.set(`8 bytes at ${at}`, piece);
    needles.set(`8 bytes at ${at}, hex`, Buffer.from(piece.toString("hex")));
  }
  for (const [form, text] of formsOf(bytes)) {
    if (!form.startsWith("base64")) continue;
    for (let at = 0; at + PIECE_BYTES <= text.length; at += 2) {
      needles.set(`8 characters at ${at} of ${form}`, text.subarray(at, at + PIECE_BYTES));
    }
  }
  return needles;
}

function encodingsOf(bytes: Uint8Array): ReadonlyMap<string, Buffer> {
  const raw = Buffer.from(bytes);
  const [hex, latin1] = [raw.toString("hex"), raw.toString("latin1")];
  return new Map([
    ...formsOf(raw),
    ["UTF-16, big-endian", Buffer.from(latin1, "utf16le").swap16()],
    ["reversed hex", Buffer.from([...hex].reverse().join(""))],
    ["numbers", Buffer.from(raw.join(","))],
    ["percent-encoded", Buffer.from(hex.replace(/../g, "%$&"))],
    ["in JSON", Buffer.from(JSON.stringify(latin1).slice(1, -1))],
    ["as inspect quotes it", Buffer.from(inspect(latin1).slice(1, -1))],
  ]);
}

/** The same text as it is; without line breaks, spaces and the seams of long strings; without the indexes of arrays. */
function viewsOf(haystack: Buffer): readonly Buffer[] {
  const text = haystack.toString("latin1");
  const dense = text.replace(/['"`]\s*\+\s*['"`]/g, "").replace(/\\n|\s+/g, "");
  const values = dense.replace(/"?\d+"?:(?=\d)/g, "");
  return [haystack, Buffer.from(dense, "latin1"), Buffer.from(values, "latin1")];
}

/** Every canary that stands in `haystack`, in whatever form. */
export function sightings(haystack: Buffer | string, canaries: readonly Pick<Canary, "name" | "bytes">[]): string[] {
  const views = viewsOf(Buffer.isBuffer(haystack) ? haystack : Buffer.from(haystack));
  return canaries.flatMap((canary) =>
    [...needlesOf(canary)]
      .filter(([, needle]) => views.some((view) => view.includes(needle)))
      .map(([form]) => `${canary.name}: ${form}`),
  );
}

/** As a log, a crash or a debugger would write it. */
export function writtenOut(value: unknown): string {
  const seen = new Set<unknown>();
  const lines: string[] = [];
  const write = (part: unknown): void => {
    if (seen.has(part)) return;
    seen.add(part);
    const all = { showHidden: true, depth: Number.POSITIVE_INFINITY, maxArrayLength: null, maxStringLength: null };
    lines.push(
      typeof part === "string" ? part : inspect(part, all),
      attempt(() => JSON.stringify(part)),
      attempt(() => String(part)),
    );
    if (!(part instanceof Error)) return;
    lines.push(part.message, part.stack ?? "");
    for (const inner of [part.cause, ...(part instanceof AggregateError ? part.errors : [])]) write(inner);
  };
  write(value);
  return lines.join("\n");
}

function attempt(say: () => string | undefined): string {
  try {
    return say() ?? "";
  } catch (error) {
    return inspect(error);
  }
}

/** The channels on which Node and undici tell of requests. */
const CHANNELS = [
  ...["http.client.request.start", "http.client.request.error", "http.client.response.finish"],
  ...["http.server.request.start", "http.server.response.finish", "net.client.socket", "net.server.socket"],
  ...["undici:request:create", "undici:request:headers", "undici:request:error"],
];

export class Hunt {
  readonly #secrets: readonly Canary[];
  readonly #sinks = new Map<string, string[]>();
  readonly #stop: (() => void)[] = [];

  /** Console and warnings are kept from here on. */
  constructor(...secrets: readonly Canary[]) {
    this.#secrets = secrets;
    for (const method of ["log", "info", "warn", "error", "debug", "trace"] as const) {
      const spy = vi.spyOn(console, method).mockImplementation((...said) => this.note("console", said));
      this.#stop.push(() => spy.mockRestore());
    }
    const onWarning = (warning: Error): void => this.note("warnings", warning);
    process.on("warning", onWarning);
    this.#stop.push(() => void process.off("warning", onWarning));
  }

  /** Keeps what Node's diagnostics channels tell, at the moment they tell it. */
  keepDiagnostics(): void {
    const onMessage = (message: unknown): void => this.note("diagnostics", message);
    for (const name of CHANNELS) {
      subscribe(name, onMessage);
      this.#stop.push(() => void unsubscribe(name, onMessage));
    }
  }

  note(sink: string, value: unknown): void {
    this.#sinks.set(sink, [...(this.#sinks.get(sink) ?? []), writtenOut(value)]);
  }

  noteBytes(sink: string, bytes: Uint8Array): void {
    this.#sinks.set(sink, [...(this.#sinks.get(sink) ?? []), Buffer.from(bytes).toString("latin1")]);
  }

  /** The value of a promise, or what it was rejected with; kept either way. */
  async noteOutcome(sink: string, outcome: Promise<unknown>): Promise<unknown> {
    const settled = await outcome.catch((error: unknown) => error);
    this.note(sink, settled);
    return settled;
  }

  /** Node's report of this process, with an error that ended it. */
  noteReport(error: Error): void {
    this.note("report", JSON.stringify(process.report.getReport(error)));
  }

  /**
   * Fails where a secret was seen, or where a beacon was not.
   *
   * @param beacons what each sink is expected to show; sinks without one are searched all the same
   */
  end(beacons: Readonly<Record<string, Canary>>): void {
    for (const stop of this.#stop.splice(0)) stop();
    const textOf = (sink: string): Buffer => Buffer.from((this.#sinks.get(sink) ?? []).join("\n"), "latin1");
    const unlit = Object.entries(beacons).filter(([sink, beacon]) => sightings(textOf(sink), [beacon]).length === 0);
    expect(
      unlit.map(([sink]) => sink),
      "sinks that show no beacon",
    ).toEqual([]);
    const found = [...this.#sinks.keys()].flatMap((sink) => {
      const first = new Map(sightings(textOf(sink), this.#secrets).map((each) => [each.split(":")[0], each]));
      return [...first.values()].map((sighting) => `${sink}: ${sighting}`);
    });
    expect(found).toEqual([]);
  }
}
