/**
 * How commands that run as units tell systemd how they are: by what systemd put into the environment.
 *
 * @module
 */
import { createNotify, type Notify } from "../../parent/systemd/notify.ts";
import type { Terminal } from "../terminal.ts";

export function notifyFromEnvironment(tell: Terminal["tell"]): Notify {
  const { NOTIFY_SOCKET, WATCHDOG_USEC, WATCHDOG_PID } = process.env;
  return createNotify({
    ...{ socket: NOTIFY_SOCKET, watchdogUsec: WATCHDOG_USEC, watchdogPid: WATCHDOG_PID },
    onFault: (code) => tell(JSON.stringify({ service: "parent", event: "not-notified", code })),
  });
}
