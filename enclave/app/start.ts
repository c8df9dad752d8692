/**
 * Starts an application in an enclave, and ends it in order.
 *
 *   log → doctor → the parent's configuration, measured → environment → TLS → the app's start → listen
 *
 * Nothing listens before all of it held. What fails is told to the parent by code, and thrown. At the end no new request
 * is taken, those under way finish until the deadline, then the app's `stop` runs and the ways out are closed.
 *
 * @module
 */

import { CONFIGURATION_PCR } from "../../shared/configuration/document.ts";
import { isToolkitError } from "../../shared/errors/index.ts";
import { type Address, addressOf } from "../../shared/transport/address.ts";
import type { Json } from "../../shared/transport/json.ts";
import { APP_PORT } from "../../shared/transport/ports.ts";
import type { Transport } from "../../shared/transport/transport.ts";
import { createTransport } from "../../transport/index.ts";
import { measuredConfiguration } from "../config/configuration.ts";
import { type Doctor, startDoctor } from "../doctor/doctor.ts";
import { createLog, type EnclaveLog } from "../egress/index.ts";
import type { Platform } from "../platform.ts";
import { createAttestedTls } from "../tls/attested-tls.ts";
import { createSealedRequests } from "../tls/sealed-requests.ts";
import { createEnv, type EnclaveEnv } from "./env.ts";
import { type HttpServer, type ServeLimits, serveHttp } from "./http.ts";
import type { ServerTls } from "./server-tls.ts";

export interface EnclaveDefinition<Config, ParentConfig> {
  /** Reads the configuration that is in the image and measured with it. Without one, `env.config` is the JSON as it is. */
  readonly readConfig?: (json: unknown) => Config;
  /**
   * The configuration that the parent hands in. It is data that the parent chose; PCR16 says which. `locked` takes none
   * and locks PCR16 at zero, so that a document says so. Left out, PCR16 stays the application's.
   */
  readonly parentConfig?: ParentConfigReader<ParentConfig> | "locked";
  /**
   * Whether TLS ends in the enclave, under a key that its documents vouch for. `off` is for answers that are sealed or
   * signed: the parent reads all that crosses.
   */
  readonly tls: "attested" | "off";
  /**
   * Also answers sealed requests, for pages in a browser, which hides TLS from them: the origins that may ask. The
   * handler gets what was inside as if it had come by itself.
   */
  readonly browsers?: { readonly origins: readonly string[] };
  /** Before the first request; what it throws keeps the enclave from coming up. */
  readonly start?: (env: EnclaveEnv<Config, ParentConfig>) => Promise<void> | void;
  /** Answers one request. A Hono app's `fetch` is one of these. */
  readonly fetch: (request: Request, env: EnclaveEnv<Config, ParentConfig>) => Promise<Response> | Response;
  /** After the last request. */
  readonly stop?: (env: EnclaveEnv<Config, ParentConfig>) => Promise<void> | void;
  readonly limits?: ServeLimits;
  /** For requests under way when the enclave is told to end, in milliseconds. Default 25 000. */
  readonly shutdownMs?: number;
  /** Comes up in debug mode, where the parent can read the enclave's memory. KMS and verifiers still refuse it. */
  readonly dangerouslyAllowDebug?: true;
}

export interface ParentConfigReader<ParentConfig> {
  /** Gets `undefined` where the parent has none; throws what keeps the enclave from coming up. */
  readonly read: (json: Json | undefined) => ParentConfig;
}

export interface StartOptions {
  readonly platform: Platform;
  /** The image's own configuration, as its entry file has it. */
  readonly config: unknown;
  /** Default: the drivers of this package. */
  readonly transport?: Transport;
  /** This system's clock. Default: `new Date()`. */
  readonly now?: () => Date;
}

export interface RunningEnclave extends AsyncDisposable {
  readonly address: Address;
  readonly doctor: Doctor;
  /** Ends in order; says how many connections had to be cut. A second call waits for the first. */
  stop(): Promise<{ readonly forced: number }>;
}

const SHUTDOWN_MS = 25_000;

/**
 * @throws {EnclaveError} the doctor's finding, or the parent's configuration
 * @throws whatever `readConfig`, `parentConfig.read` or `start` throws
 */
export async function startEnclave<Config, ParentConfig>(
  definition: EnclaveDefinition<Config, ParentConfig>,
  options: StartOptions,
): Promise<RunningEnclave> {
  const { platform, transport = createTransport() } = options;
  const log = createLog({ transport, parent: platform.parent });
  const parts = new Parts(log);
  try {
    return await parts.start(definition, { ...options, transport });
  } catch (error) {
    log.write("error", "not started", { code: codeOf(error) });
    await parts.close();
    throw error;
  }
}

function codeOf(error: unknown): string {
  if (isToolkitError(error)) return error.code;
  return error instanceof Error ? error.name : "unknown";
}

type Starting = StartOptions & { readonly transport: Transport };

/** What has been started so far, to be ended in the other order. */
class Parts {
  readonly #log: EnclaveLog;
  readonly #closing: (() => unknown)[];

  constructor(log: EnclaveLog) {
    this.#log = log;
    this.#closing = [() => log.close()];
  }

  async start<Config, ParentConfig>(
    definition: EnclaveDefinition<Config, ParentConfig>,
    starting: Starting,
  ): Promise<RunningEnclave> {
    const { platform, transport } = starting;
    const { nsm, parent, attestationRoots, tlsRoots, systemRoot } = platform;
    const { dangerouslyAllowDebug, tls: mode, shutdownMs = SHUTDOWN_MS } = definition;
    if (mode !== "attested" && mode !== "off") throw new TypeError('tls is "attested" or "off"');
    const roots = { attestationRoots, tlsRoots };
    const doctor = await startDoctor({ ...roots, nsm, systemRoot, dangerouslyAllowDebug, now: starting.now });
    const { health } = doctor;
    this.#log.write("info", "sound", { ...health.machine, driftMs: health.driftMs, debug: health.debug });
    // A reader that is not there leaves the types to the application.
    const config = definition.readConfig ? definition.readConfig(starting.config) : (starting.config as Config);
    const parentConfig = await readParentConfig(definition.parentConfig, starting);
    const env = await createEnv({ ...roots, config, parentConfig, transport, parent, nsm, doctor, log: this.#log });
    this.#closing.push(() => env.close());
    const tls = mode === "attested" ? await createAttestedTls({ nsm, now: () => doctor.now() }) : undefined;
    if (tls) this.#closing.push(() => tls.close());
    await definition.start?.(env);
    const server = await this.#listen(definition, { env, tls, platform, transport });
    this.#closing.push(() => definition.stop?.(env), this.#watch(doctor, env));
    this.#log.write("info", "ready");
    let stopping: Promise<{ readonly forced: number }> | undefined;
    const stop = (): Promise<{ readonly forced: number }> => (stopping ??= this.#stop(server, shutdownMs));
    return { address: server.address, doctor, stop, [Symbol.asyncDispose]: async () => void (await stop()) };
  }

  async close(): Promise<void> {
    for (const end of this.#closing.splice(0).reverse()) {
      try {
        await end();
      } catch (error) {
        this.#log.write("error", "not ended in order", { code: codeOf(error) });
      }
    }
  }

  async #stop(server: HttpServer, shutdownMs: number): Promise<{ readonly forced: number }> {
    this.#log.write("info", "stopping");
    const { forced } = await server.drain(shutdownMs);
    this.#log.write("info", "stopped", { forced });
    await this.close();
    return { forced };
  }

  #listen<Config, ParentConfig>(
    { fetch, limits, browsers }: EnclaveDefinition<Config, ParentConfig>,
    { env, tls, platform: { nsm, self, parent }, transport }: Listening<Config, ParentConfig>,
  ): Promise<HttpServer> {
    const handler = async (request: Request): Promise<Response> => fetch(request, env);
    // An error's message may hold data; its name does not leave in the answer, and the log is read by the parent.
    const onInternalError = (error: unknown, id: string): void =>
      this.#log.write("error", "internal error", { id, name: codeOf(error) });
    const sealed = browsers && createSealedRequests({ nsm, handler, onInternalError, origins: browsers.origins });
    return serveHttp({
      transport,
      address: addressOf(self, APP_PORT),
      // Any enclave beside this one can dial vsock.
      ...(parent.kind === "vsock" && { allowedCids: [parent.cid] }),
      handler: async (request) => (await sealed?.handle(request)) ?? handler(request),
      onInternalError,
      ...(limits && { limits }),
      ...(tls && { tls }),
    });
  }

  /** Kept connections were opened under a clock that was believed then. */
  #watch(doctor: Doctor, { agent }: { readonly agent: { destroy(): void } }): () => void {
    return doctor.watch({
      onChange: (finding) => {
        if (finding === undefined) return void this.#log.write("info", "sound again");
        this.#log.write("error", "not sound", { code: codeOf(finding) });
        agent.destroy();
      },
    });
  }
}

interface Listening<Config, ParentConfig> {
  readonly env: EnclaveEnv<Config, ParentConfig>;
  readonly tls: ServerTls | undefined;
  readonly platform: Platform;
  readonly transport: Transport;
}

async function readParentConfig<ParentConfig>(
  reader: ParentConfigReader<ParentConfig> | "locked" | undefined,
  { platform: { nsm, parent }, transport }: Starting,
): Promise<ParentConfig> {
  if (reader === "locked") await nsm.lockPcr(CONFIGURATION_PCR);
  // Without a reader there is nothing to be typed.
  if (reader === "locked" || reader === undefined) return undefined as ParentConfig;
  return reader.read(await measuredConfiguration({ transport, parent, nsm }));
}
