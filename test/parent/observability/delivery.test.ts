/** Log lines on their way to a place that is slow, full or away. */
import { describe, expect, test } from "vitest";
import { type DeliveryOptions, deliverTo, type Place, Undeliverable } from "../../../parent/observability/delivery.ts";
import type { LogEntry } from "../../../parent/observability/log-line.ts";
import { turns, until } from "../fixture.ts";
import { Waits } from "./waits.ts";

const entry = (event: string): LogEntry => ({ level: "info", event, fields: {}, truncated: false });
const LINE_BYTES = Buffer.byteLength(
  JSON.stringify({ time: new Date(0).toISOString(), from: "enclave", level: "info", event: "e0", fields: {} }),
);

interface Told {
  readonly event: string;
  readonly from: string;
  readonly count?: number;
}

function bed(options: DeliveryOptions & Partial<Place> = {}) {
  const waits = new Waits();
  const arrived: Told[][] = [];
  const answers: (number | Error)[] = [];
  const under = { waits, arrived, answers, ended: 0, tries: 0 };
  const { cut = (lines) => Math.min(lines.length, 3), lingerMs = 0, lineBytesMax = 10_000, ...delivery } = options;
  const destination = deliverTo(
    {
      cut,
      lingerMs,
      lineBytesMax,
      deliver:
        options.deliver ??
        (async (batch) => {
          under.tries++;
          const answer = answers.shift() ?? 0;
          if (answer instanceof Error) throw answer;
          arrived.push(batch.map(({ text }) => JSON.parse(text) as Told));
          return answer;
        }),
      end: async () => void under.ended++,
    },
    { now: () => 0, sleep: waits.sleep, random: () => 0.5, ...delivery },
  );
  const events = () => arrived.flat().map(({ event, count }) => (count === undefined ? event : `${count} dropped`));
  return Object.assign(under, { destination, events });
}

describe("the way of a log line", () => {
  test("order is kept, over batches of what the place takes at once", async () => {
    const under = bed();
    for (let i = 0; i < 8; i++) under.destination.write(entry(`e${i}`));
    await under.destination.flush();
    expect(under.events()).toEqual(["e0", "e1", "e2", "e3", "e4", "e5", "e6", "e7"]);
    expect(under.arrived.every((batch) => batch.length <= 3)).toBe(true);
  });

  test("a place that is away is tried later and later, with the same batch, at a random moment of the wait", async () => {
    const under = bed();
    under.answers.push(...Array.from({ length: 10 }, () => new Error("away")));
    under.destination.write(entry("e0"));
    while (under.events().length === 0) {
      under.waits.end();
      await turns(1);
    }
    expect(under.waits.asked).toEqual([100, 200, 400, 800, 1_600, 3_200, 6_400, 12_800, 15_000, 15_000]);
    expect(under.events()).toEqual(["e0"]);
    under.answers.push(new Error("away again"));
    under.destination.write(entry("e1"));
    await until(() => under.waits.asked.length === 11);
    expect(under.waits.asked[10]).toBe(100);
    expect(under.destination.dropped()).toBe(0);
  });

  test.each([
    ["lines", { linesMax: 2 }],
    ["bytes", { bytesMax: 2 * LINE_BYTES }],
  ])("a queue full of %s drops what is new, and a line says how much", async (_, limits) => {
    const under = bed(limits);
    under.answers.push(new Error("away"));
    for (let i = 0; i < 5; i++) under.destination.write(entry(`e${i}`));
    await until(() => under.waits.asked.length === 1);
    under.waits.end();
    await until(() => under.events().length === 3);
    expect(under.events()).toEqual(["e0", "e1", "3 dropped"]);
    expect(under.arrived.flat()[2]?.from).toBe("parent");
    expect(under.destination.dropped()).toBe(3);
  });

  test("what was delivered makes room again", async () => {
    const under = bed({ linesMax: 2, bytesMax: 2 * LINE_BYTES });
    for (let i = 0; i < 5; i++) {
      under.destination.write(entry("e0"));
      under.destination.write(entry("e1"));
      await under.destination.flush();
    }
    expect(under.events()).toHaveLength(10);
    expect(under.destination.dropped()).toBe(0);
  });

  test("a line that the place can never take is dropped alone", async () => {
    const under = bed({ lineBytesMax: LINE_BYTES });
    under.destination.write(entry("e0"));
    under.destination.write(entry("longer"));
    under.destination.write(entry("e2"));
    await under.destination.flush();
    expect(under.events()).toEqual(["e0", "1 dropped", "e2"]);
  });

  test("a batch that the place refuses is dropped, and the next goes on", async () => {
    const under = bed();
    under.answers.push(new Undeliverable("never"), 2);
    for (let i = 0; i < 6; i++) under.destination.write(entry(`e${i}`));
    await under.destination.flush();
    expect(under.events()).toEqual(["e3", "e4", "e5"]);
    expect(under.destination.dropped()).toBe(3 + 2);
    expect(under.waits.asked).toEqual([]);
  });

  test("lines gather for a while, unless the batch is full or somebody waits", async () => {
    const under = bed({ lingerMs: 1_000 });
    under.destination.write(entry("e0"));
    await turns(5);
    expect(under.tries).toBe(0);
    under.destination.write(entry("e1"));
    under.waits.end();
    await until(() => under.tries === 1);
    expect(under.events()).toEqual(["e0", "e1"]);
    under.destination.write(entry("e2"));
    await under.destination.flush();
    expect(under.waits.asked).toEqual([1_000]);
    under.destination.write(entry("e3"));
    await until(() => under.waits.asked.length === 2);
    await under.destination.flush();
    expect(under.events()).toEqual(["e0", "e1", "e2", "e3"]);
  });

  test("flush gives up after its time; the lines still wait", async () => {
    const under = bed({ flushTimeoutMs: 20 });
    under.answers.push(...Array.from({ length: 3 }, () => new Error("away")));
    under.destination.write(entry("e0"));
    await under.destination.flush();
    expect(under.events()).toEqual([]);
    expect(under.destination.dropped()).toBe(0);
    under.answers.length = 0;
    under.waits.end();
    await until(() => under.events().length === 1);
  });

  test("close delivers what waits, ends the place once, and takes no more", async () => {
    const under = bed({ lingerMs: 1_000 });
    under.destination.write(entry("e0"));
    await Promise.all([under.destination.close(), under.destination.close()]);
    under.destination.write(entry("late"));
    await turns(5);
    expect(under.events()).toEqual(["e0"]);
    expect(under.ended).toBe(1);
    expect(under.destination.dropped()).toBe(1);
  });

  test("close gives up on a place that does not come back, and counts what it did not take", async () => {
    const under = bed({
      flushTimeoutMs: 20,
      deliver: (_, signal) =>
        new Promise((_resolve, reject) => signal.addEventListener("abort", () => reject(new Error("given up")))),
    });
    for (let i = 0; i < 4; i++) under.destination.write(entry(`e${i}`));
    await under.destination.close();
    expect(under.ended).toBe(1);
    expect(under.destination.dropped()).toBe(4);
  });

  test("what has no JSON form is counted and does not throw", async () => {
    const under = bed();
    const fields = { x: 1n } as unknown as Record<string, string>;
    under.destination.write({ level: "info", event: "e", fields, truncated: false });
    await until(() => under.events().length === 0 && under.destination.dropped() === 1);
  });

  test.each([{ linesMax: 0 }, { bytesMax: 1.5 }, { flushTimeoutMs: Number.NaN }])("%j is a mistake", (options) => {
    expect(() => bed(options)).toThrow(RangeError);
  });
});
