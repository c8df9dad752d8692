/**
 * `cloister parent up`: one file, one process, until it is told to stop.
 *
 * @module
 */
import type { ParentConfig } from "../../parent/config/parent-config.ts";
import { readParentConfig } from "../../parent/config/read.ts";
import { checkReload } from "../../parent/config/reload.ts";
import { type LifecycleEvent, liveUntilStopped } from "../../parent/lifecycle.ts";
import { EXIT_CODES } from "../../shared/errors/index.ts";
import { formatAddress } from "../../shared/transport/address.ts";
import { readArguments } from "../arguments.ts";
import { type Terminal, UsageError } from "../terminal.ts";
import { Assembly } from "./parent-assembly.ts";
import { buildForParent, readTlsRoots } from "./parent-build.ts";
import { notifyFromEnvironment } from "./parent-notify.ts";

const UP_USAGE = `usage: cloister parent up --config FILE [options]

  runs what the file says (schemas/parent.json): an enclave and the services around it, until it is stopped
  --config FILE      parent.yaml; who may write it is its owner alone
  --check            reads it, says what is wrong, and starts nothing
  --build DIR        mock and emulated: first builds enclave.image of this folder, which has an app.mjs or main.mjs,
                     and writes what clients demand of it, IMAGE.policy.json
  --tls-root FILE    with --build: PEM of a root beside Amazon's; may be given again
  --emulator DIR     platform emulated: the folder that make emulator prints; default the last one

  SIGHUP reads the file again (allowlist, hosts, targets, drainMs); SIGTERM ends connections within limits.drainMs,
  a second one at once, a third leaves what still closes; standard error has what happens, a JSON object a line

  example: cloister parent up --config parent.yaml`;

export async function parentUp(args: readonly string[], { print, tell }: Terminal): Promise<number> {
  const string = { type: "string" } as const;
  const boolean = { type: "boolean" } as const;
  const list = { type: "string", multiple: true } as const;
  const options = { config: string, build: string, "tls-root": list, emulator: string, check: boolean, help: boolean };
  const { values } = readArguments(args, { options, operands: 0, usage: UP_USAGE });
  if (values["help"]) {
    print(UP_USAGE);
    return 0;
  }
  const { config: path, build } = values;
  const emulator = typeof values["emulator"] === "string" ? { emulator: values["emulator"] } : {};
  if (typeof path !== "string") throw new UsageError("--config names the file", UP_USAGE);
  const config = await readParentConfig(path);
  if (values["check"]) {
    print(`${path} is well formed`);
    return 0;
  }
  // Until everything stands a hangup has nothing to reload; by default it would end the process.
  process.on("SIGHUP", ignore);
  if (typeof build === "string") {
    const tlsRoots = await readTlsRoots((values["tls-root"] ?? []) as readonly string[]);
    await buildForParent(config, { folder: build, tlsRoots, usage: UP_USAGE, tell, ...emulator });
  } else if (values["tls-root"] !== undefined) throw new UsageError("--tls-root goes with --build", UP_USAGE);
  return run(path, config, { tell, ...emulator });
}

async function run(
  path: string,
  first: ParentConfig,
  settings: { readonly tell: Terminal["tell"]; readonly emulator?: string },
): Promise<number> {
  const { tell } = settings;
  const assembly = await Assembly.start(first, settings);
  const { ingress } = assembly;
  tell(`cloister: parent is up${ingress ? `; clients connect to ${formatAddress(ingress)}` : ""}; stop it with Ctrl-C`);
  let running = first;
  const note = (event: LifecycleEvent): void => {
    if (event.event === "reloaded" || event.event === "reload-refused") assembly.noteReload(event.code);
    tell(JSON.stringify({ service: "parent", ...event }));
  };
  const end = await liveUntilStopped({
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
  // Told three times: what still closes has handles that would keep the process.
  if (end === "left") process.exit(EXIT_CODES.unreachable);
  return 0;
}

function ignore(): void {}
