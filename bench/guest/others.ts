/**
 * How much of the cores went to processes that are none of this run's: neither this one nor the guest that it started.
 *
 * @module
 */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { cpus } from "node:os";
import { watchOthers } from "../machine.ts";

const TICKS_PER_SECOND = 100;

/** Gives the share of all cores since it was called; of what the children did in it, only of those that still run. */
export function watchStrangers(): () => number {
  const others = watchOthers();
  const before = childTicks();
  const began = process.hrtime.bigint();
  return () => {
    const seconds = Number(process.hrtime.bigint() - began) / 1e9;
    const children = (childTicks() - before) / (seconds * TICKS_PER_SECOND * cpus().length);
    return Math.max(0, others() - children);
  };
}

/** Linux's `/proc/<pid>/stat`: behind the name in parentheses state, parent, …, user and system time. */
function childTicks(): number {
  if (!existsSync("/proc/self/stat")) return 0;
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .map(fieldsOf)
    .filter(([, parent]) => Number(parent) === process.pid)
    .reduce((sum, fields) => sum + Number(fields[11]) + Number(fields[12]), 0);
}

function fieldsOf(pid: string): readonly string[] {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, "utf8");
    return text.slice(text.lastIndexOf(")") + 2).split(" ");
  } catch {
    // It has ended since the folder was listed.
    return [];
  }
}
