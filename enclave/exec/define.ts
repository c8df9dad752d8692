/**
 * An enclave around a program in any language, as a module: what `app.mjs` in an image exports.
 *
 * ```ts
 * export const enclave = defineExec({ command: ["python3", "main.py"], forward: 8000 });
 * ```
 *
 * Signals are passed on, and the enclave ends with the program's exit code.
 *
 * @module
 */
import type { EnclaveApp } from "../app/define.ts";
import { openNsmDevice } from "../nsm/device.ts";
import { openNsmSocket } from "../nsm/socket.ts";
import { type ExecDefinition, startExec } from "./start.ts";

/** SIGUSR1 among them: unheard it would open Node's debugger. */
const SIGNALS: readonly NodeJS.Signals[] = ["SIGTERM", "SIGINT", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2"];

export function defineExec(definition: ExecDefinition): EnclaveApp {
  return {
    openNsmSocket,
    openNsmDevice,
    async main(platform, config) {
      const running = await startExec(definition, { platform, config });
      for (const name of SIGNALS) process.on(name, () => running.signal(name));
      running.ended.then(
        (code) => process.exit(code),
        () => process.exit(1),
      );
    },
  };
}
