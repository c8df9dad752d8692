/**
 * Runs the example whose folder it is started in; ends with 0 when every step of its story held.
 *
 *   node ../../dist/examples/run/main.js [--platform mock|emulated]
 *
 * @module
 */
import { existsSync } from "node:fs";
import { basename, join } from "node:path";
import { parseArgs } from "node:util";
import { Story } from "../../cli/demo/story.ts";
import { createTerminal, report, UsageError } from "../../cli/terminal.ts";
import { EXIT_CODES } from "../../shared/errors/index.ts";
import type { Example } from "./example.ts";
import { Running } from "./run.ts";

const USAGE = `usage: node ../../dist/examples/run/main.js [--platform mock|emulated]

  from the folder of an example; emulated boots its image in QEMU, once make emulator has been run`;

const terminal = createTerminal({ debug: false });
const running = new Running();
/** By a signal, as shells count. */
const STOPPED = 130;
let isStopped = false;

function readPlatform(): "mock" | "emulated" {
  const platform = readArguments();
  if (platform !== "mock" && platform !== "emulated") throw new UsageError("--platform is mock or emulated", USAGE);
  return platform;
}

function readArguments(): string {
  try {
    return parseArgs({ options: { platform: { type: "string", default: "mock" } } }).values.platform;
  } catch (error) {
    throw new UsageError((error as Error).message, USAGE);
  }
}

async function run(): Promise<number> {
  const platform = readPlatform();
  const [folder, entry] = [basename(process.cwd()), join(process.cwd(), "app.ts")];
  if (!existsSync(entry)) throw new UsageError("this folder has no app.ts", USAGE);
  const { example } = (await import(`../${folder}/story.js`)) as { readonly example: Example };
  const story = new Story(terminal, { isQuiet: false });
  terminal.tell(
    `*** ${platform === "mock" ? "MOCK MODE" : "EMULATED ENCLAVE"}: nothing here is protected by hardware ***`,
  );
  story.chapter(`${folder}, ${platform}`);
  await example.tell(await running.start(example, { entry, platform, story }));
  const held = story.steps.filter((step) => step.held).length;
  terminal.print(`\n${held} of ${story.steps.length} held`);
  return story.held && held > 0 ? 0 : EXIT_CODES["refused by policy"];
}

// The SDK's notice about future Node versions would stand between the steps.
process.env["AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED"] ??= "true";
for (const signal of ["SIGINT", "SIGTERM"] as const) {
  process.once(signal, () => {
    isStopped = true;
    void running[Symbol.asyncDispose]().finally(() => process.exit(STOPPED));
  });
}
try {
  process.exitCode = await run();
} catch (error) {
  process.exitCode = isStopped ? STOPPED : report(error, terminal);
} finally {
  await running[Symbol.asyncDispose]();
}
