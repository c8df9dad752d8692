/**
 * `cloister parent up`: one file, one process, until it is told to stop.
 *
 * @module
 */
import type { ParentConfig } from "../../parent/config/parent-config.ts";
import { readParentConfig } from "../../parent/config/read.ts";
import { checkReload } from "../../parent/config/reload.ts";
import { type LifecycleEvent, liveUntilStopped } from "../../parent/lifecycle.ts";
import { formatAddress } from "../../shared/transport/address.ts";
import { readArguments } from "../arguments.ts";
import { type Terminal, UsageError } from "../terminal.ts";
import { Assembly } from "./parent-assembly.ts";
import { buildMockImage } from "./parent-enclave.ts";
import { notifyFromEnvironment } from "./parent-notify.ts";

const UP_USAGE = `usage: cloister parent up --config FILE [options]

  runs what the file says (schemas/parent.json): an enclave and the services around it, until it is stopped
  --config FILE      parent.yaml; who may write it is its owner alone
  --check            reads it, says what is wrong, and starts nothing
  --build DIR        platform mock: first builds enclave.image of this folder, which has a main.mjs
  --emulator DIR     platform emulated: the folder that make emulator prints; default the last one

  SIGHUP reads the file again (allowlist, hosts, targets, drainMs); SIGTERM ends connections within limits.drainMs,
  a second one at once; standard error has what happens, a JSON object a line

  example: cloister parent up --config parent.yaml`;

export async function parentUp(args: readonly string[], { print, tell }: Terminal): Promise<number> {
  const string = { type: "string" } as const;
  const boolean = { type: "boolean" } as const;
  const options = { config: string, build: string, emulator: string, check: boolean, help: boolean };
  const { values } = readArguments(args, { options, operands: 0, usage: UP_USAGE });
  if (values["help"]) {
    print(UP_USAGE);
    return 0;
  }
  const { config: path, build, emulator } = values;
  if (typeof path !== "string") throw new UsageError("--config names the file", UP_USAGE);
  const config = await readParentConfig(path);
  if (values["check"]) {
    print(`${path} is well formed`);
    return 0;
  }
  if (typeof build === "string") await buildFor(config, build);
  return run(path, config, { tell, ...(typeof emulator === "string" && { emulator }) });
}

async function buildFor({ enclave }: ParentConfig, app: string): Promise<void> {
  if (enclave.kind !== "run" || enclave.platform !== "mock") {
    throw new UsageError(
      "--build goes with an image of platform mock; others are built by cloister eif build",
      UP_USAGE,
    );
  }
  await buildMockImage(app, enclave.image);
}

async function run(
  path: string,
  first: ParentConfig,
  settings: { readonly tell: Terminal["tell"]; readonly emulator?: string },
): Promise<number> {
  const { tell } = settings;
  // Until everything stands a hangup has nothing to reload; by default it would end the process.
  const ignore = (): void => undefined;
  process.on("SIGHUP", ignore);
  const assembly = await Assembly.start(first, settings);
  const { ingress } = assembly;
  tell(`cloister: parent is up${ingress ? `; clients connect to ${formatAddress(ingress)}` : ""}; stop it with Ctrl-C`);
  let running = first;
  const note = (event: LifecycleEvent): void => tell(JSON.stringify({ service: "parent", ...event }));
  await liveUntilStopped({
    signals: process,
    reload: async () => {
      const next = await readParentConfig(path);
      checkReload(running, next);
      assembly.update(next);
      running = next;
    },
    drain: (deadlineMs) => assembly.drain(deadlineMs),
    close: () => assembly.close(),
    drainMs: () => running.limits.drainMs,
    isLive: () => assembly.health().live,
    notify: notifyFromEnvironment(tell),
    log: note,
  });
  process.off("SIGHUP", ignore);
  return 0;
}
