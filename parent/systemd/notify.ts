/**
 * Tells systemd how the process is, by sd_notify.
 *
 * Node has no datagrams over Unix sockets. systemd brings a program that sends one, `systemd-notify`, wherever
 * `NOTIFY_SOCKET` is set at all; it is run once for each message, in order, and waits until systemd has taken it. So a
 * unit needs `NotifyAccess=all`: the message comes from a child. The other way, a C function of twenty lines in the
 * native binding, would be one more thing to audit for what happens a few times in a process's life; the watchdog's
 * beats are the exception, and cost a process each, every few seconds.
 *
 * Without a socket nothing is sent. A message that can not be sent is no fault of the service: it is told, and it goes on.
 *
 * Source: sd_notify(3), systemd-notify(1); clock of `MONOTONIC_USEC`: CLOCK_MONOTONIC, as `process.hrtime`.
 *
 * @module
 */
import { execFile } from "node:child_process";
import { codeOf } from "../observability/observe.ts";

export interface Notify {
  /** Sends after what was sent before. Never throws. */
  send(message: string): void;
  /** Resolves when all that was sent has gone, or could not. */
  flush(): Promise<void>;
  /** Within how many milliseconds systemd wants to hear; absent where it does not ask. */
  readonly watchdogMs?: number;
  /** By the clock that systemd compares with, in microseconds. */
  monotonicUs(): bigint;
}

export interface NotifyOptions {
  /** `NOTIFY_SOCKET`. Without it nothing is sent. */
  readonly socket?: string | undefined;
  /** `WATCHDOG_USEC`. */
  readonly watchdogUsec?: string | undefined;
  /** `WATCHDOG_PID`: whose watchdog it is. Default this process. */
  readonly watchdogPid?: string | undefined;
  /** The program. Default `systemd-notify`, looked up where systems have it. */
  readonly file?: string;
  readonly onFault: (code: string) => void;
}

const PATH = "/usr/bin:/bin:/usr/sbin:/sbin";
const TIMEOUT_MS = 5_000;

export function createNotify(options: NotifyOptions): Notify {
  const { socket, watchdogUsec, watchdogPid = String(process.pid), file = "systemd-notify", onFault } = options;
  const monotonicUs = (): bigint => process.hrtime.bigint() / 1_000n;
  if (socket === undefined || socket === "") {
    return { send: () => undefined, flush: () => Promise.resolve(), monotonicUs };
  }
  let sent: Promise<void> = Promise.resolve();
  const send = (message: string): void => {
    sent = sent.then(() => run(file, { socket, message })).catch((error: unknown) => onFault(codeOf(error)));
  };
  const isOurs = watchdogPid === String(process.pid);
  const watchdogMs = isOurs && /^[1-9][0-9]{3,15}$/.test(watchdogUsec ?? "") ? Number(watchdogUsec) / 1_000 : undefined;
  return { send, flush: () => sent, monotonicUs, ...(watchdogMs !== undefined && { watchdogMs }) };
}

function run(file: string, { socket, message }: { readonly socket: string; readonly message: string }): Promise<void> {
  const options = { env: { PATH, NOTIFY_SOCKET: socket }, timeout: TIMEOUT_MS };
  return new Promise((resolve, reject) => {
    // A message of several lines is one datagram: each line an argument.
    execFile(file, message.split("\n"), options, (error) => (error ? reject(error) : resolve()));
  });
}
