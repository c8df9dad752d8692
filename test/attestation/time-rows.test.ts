/**
 * Rows T01 to T09: which moment a document and its certificates are judged at.
 */
import { describe, expect, test } from "vitest";
import { type AttestationPolicy, verifyAttestation } from "../../shared/attestation/index.ts";
import { isConfigError } from "../../shared/errors/index.ts";
import { sequence, text, time } from "./der-writer.ts";
import {
  CHAIN,
  certificate,
  describeRows,
  field,
  hours,
  policyFor,
  type Row,
  TIME,
  TIMESTAMP,
  variants,
} from "./row.ts";
import { NOW } from "./test-pki.ts";

const SECOND = 1_000;
const NAMES = ["root", "regional", "zonal", "instance", "leaf"];
const at = (date: Date, ms: number): Date => new Date(date.getTime() + ms);
const anyAge: Partial<AttestationPolicy> = { maxAgeMs: "unchecked" };
const stamp = (date: Date): Partial<Row> => field("timestamp", BigInt(date.getTime()));
/** One certificate that begins or ends at a moment while all others last; the document is made at that moment. */
const only = (index: number, times: { notBefore?: Date; notAfter?: Date }): Partial<Row> =>
  certificate(index, (recipe) => void Object.assign(recipe, times));
/** The instant at which the baseline's clock stands, as an end of one validity: `offset` after it, in milliseconds. */
const boundaries = (index: number): Row[] => {
  const made = { policy: anyAge, ...stamp(NOW) };
  const from = only(index, { notBefore: NOW });
  const until = only(index, { notAfter: NOW });
  const row = (why: string, edits: Partial<Row>, offset: number, expected: string): Row => {
    const moment = at(NOW, offset);
    return { id: "T01", why: `${NAMES[index]}: ${why}`, ...made, ...edits, now: moment, expect: expected };
  };
  return [
    row("a second before it begins", from, -SECOND, TIME),
    row("a millisecond before it begins", from, -1, TIME),
    row("as it begins", from, 0, "accepted"),
    row("its last second", until, 0, "accepted"),
    row("the end of its last second", until, 999, "accepted"),
    row("the second after", until, SECOND, TIME),
  ];
};
const validity = (index: number, notBefore: Uint8Array, notAfter: Uint8Array): Partial<Row> =>
  certificate(
    index,
    (recipe) => void (recipe.parts = (parts) => void (parts.validity = sequence(notBefore, notAfter))),
  );
const utc = (digits: string): Uint8Array => text(digits, 0x17);
const generalized = (digits: string): Uint8Array => text(digits, 0x18);
const from = time(hours(-20));
const until = time(hours(20));
const ends = (notAfter: Uint8Array): Partial<Row> => validity(2, from, notAfter);
const begins = (notBefore: Uint8Array): Partial<Row> => validity(2, notBefore, until);

const ROWS: readonly Row[] = [
  ...NAMES.flatMap((_, index) => boundaries(index)),
  ...[0, 4].flatMap((index): Row[] => [
    {
      id: "T02",
      why: `a minute early, a minute allowed: ${NAMES[index]}`,
      ...only(index, { notBefore: NOW }),
      ...stamp(NOW),
      now: at(NOW, -60_000),
      clockSkewMs: 60_000,
      expect: "accepted",
    },
    {
      id: "T02",
      why: `a minute early, less allowed: ${NAMES[index]}`,
      ...only(index, { notBefore: NOW }),
      ...stamp(NOW),
      now: at(NOW, -60_000),
      clockSkewMs: 59_999,
      expect: TIME,
    },
    {
      id: "T02",
      why: `a minute late, a minute allowed: ${NAMES[index]}`,
      ...only(index, { notAfter: NOW }),
      now: at(NOW, 60_999),
      clockSkewMs: 60_000,
      policy: anyAge,
      expect: "accepted",
    },
    {
      id: "T02",
      why: `a minute late, less allowed: ${NAMES[index]}`,
      ...only(index, { notAfter: NOW }),
      now: at(NOW, 60_999),
      clockSkewMs: 59_999,
      policy: anyAge,
      expect: TIME,
    },
  ]),
  ...NAMES.slice(0, 4).map(
    (name, index): Row => ({
      id: "T04",
      why: `only the ${name} expired`,
      ...only(index, { notAfter: hours(-1) }),
      expect: TIME,
    }),
  ),
  { id: "T05", why: "made a millisecond ahead", ...stamp(at(NOW, 1)), expect: TIMESTAMP },
  {
    id: "T05",
    why: "made within the tolerance ahead",
    ...stamp(at(NOW, 60_000)),
    clockSkewMs: 60_000,
    expect: "accepted",
  },
  {
    id: "T05",
    why: "made beyond the tolerance ahead",
    ...stamp(at(NOW, 60_001)),
    clockSkewMs: 60_000,
    expect: TIMESTAMP,
  },
  {
    id: "T05",
    why: "made six minutes ahead, five allowed",
    ...stamp(at(NOW, 360_000)),
    clockSkewMs: 300_000,
    expect: TIMESTAMP,
  },
  { id: "T05", why: "made in 2100", ...stamp(new Date("2100-01-01T00:00:00Z")), expect: TIMESTAMP },
  { id: "T06", why: "a millisecond too old", ...stamp(at(NOW, -60_001)), expect: "ERR_ATTESTATION_STALE" },
  { id: "T06", why: "as old as allowed", ...stamp(at(NOW, -60_000)), expect: "accepted" },
  {
    id: "T07",
    why: "made a millisecond before its leaf",
    ...stamp(at(hours(-1), -1)),
    policy: anyAge,
    expect: TIMESTAMP,
  },
  { id: "T07", why: "made as its leaf began", ...stamp(hours(-1)), policy: anyAge, expect: "accepted" },
  {
    id: "T07",
    why: "made after its leaf",
    ...only(4, { notAfter: at(NOW, -2 * SECOND) }),
    clockSkewMs: 60_000,
    expect: TIMESTAMP,
  },
  { id: "T09", why: "UTCTime 49 is 2049", ...ends(utc("491231235959Z")), expect: "accepted" },
  { id: "T09", why: "UTCTime 50 is 1950, so begins long ago", ...begins(utc("500101000000Z")), expect: "accepted" },
  { id: "T09", why: "UTCTime 50 is 1950, so ended long ago", ...ends(utc("500101000000Z")), expect: TIME },
  { id: "T09", why: "GeneralizedTime from 2050", ...ends(generalized("20500101000000Z")), expect: "accepted" },
  { id: "T09", why: "29 February of a leap year", ...ends(utc("280229000000Z")), expect: "accepted" },
  ...variants("T09", CHAIN, [
    ["GeneralizedTime before 2050", ends(generalized("20490101000000Z"))],
    ["UTCTime with four digits of year", ends(utc("20280101000000Z"))],
    ["GeneralizedTime with two digits of year", ends(generalized("500101000000Z"))],
    ["without Z", ends(utc("280101000000"))],
    ["without Z, as long as with", ends(utc("2801010000000"))],
    ["lower-case z", ends(utc("280101000000z"))],
    ["an offset", ends(utc("280101000000+0000"))],
    ["without seconds", ends(utc("2801010000Z"))],
    ["fractions of a second", ends(generalized("20500101000000.5Z"))],
    ["30 February", ends(utc("280230000000Z"))],
    ["29 February of a common year", ends(utc("270229000000Z"))],
    ["31 April", ends(utc("280431000000Z"))],
    ["month 13", ends(utc("281301000000Z"))],
    ["month 0", ends(utc("280001000000Z"))],
    ["day 0", ends(utc("280100000000Z"))],
    ["24:00:00", ends(utc("280101240000Z"))],
    ["minute 60", ends(utc("280101006000Z"))],
    ["a leap second", ends(utc("280630235960Z"))],
    ["a leap second, to begin with", begins(utc("161231235960Z"))],
    ["a space for a digit", ends(utc("28010100000 Z"))],
    ["a sign for a digit", ends(utc("+80101000000Z"))],
    ["a digit of another script", ends(utc("2801010000\u0660Z"))],
    ["a byte that is a digit but for its eighth bit", ends(utc("280101000000Z").with(3, 0xb8))],
    ["a newline behind", ends(generalized("20500101000000Z\n"))],
    ["empty", ends(utc(""))],
    ["a third time", certificate(2, (r) => void (r.parts = (p) => void (p.validity = sequence(from, until, until))))],
    ["one time", certificate(2, (r) => void (r.parts = (p) => void (p.validity = sequence(from))))],
    ["text for a time", ends(text("280101000000Z"))],
  ]),
];

describeRows("time", ROWS);

describe("the clock that the caller gives", () => {
  const verdict = async (options: object): Promise<string> => {
    const verifying = verifyAttestation(Uint8Array.of(0x84), policyFor(Uint8Array.of(1)), options);
    const error: unknown = await verifying.catch((reason: unknown) => reason);
    return isConfigError(error) ? error.code : "read the document";
  };

  test.each<[string, object]>([
    ["T02: a tolerance above five minutes", { clockSkewMs: 300_001 }],
    ["T02: a negative tolerance", { clockSkewMs: -1 }],
    ["T02: NaN", { clockSkewMs: Number.NaN }],
    ["T02: no end", { clockSkewMs: Number.POSITIVE_INFINITY }],
    ["T03: no date", { now: new Date(Number.NaN) }],
    ["T03: seconds", { now: 1_780_000_000 }],
    ["T03: text", { now: "2026-06-01T12:00:00Z" }],
    ["T03: null", { now: null }],
  ])("%s is refused before the document is read", async (_, options) => {
    expect(await verdict(options)).toBe("ERR_CONFIG_FIELD_INVALID");
  });

  test.each([0, 300_000])("T02: a tolerance of %s ms is one", async (clockSkewMs) => {
    expect(await verdict({ clockSkewMs, now: NOW })).toBe("read the document");
  });
});
