/** The search itself: it finds a canary in each form it could hide in, and nothing where nothing is. */
import { randomBytes } from "node:crypto";
import { inspect } from "node:util";
import { afterEach, describe, expect, test, vi } from "vitest";
import { Hunt, plant, plantBytes, sightings, writtenOut } from "./hunt.ts";

const text = plant("text");
const binary = plantBytes("binary", randomBytes(32));
afterEach(() => void vi.restoreAllMocks());

const b = (bytes: Uint8Array): Buffer => Buffer.from(bytes);
const FORMS: readonly [string, (bytes: Uint8Array) => string | Buffer][] = [
  ["as it is", (bytes) => b(bytes)],
  ["hex", (bytes) => b(bytes).toString("hex")],
  ["upper-case hex", (bytes) => b(bytes).toString("hex").toUpperCase()],
  ["base64", (bytes) => b(bytes).toString("base64")],
  ["base64 behind one byte", (bytes) => Buffer.concat([Buffer.of(1), bytes]).toString("base64")],
  ["base64url behind two bytes", (bytes) => Buffer.concat([Buffer.of(1, 2), bytes]).toString("base64url")],
  ["base64 in lines, as PEM has it", (bytes) => b(bytes).toString("base64").replace(/.{12}/g, "$&\n")],
  ["UTF-16", (bytes) => Buffer.from(b(bytes).toString("latin1"), "utf16le")],
  ["UTF-16, big-endian", (bytes) => Buffer.from(b(bytes).toString("latin1"), "utf16le").swap16()],
  ["reversed", (bytes) => b(bytes).reverse()],
  ["reversed hex", (bytes) => [...b(bytes).toString("hex")].reverse().join("")],
  ["its first half", (bytes) => b(bytes.subarray(0, 16)).toString("base64url")],
  ["its second half", (bytes) => b(bytes.subarray(16)).toString("hex")],
  ["ten characters of its base64", (bytes) => b(bytes).toString("base64").slice(7, 17)],
  ["a dozen of its bytes", (bytes) => b(bytes.subarray(9, 21))],
  ["a Buffer that is printed", (bytes) => inspect(b(bytes))],
  ["an array that is printed", (bytes) => inspect(Uint8Array.from(bytes))],
  ["an array as JSON", (bytes) => JSON.stringify(Uint8Array.from(bytes))],
  ["a Buffer as JSON", (bytes) => JSON.stringify(b(bytes))],
  ["bytes in a string that is printed", (bytes) => inspect({ text: b(bytes).toString("latin1") })],
  ["bytes in a string as JSON", (bytes) => JSON.stringify(b(bytes).toString("latin1"))],
  ["percent-encoded", (bytes) => b(bytes).toString("hex").replace(/../g, "%$&")],
];

describe("the search", () => {
  test.each(FORMS)("G12: finds it: %s", (_, write) => {
    for (const canary of [text, binary]) {
      const haystack = Buffer.concat([
        Buffer.from("before "),
        Buffer.from(write(canary.bytes) as Buffer),
        Buffer.from(" after"),
      ]);
      expect(sightings(haystack, [canary]), canary.name).not.toEqual([]);
      expect(sightings(haystack, [plant("another"), plantBytes("another", randomBytes(32))])).toEqual([]);
    }
  });

  test("G12: a string that inspect breaks into lines, and a cause behind a cause, are read as one", () => {
    const broken = text.text.replace(/.{16}/, "$&\n");
    expect(sightings(inspect({ broken, more: "x".repeat(80) }), [text])).not.toEqual([]);
    const deep = new Error("a", { cause: new AggregateError([new Error("b", { cause: text.text })]) });
    expect(sightings(writtenOut(deep), [text])).not.toEqual([]);
    expect(sightings(writtenOut(Object.defineProperty({}, "hidden", { value: binary.bytes })), [binary])).not.toEqual(
      [],
    );
  });

  test("G12: a hunt fails over a secret in any sink, and over a sink that shows no beacon", () => {
    const beacon = plant("beacon");
    const hunted = (act: (hunt: Hunt) => void): (() => void) => {
      const hunt = new Hunt(text, binary);
      hunt.note("sink", { shown: beacon.text });
      act(hunt);
      return () => hunt.end({ sink: beacon });
    };
    expect(hunted(() => {})).not.toThrow();
    expect(hunted((hunt) => hunt.note("sink", new Error("a", { cause: [text.text] })))).toThrow();
    expect(hunted((hunt) => hunt.noteBytes("other", binary.bytes))).toThrow();
    expect(hunted(() => console.error("%s", text.text))).toThrow();
    const dark = new Hunt(text);
    dark.note("sink", "nothing");
    expect(() => dark.end({ sink: beacon })).toThrow();
  });
});
