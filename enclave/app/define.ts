/**
 * An enclave application as a module: what `app.mjs` in an image exports.
 *
 * ```ts
 * export const enclave = defineEnclave({
 *   tls: "attested",
 *   fetch: (request, env) => Response.json({ at: env.now() }),
 * });
 * ```
 *
 * The entry file of the image, which is written when it is built, opens NSM by it and calls `main` with the
 * `Platform` and the image's configuration. `SIGTERM` ends the application in order.
 *
 * @module
 */
import { openNsmDevice } from "../nsm/device.ts";
import { openNsmSocket } from "../nsm/socket.ts";
import type { Platform } from "../platform.ts";
import { type EnclaveDefinition, startEnclave } from "./start.ts";

export interface EnclaveApp {
  /** Resolves once requests are taken. */
  main(platform: Platform, config: unknown): Promise<void>;
  readonly openNsmSocket: typeof openNsmSocket;
  readonly openNsmDevice: typeof openNsmDevice;
}

export function defineEnclave<Config = unknown, ParentConfig = undefined>(
  definition: EnclaveDefinition<Config, ParentConfig>,
): EnclaveApp {
  return {
    openNsmSocket,
    openNsmDevice,
    async main(platform, config) {
      const enclave = await startEnclave(definition, { platform, config });
      process.once("SIGTERM", () => {
        enclave.stop().then(
          () => process.exit(0),
          () => process.exit(1),
        );
      });
    },
  };
}
