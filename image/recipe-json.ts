/**
 * Reads a recipe back from JSON: each field that `Recipe` has, and no other.
 *
 * @module
 */
import { EifError } from "../shared/errors/eif.ts";
import { isRecord } from "./lock.ts";
import type { Boot, Recipe } from "./recipe.ts";
import type { Source } from "./source.ts";

/** Whoever wrote the recipe chooses among this machine's compilers by name, never a program of his own. */
const COMPILER_NAME = /^[A-Za-z0-9][A-Za-z0-9._+-]*$/;

/**
 * @param label names the file in errors
 * @throws {EifError} `ERR_EIF_INPUT`
 */
export function parseRecipe(value: unknown, label: string): Recipe {
  const recipe = new Fields(value, `${label}, recipe`);
  const result: Recipe = {
    platform: recipe.oneOf("platform", ["mock", "emulated", "nitro"] as const),
    architecture: recipe.oneOf("architecture", ["x86_64", "arm64"] as const),
    name: recipe.text("name"),
    version: recipe.text("version"),
    boot: parseBoot(recipe.fields("boot")),
    init: parseInit(recipe.fields("init")),
    source: parseSource(recipe.fields("source")),
  };
  recipe.end();
  return result;
}

function parseBoot(boot: Fields): Recipe["boot"] {
  const kind = boot.oneOf("kind", ["none", "blobs", "kernel"] as const);
  const read = (): Boot | { readonly kind: "none" } => {
    switch (kind) {
      case "none":
        return { kind };
      case "blobs":
        return { kind, folder: boot.text("folder") };
      case "kernel":
        return { kind, kernel: boot.text("kernel"), cmdline: boot.text("cmdline"), modules: boot.texts("modules") };
    }
  };
  return boot.ended(read());
}

function parseInit(init: Fields): Recipe["init"] {
  const kind = init.oneOf("kind", ["file", "compiled"] as const);
  return init.ended(
    kind === "file" ? { kind, path: init.text("path") } : { kind, compiler: init.matching("compiler", COMPILER_NAME) },
  );
}

function parseSource(source: Fields): Source {
  const kind = source.oneOf("kind", ["app", "rootfs", "archive"] as const);
  const read = (): Source => {
    switch (kind) {
      case "app":
        return {
          kind,
          folder: source.text("folder"),
          node: source.text("node"),
          libraries: source.texts("libraries"),
          native: source.text("native"),
          roots: source.text("roots"),
          config: source.text("config"),
        };
      case "rootfs":
        return { kind, folder: source.text("folder"), exec: source.text("exec") };
      case "archive":
        return { kind, file: source.text("file") };
    }
  };
  return source.ended(read());
}

/** An object whose fields are taken one by one; what is left at the end should not be there. */
class Fields {
  readonly #left: Map<string, unknown>;
  readonly #label: string;

  constructor(value: unknown, label: string) {
    this.#label = label;
    if (!isRecord(value)) throw this.#refusal("is an object");
    this.#left = new Map(Object.entries(value));
  }

  text(name: string): string {
    const value = this.#take(name);
    if (typeof value !== "string" || value === "" || value.includes("\0")) throw this.#refusal(`${name} is text`);
    return value;
  }

  matching(name: string, pattern: RegExp): string {
    const value = this.text(name);
    if (!pattern.test(value)) throw this.#refusal(`${name} matches ${pattern.source}`);
    return value;
  }

  texts(name: string): readonly string[] {
    const value = this.#take(name);
    if (!Array.isArray(value) || !value.every((item) => typeof item === "string" && item !== "")) {
      throw this.#refusal(`${name} is a list of texts`);
    }
    return value as string[];
  }

  oneOf<Value extends string>(name: string, values: readonly Value[]): Value {
    const value = this.#take(name);
    const known = values.find((each) => each === value);
    if (known === undefined) throw this.#refusal(`${name} is one of ${values.join(", ")}`);
    return known;
  }

  fields(name: string): Fields {
    return new Fields(this.#take(name), `${this.#label}.${name}`);
  }

  end(): void {
    const [name] = this.#left.keys();
    if (name !== undefined) throw this.#refusal("has a field that is not known");
  }

  ended<Value>(value: Value): Value {
    this.end();
    return value;
  }

  #take(name: string): unknown {
    const value = this.#left.get(name);
    this.#left.delete(name);
    return value;
  }

  #refusal(rule: string): EifError {
    return new EifError("ERR_EIF_INPUT", { input: this.#label, rule });
  }
}
