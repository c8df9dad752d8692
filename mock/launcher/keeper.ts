/**
 * The answering half of a process that outlives commands and keeps their enclaves.
 *
 *   hello {}                        → {}
 *   run {…}                         → a description      called off when the asking side ends the connection
 *   list {}                         → descriptions
 *   console {enclaveId, offset}     → {bytes: base64, next, ended}
 *   terminate {enclaveId}           → null
 *
 * Over a Unix socket in the state folder; an answer is {ok} or {error}. It writes down which processes are its own, so
 * that whoever finds it dead can end them. When the last enclave and the last connection are gone, so is it.
 *
 * @module
 */
import { renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { isToolkitError, TransportError } from "../../shared/errors/index.ts";
import type { EnclaveDescription, LaunchOptions } from "../../shared/launcher.ts";
import type { Json } from "../../shared/transport/json.ts";
import { serveChannel } from "../../shared/transport/serve-channel.ts";
import { createUnixTransport } from "../../transport/unix.ts";
import { identify, type ProcessIdentity } from "./process-identity.ts";
import { removeStateFiles, STATE_FILES } from "./state-files.ts";

/** What crosses to the keeper: launch options, and what its platform adds. */
export interface RunRequest extends Omit<LaunchOptions, "signal" | "cid"> {
  readonly cid: number;
  readonly extra: Json;
}

export interface ConsolePart {
  readonly bytes: Uint8Array;
  /** What to ask for next. */
  readonly next: number;
  /** Nothing will follow. */
  readonly ended: boolean;
}

/** A platform, inside its keeper. */
export interface Backend {
  run(request: RunRequest, signal: AbortSignal): Promise<EnclaveDescription>;
  list(): readonly EnclaveDescription[];
  readConsole(enclaveId: string, offset: number): Promise<ConsolePart>;
  terminate(enclaveId: string): Promise<void>;
  close(): Promise<void>;
}

const FIRST_CONNECTION_MS = 20_000;

/** Writes down the processes that are this keeper's own. */
export type RecordProcesses = (children: readonly ProcessIdentity[]) => void;

export async function createRecord(folder: string): Promise<RecordProcesses> {
  const own = await identify(process.pid);
  const path = join(folder, STATE_FILES.processes);
  const write: RecordProcesses = (children) => {
    writeFileSync(`${path}.new`, JSON.stringify([own, ...children]), { mode: 0o600 });
    renameSync(`${path}.new`, path);
  };
  write([]);
  return write;
}

/** Serves until nothing is left to keep, then ends the process. `onListening` tells whoever waits. */
export async function serveKeeper(folder: string, backend: Backend, onListening: () => void): Promise<void> {
  let connections = 0;
  let stopping: Promise<void> | undefined;
  const stop = (): Promise<void> => {
    stopping ??= (async () => {
      await backend.close();
      await listener.close();
      removeStateFiles(folder);
      process.exit(0);
    })();
    return stopping;
  };
  const stopIfIdle = (): void => {
    if (connections === 0 && backend.list().length === 0) void stop();
  };
  const address = { kind: "unix", path: join(folder, STATE_FILES.socket) } as const;
  const listener = await createUnixTransport().listen(address, (socket) => {
    if (stopping !== undefined) {
      socket.destroy();
      return;
    }
    clearTimeout(unused);
    connections++;
    const left = new AbortController();
    socket.once("end", () => left.abort(new TransportError("ERR_TRANSPORT_CLOSED", { address: "the asking side" })));
    void serveChannel(socket, { requests: requestsTo(backend, left.signal) }).closed.then(() => {
      connections--;
      stopIfIdle();
    });
  });
  const unused = setTimeout(stopIfIdle, FIRST_CONNECTION_MS);
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, () => void stop());
  onListening();
}

type Handler = (params: Json, signal: AbortSignal) => Promise<Json>;

function requestsTo(backend: Backend, left: AbortSignal): Readonly<Record<string, Handler>> {
  const answering = (work: (params: Params, signal: AbortSignal) => unknown): Handler => {
    return async (params, signal) => {
      try {
        return { ok: ((await work(params as Params, signal)) ?? null) as Json };
      } catch (error) {
        return { error: errorToJson(error) };
      }
    };
  };
  return {
    hello: answering(() => null),
    run: answering(async (params, signal) => {
      const calledOff = AbortSignal.any([signal, left]);
      const enclave = await backend.run(params as unknown as RunRequest, calledOff);
      // Whoever asked is not there to hear of it.
      if (calledOff.aborted) await backend.terminate(enclave.enclaveId);
      calledOff.throwIfAborted();
      return enclave;
    }),
    list: answering(() => backend.list()),
    terminate: answering(({ enclaveId }) => backend.terminate(String(enclaveId))),
    console: answering(async ({ enclaveId, offset }) => {
      const { bytes, next, ended } = await backend.readConsole(String(enclaveId), Number(offset));
      return { bytes: Buffer.from(bytes).toString("base64"), next, ended };
    }),
  };
}

type Params = Readonly<Record<string, Json>>;

function errorToJson(error: unknown): Json {
  if (isToolkitError(error)) return { code: error.code, message: error.message, details: error.details as Json };
  return { code: "ERR_INTERNAL", message: error instanceof Error ? error.message : String(error), details: {} };
}
