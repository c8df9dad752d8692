/**
 * `cloister aws clock advance`: moves a mock AWS's clock on, since nobody waits a year for a rotation.
 *
 * @module
 */
import { type Terminal, UsageError } from "../terminal.ts";
import { askingAws, CONTROL_OPTION } from "./aws-control.ts";

const CLOCK_USAGE = `usage: cloister aws clock advance DURATION [--control SOCKET] [--json]

  moves the clock on by 30d, 12h, 15m, 30s or 500ms: rotations, deletions and expiries that fall due then happen
  signatures and attestation documents are still judged by the time that it was
${CONTROL_OPTION}

  example: cloister aws clock advance 30d`;

const UNITS: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 };

export function awsClock(args: readonly string[], { print }: Terminal): Promise<number> {
  const command = { usage: CLOCK_USAGE, operands: 2 };
  return askingAws(args, { command, print }, async ({ values, positionals: [verb, duration = ""] }, ask) => {
    if (verb !== "advance") throw new UsageError(`the clock can advance, not ${verb}`, CLOCK_USAGE);
    const [, count, unit = ""] = /^([0-9]{1,12})(ms|s|m|h|d)$/.exec(duration) ?? [];
    if (count === undefined) throw new UsageError("a duration is like 30d, 12h, 15m, 30s or 500ms", CLOCK_USAGE);
    const { now } = await ask<{ readonly now: string }>("advanceClock", { ms: Number(count) * (UNITS[unit] ?? 0) });
    print(values["json"] ? JSON.stringify({ trust: "mock", now }) : `it is ${now}`);
    return 0;
  });
}
