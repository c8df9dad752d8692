#!/usr/bin/env node
/**
 * The command line: `cloister <noun> <verb>`; `demo` stands alone.
 *
 * Exit codes by kind: 0 accepted · 1 bug · 2 usage · 3 not authentic · 4 authentic but refused by policy · 5 could not
 * reach a peer · 6 this host lacks something.
 *
 * @module
 */
import { attestInspect, INSPECT_USAGE } from "./commands/attest-inspect.ts";
import { attestVerify, VERIFY_USAGE } from "./commands/attest-verify.ts";
import { DEMO_USAGE, demo } from "./commands/demo.ts";
import { eifMeasure, MEASURE_USAGE } from "./commands/eif-measure.ts";
import { createTerminal, report, type Terminal, UsageError } from "./terminal.ts";

type Command = (args: readonly string[], terminal: Terminal) => Promise<number>;

const COMMANDS: Readonly<Record<string, Command>> = {
  demo,
  "attest verify": attestVerify,
  "attest inspect": attestInspect,
  "eif measure": eifMeasure,
};

const USAGE = `usage: cloister <command> [options]

${[DEMO_USAGE, VERIFY_USAGE, INSPECT_USAGE, MEASURE_USAGE].map((usage) => `  ${usage.split("\n")[0]?.replace("usage: ", "")}`).join("\n")}

  --help with a command explains it; --debug shows the stack of an error
  exit codes: 0 accepted, 1 bug, 2 usage, 3 not authentic, 4 refused by policy, 5 unreachable, 6 host lacks something`;

async function main(argv: readonly string[]): Promise<number> {
  const terminal = createTerminal({ debug: argv.includes("--debug") });
  const args = argv.filter((argument) => argument !== "--debug");
  if (args.length === 0 || args[0] === "--help") {
    terminal.print(USAGE);
    return args.length === 0 ? 2 : 0;
  }
  try {
    for (const words of [2, 1]) {
      const name = args.slice(0, words).join(" ");
      const command = Object.hasOwn(COMMANDS, name) ? COMMANDS[name] : undefined;
      if (command) return await command(args.slice(words), terminal);
    }
    throw new UsageError(`no command ${args.slice(0, 2).join(" ")}`, USAGE);
  } catch (error) {
    return report(error, terminal);
  }
}

// The SDK's notice about future Node versions would stand between the lines of a result.
process.env["AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED"] ??= "true";
process.exitCode = await main(process.argv.slice(2));
