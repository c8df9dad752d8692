/**
 * Everything a build is made of, by name and digest: read once, counted, compared with what was pinned.
 *
 * An input from outside (runtime, libraries, kernel, modules, compiler) is pinned: when a lock is given and does not
 * name it, or names other bytes, the build stops before it uses them. The application is the builder's own and changes
 * with each commit: its digest is recorded, and only a rebuild compares it.
 *
 * @module
 */
import { createHash } from "node:crypto";
import { utf8 } from "../shared/bytes.ts";
import { EifError } from "../shared/errors/eif.ts";
import type { Tree } from "./build.ts";

export interface Pin {
  /** For people; never compared. */
  readonly version?: string;
  /** In bytes. */
  readonly size: number;
  /** Hex. */
  readonly sha256: string;
}

export type Pins = Readonly<Record<string, Pin>>;

export class Inputs {
  readonly #pins: Pins | "unlocked";
  readonly #used = new Map<string, Pin>();
  readonly #pinned = new Set<string>();

  constructor(pins: Pins | "unlocked") {
    this.#pins = pins;
  }

  /**
   * Records an input that comes from outside and gives it back.
   *
   * @throws {EifError} `ERR_EIF_INPUT_DRIFT`
   */
  pinned(name: string, bytes: Uint8Array, version?: string): Uint8Array {
    const pin = { ...(version !== undefined && { version }), size: bytes.length, sha256: sha256(bytes) };
    if (this.#pins !== "unlocked") checkPin(name, pin, this.#pins);
    this.#used.set(name, pin);
    this.#pinned.add(name);
    return bytes;
  }

  /** Records an input of the builder's own. */
  own(name: string, bytes: Uint8Array): void {
    this.#used.set(name, { size: bytes.length, sha256: sha256(bytes) });
  }

  /** What was used, sorted by name. */
  used(which: "pinned" | "all"): Pins {
    const names = [...this.#used.keys()].filter((name) => which === "all" || this.#pinned.has(name)).sort();
    return Object.fromEntries(names.map((name) => [name, this.#used.get(name) as Pin]));
  }
}

function checkPin(input: string, { size, sha256: actual }: Pin, pins: Pins): void {
  const pin = Object.hasOwn(pins, input) ? pins[input] : undefined;
  if (pin?.sha256 !== actual || pin.size !== size) {
    throw new EifError("ERR_EIF_INPUT_DRIFT", { input, expected: pin?.sha256 ?? "absent", actual });
  }
}

/**
 * Compares all that was used with all that is expected, both ways.
 *
 * @throws {EifError} `ERR_EIF_INPUT_DRIFT`
 */
export function checkInputs(used: Pins, expected: Pins): void {
  for (const [name, pin] of Object.entries(used)) checkPin(name, pin, expected);
  for (const [input, { sha256: wanted }] of Object.entries(expected)) {
    if (!Object.hasOwn(used, input)) {
      throw new EifError("ERR_EIF_INPUT_DRIFT", { input, expected: wanted, actual: "absent" });
    }
  }
}

export function sha256(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}

/** A tree as bytes with one meaning: one JSON line an entry, sorted by path. */
export function describeTree(tree: Tree): Uint8Array {
  const lines = [...tree.entries()]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([path, entry]) => {
      const owner = [entry.uid ?? 0, entry.gid ?? 0];
      if (entry.kind === "link") return JSON.stringify([path, "link", owner, entry.target]);
      const content = entry.kind === "file" ? sha256(entry.data) : "";
      return JSON.stringify([path, entry.kind, owner, entry.mode, content]);
    });
  return utf8(lines.map((line) => `${line}\n`).join(""));
}
