/**
 * Decides whether a configuration that was read again may take the place of the one that runs.
 *
 *   may change while it runs   egress.allowlist, egress.hosts, ingress.targets, limits.drainMs
 *   needs a start              everything else: which services there are, where they listen, who they serve
 *
 * A change that needs a start is refused whole, and named as it is written, with its place in the new file: half of a
 * new configuration is nobody's.
 *
 * @module
 */
import { isDeepStrictEqual } from "node:util";
import { ConfigError } from "../../shared/errors/index.ts";
import type { ParentConfig, ParentFile } from "./parent-config.ts";

/** @throws {ConfigError} names the first field that needs a start, and its place */
export function checkReload(running: ParentConfig, next: ParentConfig): void {
  const field = firstDifference(fixed(running.written.file), fixed(next.written.file), "");
  if (field === undefined) return;
  const at = next.written.place(field);
  const details = { field, expected: "as it was at the start", actual: "changed: it takes a restart", at };
  throw new ConfigError("ERR_CONFIG_FIELD_INVALID", details);
}

/** A file without what may change. */
function fixed({ egress, ingress, limits: _, ...rest }: ParentFile): object {
  const { allowlist: _list, hosts: _hosts, ...door } = egress ?? {};
  const { targets: _targets, ...entrance } = ingress ?? {};
  return { ...rest, ...(egress && { egress: door }), ...(ingress && { ingress: entrance }) };
}

function firstDifference(left: unknown, right: unknown, field: string): string | undefined {
  if (isDeepStrictEqual(left, right)) return undefined;
  if (!isPlain(left) || !isPlain(right)) return field;
  for (const name of new Set([...Object.keys(left), ...Object.keys(right)])) {
    const found = firstDifference(left[name], right[name], field === "" ? name : `${field}.${name}`);
    if (found !== undefined) return found;
  }
  return field;
}

function isPlain(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
