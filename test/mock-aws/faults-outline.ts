/**
 * What `openssl asn1parse` sees in a message, as an outline to compare with another's.
 *
 * @module
 */
import { spawnSync } from "node:child_process";

export const hasOpenssl: boolean = spawnSync("openssl", ["version"]).status === 0;

/**
 * A line for each value: depth, type, and for primitive ones the number of bytes and what is not random; containers
 * without their length, `open` where it is indefinite. Ends with `cut off` where OpenSSL could not go on.
 */
export function outline(message: Uint8Array): readonly string[] {
  const { stdout, status } = spawnSync("openssl", ["asn1parse", "-inform", "DER"], {
    input: message,
    encoding: "utf8",
    maxBuffer: 1 << 28,
  });
  const lines = stdout.split("\n").flatMap((line) => {
    const [, depth, length = "", form, rest = ""] =
      /^ *\d+:d=(\d+) +hl=\d+ l= *(\w+) +(cons|prim): ([\s\S]*)$/.exec(line) ?? [];
    if (depth === undefined) return [];
    const [type = "", value = ""] = rest.trim().split(/ *:/);
    const shown = /^(OBJECT|INTEGER|UTF8STRING)$/.test(type) && length !== "16" ? ` ${value}` : "";
    const size = form === "prim" ? ` ${length}` : length === "inf" ? " open" : "";
    return [`${depth} ${type.replace(/ *\[HEX DUMP\]$/, "")}${shown || size}`];
  });
  return status === 0 ? lines : [...lines, "cut off"];
}

/** Lines that only one outline has, in order: `-` of the first, `+` of the second; repeated ones with their number. */
export function changes(from: readonly string[], to: readonly string[]): readonly string[] {
  const count = (lines: readonly string[], line: string): number => lines.filter((other) => other === line).length;
  const only = (sign: string, lines: readonly string[], others: readonly string[]): string[] =>
    [...new Set(lines)].flatMap((line) => {
      const more = count(lines, line) - count(others, line);
      return more > 0 ? [`${sign} ${line}${more > 1 ? ` ×${more}` : ""}`] : [];
    });
  return [...only("-", from, to), ...only("+", to, from)];
}
