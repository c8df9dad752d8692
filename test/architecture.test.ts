import { readdirSync, readFileSync } from "node:fs";
import { dirname, relative, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import ts from "typescript";
import { describe, expect, test } from "vitest";

const root = fileURLToPath(new URL("..", import.meta.url));

/** Folder → the folders of ours that it may import, beside itself. */
const ARROWS: Readonly<Record<string, readonly string[]>> = {
  shared: [],
  transport: ["shared", "native"],
  client: ["shared", "transport"],
  image: ["shared"],
  enclave: ["shared", "transport"],
  parent: ["shared", "transport"],
  mock: ["shared", "transport"],
};
const SHIPPED = [...Object.keys(ARROWS), "cli", "examples"];

interface Source {
  readonly path: string;
  readonly folder: string;
  readonly text: string;
  readonly imports: readonly string[];
}

function sourcesOf(folder: string): Source[] {
  return readdirSync(`${root}${folder}`, { recursive: true, encoding: "utf8" })
    .filter((name) => name.endsWith(".ts"))
    .map((name) => {
      const path = `${folder}/${name}`;
      const text = readFileSync(`${root}${path}`, "utf8");
      return { path, folder, text, imports: ts.preProcessFile(text).importedFiles.map((file) => file.fileName) };
    });
}

const sources = SHIPPED.flatMap(sourcesOf);

/** The top-level folder of ours that an import leads to; `undefined` for packages and Node's modules. */
function targetOf(source: Source, specifier: string): string | undefined {
  if (!specifier.startsWith(".")) return undefined;
  return relative(root, resolve(root, dirname(source.path), specifier)).split("/")[0];
}

/** Breaches of the arrows in a set of sources, as `file → folder`. */
function breaches(of: readonly Source[]): string[] {
  return of.flatMap((source) => {
    const allowed = ARROWS[source.folder];
    if (!allowed) return [];
    return source.imports
      .map((specifier) => targetOf(source, specifier))
      .filter((target) => target !== undefined && target !== source.folder && !allowed.includes(target))
      .map((target) => `${source.path} → ${target}`);
  });
}

describe("the folders and the arrows between them", () => {
  test("every shipped folder was read", () => {
    expect(sources.length).toBeGreaterThanOrEqual(110);
    for (const folder of SHIPPED)
      expect(
        sources.some((source) => source.folder === folder),
        folder,
      ).toBe(true);
    expect(sources.reduce((sum, { imports }) => sum + imports.length, 0)).toBeGreaterThan(300);
  });

  test("no folder imports what it must not", () => {
    expect(breaches(sources)).toEqual([]);
  });

  test("the guard sees a breach", () => {
    const wrong = {
      path: "enclave/x.ts",
      folder: "enclave",
      text: "",
      imports: ["../mock/index.ts", "../shared/bytes.ts"],
    };
    expect(breaches([wrong])).toEqual(["enclave/x.ts → mock"]);
  });

  test("shared/ has no clock, no network, no file system, no process", () => {
    const forbidden =
      /from "node:(?!stream")|\bprocess\.|Date\.now\(|new Date\(\)|setTimeout\(|setInterval\(|\bfetch\(|performance\.now\(/;
    const found = sources
      .filter(({ folder }) => folder === "shared")
      .filter(({ text }) => forbidden.test(text.replace(/^ *(\/?\*|\/\/).*$/gm, "")))
      .map(({ path }) => path);
    expect(found).toEqual(CLOCKS_IN_SHARED);
  });

  test("the environment and the command line are read in named places only", () => {
    const readers = sources.filter(({ text }) => /process\.(env|argv)/.test(text)).map(({ path }) => path);
    expect(readers.sort()).toEqual(ENVIRONMENT_READERS);
  });

  test("named exports only, listed one by one", () => {
    const wrong = sources.filter(({ text }) => /^export (default|\*)/m.test(text)).map(({ path }) => path);
    expect(wrong).toEqual([]);
  });
});

/** Where `shared/` may look at a clock, and why. */
const CLOCKS_IN_SHARED: readonly string[] = [
  "shared/attestation/verify.ts", // the default of `now`, read once at the exported function
  "shared/transport/channel.ts", // deadlines of requests, by timers
  "shared/transport/frame-stream.ts", // deadlines of frames
  "shared/transport/http-head.ts", // the deadline of a header
].sort();

const ENVIRONMENT_READERS: readonly string[] = [
  "cli/commands/aws-control.ts", // where the control socket is
  "cli/commands/enclave-launcher.ts", // PATH for nitro-cli, and the XDG folders
  "cli/commands/parent-doctor.ts", // PATH, where the launcher looks for nitro-cli
  "cli/commands/parent-notify.ts", // systemd's socket for the state of a service
  "cli/main.ts", // the command line
  "cli/terminal.ts", // NO_COLOR
  "examples/run/main.ts", // a program: the AWS SDK's notice
  "mock/emulator/agent.ts", // a program: its arguments
  "mock/aws/index.ts", // refuses NODE_ENV=production
  "transport/control.ts", // PATH, handed to a child
].sort();

describe("budgets", () => {
  test("a file has at most 250 lines", () => {
    expect(sources.filter(({ text }) => text.trimEnd().split("\n").length > 250).map(({ path }) => path)).toEqual([]);
  });

  test("a function has at most 50 lines", () => {
    expect(sources.flatMap(longFunctions)).toEqual([]);
  });

  test("the verification path has at most 2 500 lines", () => {
    const path = /^shared\/(attestation|cose|cbor|der)\/|^shared\/bytes\.ts$/;
    const lines = sources
      .filter((source) => path.test(source.path))
      .map(({ text }) => text.trimEnd().split("\n").length);
    const sum = lines.reduce((total, count) => total + count, 0);
    expect(sum).toBeGreaterThan(500);
    expect(sum).toBeLessThanOrEqual(2_500);
  });
});

function longFunctions({ path, text }: Source): string[] {
  const file = ts.createSourceFile(path, text, ts.ScriptTarget.ES2023, true);
  const found: string[] = [];
  const lineAt = (position: number): number => file.getLineAndCharacterOfPosition(position).line;
  const visit = (node: ts.Node): void => {
    if (ts.isFunctionLike(node) && "body" in node && node.body) {
      const lines = lineAt(node.getEnd()) - lineAt(node.getStart(file)) + 1;
      if (lines > 50) found.push(`${path}:${lineAt(node.getStart(file)) + 1} (${lines} lines)`);
    }
    ts.forEachChild(node, visit);
  };
  visit(file);
  return found;
}
