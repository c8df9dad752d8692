/**
 * Starts an enclave around a program in any language, and ends with it.
 *
 *   an application as any other: doctor, log, attested TLS → loopback services → the program → listen
 *
 * Clients' requests go to the program's own HTTP server, or nowhere. Whatever the parent would configure is refused:
 * PCR16 is locked at zero.
 *
 * @module
 */
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { formatAddress } from "../../shared/transport/address.ts";
import type { Listener, Transport } from "../../shared/transport/transport.ts";
import { createTransport } from "../../transport/index.ts";
import type { EnclaveEnv } from "../app/env.ts";
import { serveHttp } from "../app/http.ts";
import { type StartOptions, startEnclave } from "../app/start.ts";
import { startConnectProxy } from "./connect-proxy.ts";
import { forwardTo } from "./forward.ts";
import { environmentOf, type Program, startProgram } from "./program.ts";
import { createExecService } from "./service.ts";
import { createToken } from "./token.ts";

export interface ExecDefinition {
  /** The program, by its path or found in PATH's usual folders, and its arguments. */
  readonly command: readonly [program: string, ...args: string[]];
  /** The port on the loopback at which the program serves HTTP for the enclave's clients; `off`: they get 404. */
  readonly forward: number | "off";
  /** Further variables, part of the image; one that the toolkit sets as well is taken from here. Default none. */
  readonly environment?: Readonly<Record<string, string>>;
  /** Where the program starts. Default: where the enclave's own process did. */
  readonly directory?: string;
  /** What the program writes goes to the parent's log, in clear. For finding out why it does not start. */
  readonly dangerouslyLogOutput?: true;
  /** How long the program may take to end once it is asked to, in milliseconds. Default 25 000. */
  readonly shutdownMs?: number;
}

export interface RunningExec {
  /** The program's exit code, when everything else has ended as well. */
  readonly ended: Promise<number>;
  /** Passes a signal on to the program. */
  signal(name: NodeJS.Signals): void;
}

const LOOPBACK = { kind: "tcp", host: "127.0.0.1", port: 0 } as const;
/** The largest body is a ciphertext of KMS and its context. */
const SERVICE_LIMITS = { bodyMax: 65_536, bodiesMax: 4_194_304 };
const SHUTDOWN_MS = 25_000;

/**
 * @throws {EnclaveError} the doctor's finding, or `ERR_ENCLAVE_PROGRAM`
 * @throws {TypeError} {RangeError} the definition
 */
export async function startExec(definition: ExecDefinition, options: StartOptions): Promise<RunningExec> {
  const { forward, shutdownMs = SHUTDOWN_MS } = definition;
  checkDefinition(definition);
  const { transport = createTransport(), platform } = options;
  const parts = new ExecParts();
  try {
    const enclave = await startEnclave(
      {
        tls: "attested",
        parentConfig: "locked",
        shutdownMs,
        start: (env) => parts.start(definition, { env, transport, tlsRoots: platform.tlsRoots }),
        fetch: forward === "off" ? () => new Response(null, { status: 404 }) : forwardTo(forward),
      },
      { ...options, transport },
    );
    const { program } = parts;
    if (!program) throw new TypeError("an enclave that runs has its program");
    const ended = program.ended.then(async (code) => {
      await enclave.stop();
      await parts.close();
      return code;
    });
    return { ended, signal: (name) => program.signal(name) };
  } catch (error) {
    parts.program?.signal("SIGKILL");
    await parts.close();
    throw error;
  }
}

function checkDefinition({ command, forward }: ExecDefinition): void {
  if (!Array.isArray(command) || command.length === 0 || command.some((text) => typeof text !== "string")) {
    throw new TypeError("command is a program and its arguments");
  }
  if (forward !== "off" && !(Number.isInteger(forward) && forward >= 1 && forward <= 65_535)) {
    throw new RangeError(`forward is a port, or "off", not ${String(forward)}`);
  }
}

interface Surroundings {
  readonly env: EnclaveEnv;
  readonly transport: Transport;
  readonly tlsRoots: readonly string[];
}

/** What stands on the loopback, and the program between. */
class ExecParts {
  program: Program | undefined;
  readonly #closing: (() => Promise<void>)[] = [];

  async start(definition: ExecDefinition, { env, transport, tlsRoots }: Surroundings): Promise<void> {
    const { command, forward, directory, environment = {}, shutdownMs = SHUTDOWN_MS } = definition;
    const token = createToken();
    const service = await serveHttp({
      ...{ transport, address: LOOPBACK, limits: SERVICE_LIMITS },
      handler: createExecService({ env, token }),
      onInternalError: (error, id) => env.log.write("error", "internal error", { id, name: nameOf(error) }),
    });
    this.#closing.push(() => service.close());
    const proxy = await startConnectProxy({ transport, env, token });
    this.#closing.push(() => proxy.close());
    const roots = await this.#writeRoots(tlsRoots);
    const told = environmentOf({ service: placeOf(service), proxy: placeOf(proxy), token, roots, forward });
    const onLine = definition.dangerouslyLogOutput && ((line: string) => env.log.write("info", "output", { line }));
    const surroundings = { environment: { ...told, ...environment }, directory, onLine };
    this.program = await startProgram({ command, ...surroundings, shutdownMs });
    void this.program.ended.then((code) => env.log.write("info", "the program ended", { code }));
  }

  async close(): Promise<void> {
    for (const end of this.#closing.splice(0).reverse()) await end();
  }

  /** Libraries of other languages read roots from a file. */
  async #writeRoots(tlsRoots: readonly string[]): Promise<string> {
    await mkdir(tmpdir(), { recursive: true });
    const folder = await mkdtemp(join(tmpdir(), "enclave-roots-"));
    this.#closing.push(() => rm(folder, { recursive: true, force: true }));
    const path = join(folder, "roots.pem");
    await writeFile(path, tlsRoots.map((pem) => `${pem.trim()}\n`).join(""), { mode: 0o444 });
    return path;
  }
}

function placeOf({ address }: Listener): string {
  return formatAddress(address).replace("tcp://", "");
}

/** Its text may hold data. */
function nameOf(error: unknown): string {
  return error instanceof Error ? error.name : "unknown";
}
