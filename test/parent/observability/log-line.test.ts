/** The lines that the destinations write. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { formatEntry, formatGap, levelOf } from "../../../parent/observability/log-line.ts";
import { sanitizeLogEvent } from "../../../parent/observability/log-record.ts";
import type { ParentEvent, Service } from "../../../parent/observability/observe.ts";

const hostile = fc.string({
  unit: fc.constantFrom("\n", "\r", "\u2028", "\u202e", "\u001b", '"', "\\", "{", "x", "\ud800"),
});

describe("a log line", () => {
  test("R29: whatever an enclave sends stays one line, from an enclave, without a character that acts", () => {
    const forged = '"}\n{"time":"1970-01-01T00:00:00.000Z","from":"parent","service":"egress","event":"drained"}';
    fc.assert(
      fc.property(fc.oneof(hostile, fc.constant(forged)), hostile, hostile, (event, name, value) => {
        const record = sanitizeLogEvent({ level: "error", event, fields: { [name]: value, from: "parent" } });
        const line = record ? formatEntry({ ...record, cid: 16 }, 0) : "";
        expect(line).not.toMatch(/[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/u);
        expect(JSON.parse(line)).toMatchObject({ from: "enclave", cid: 16, level: "error" });
        expect(line.startsWith('{"time":"1970-01-01T00:00:00.000Z","from":"enclave",')).toBe(true);
      }),
    );
  });

  test("R29: text in an event of the parent is escaped and cut, should it ever not be canonical", () => {
    fc.assert(
      fc.property(hostile, (text) => {
        const service = text as Service;
        const event: ParentEvent = { service, event: "refused", connectionId: text, target: text, code: text };
        const line = formatEntry(event, 0);
        expect(line).not.toMatch(/[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/u);
        expect(JSON.parse(line)).toMatchObject({ from: "parent" });
      }),
    );
    const event: ParentEvent = { service: "egress", event: "refused", target: "x".repeat(10_000) };
    expect(formatEntry(event, 0).length).toBeLessThan(500);
  });

  test("what else an object holds stays behind", () => {
    const event = { service: "egress", event: "failed", cause: "canary", socket: { canary: 1 } } as ParentEvent;
    expect(formatEntry(event, 0)).not.toContain("canary");
  });

  test("figures of a connection are written, durations rounded", () => {
    const figures = { durationMs: 12.7, bytesFromEnclave: 1, bytesToEnclave: 2, count: 3, cid: 16 };
    const event: ParentEvent = { service: "egress", event: "closed", connectionId: "egress-1", ...figures };
    expect(JSON.parse(formatEntry(event, 0))).toMatchObject({ ...figures, durationMs: 13, level: "debug" });
  });

  test("a record that was cut says so", () => {
    const record = { level: "info", event: "e", fields: {}, truncated: true } as const;
    expect(JSON.parse(formatEntry(record, 0))).toMatchObject({ truncated: true });
  });

  test.each<[Partial<ParentEvent>, string]>([
    [{ event: "accepted" }, "debug"],
    [{ event: "refused", code: "ERR_X" }, "warn"],
    [{ event: "paused", code: "EMFILE" }, "warn"],
    [{ event: "reloaded" }, "info"],
    [{ event: "reloaded", code: "ERR_CONFIG_FIELD_INVALID" }, "error"],
  ])("%j is told as %s", (event, level) => {
    expect(levelOf({ service: "egress", event: "closed", ...event })).toBe(level);
  });

  test("a gap is told by the parent", () => {
    expect(JSON.parse(formatGap(7, 0))).toEqual({
      time: "1970-01-01T00:00:00.000Z",
      from: "parent",
      level: "warn",
      event: "log lines dropped",
      count: 7,
    });
  });
});
