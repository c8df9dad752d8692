/**
 * Waits until an enclave can be used; such as until its application takes a connection, the earliest moment at which it
 * can be sent a client.
 *
 * @module
 */
import { LauncherError } from "../../shared/errors/launcher.ts";
import { isTransportError } from "../../shared/errors/transport.ts";
import type { EnclaveDescription } from "../../shared/launcher.ts";
import { addressOf } from "../../shared/transport/address.ts";
import { APP_PORT } from "../../shared/transport/ports.ts";
import type { Transport } from "../../shared/transport/transport.ts";
import { type Clock, SYSTEM_CLOCK, sleep } from "./clock.ts";
import type { SupervisorOptions } from "./supervision.ts";
import type { Watch } from "./watch.ts";

export interface ConnectableOptions {
  readonly transport: Transport;
  /** Of the enclave. Default 8 080. */
  readonly port?: number;
  /** How long to rest between two attempts, in milliseconds. Default 100. */
  readonly retryMs?: number;
  readonly clock?: Clock;
}

const READY_TIMEOUT_MS = 120_000;
const CONNECT_TIMEOUT_MS = 2_000;

/** Rejects when it is not ready in time, ended, or is to be stopped. */
export async function untilReady(
  enclave: EnclaveDescription,
  { watch, ready, timeoutMs = READY_TIMEOUT_MS }: Waiting,
): Promise<void> {
  const late = new LauncherError("ERR_LAUNCHER_TIMEOUT", { tool: "the enclave", timeoutMs });
  if (ready) await watch.during((signal) => ready(enclave, signal), { withinMs: timeoutMs, late });
  if (watch.over) throw watch.over;
}

interface Waiting {
  readonly watch: Watch;
  readonly ready: SupervisorOptions["ready"] | undefined;
  readonly timeoutMs: number | undefined;
}

/** For `SupervisorOptions.ready`. The connection is closed again, without a byte. */
export function whenConnectable(
  options: ConnectableOptions,
): (enclave: EnclaveDescription, signal: AbortSignal) => Promise<void> {
  const { transport, port = APP_PORT, retryMs = 100, clock = SYSTEM_CLOCK } = options;
  return async ({ peer }, signal) => {
    for (;;) {
      try {
        const address = addressOf(peer, port);
        (await transport.connect(address, { timeoutMs: CONNECT_TIMEOUT_MS, signal })).destroy();
        return;
      } catch (error) {
        signal.throwIfAborted();
        // Nobody listens yet, or a guest's kernel does not answer yet.
        if (!isTransportError(error) || error.kind !== "unreachable") throw error;
      }
      await sleep(retryMs, { clock, signal });
    }
  };
}
