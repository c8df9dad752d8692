/**
 * Gets the configuration that the parent hands this enclave, and measures it before anybody reads it.
 *
 *   ask the parent → 64 KiB at most → SHA-384 into PCR16 → lock PCR16 → strict JSON → the application's own reader
 *
 * The register is locked whatever was handed, nothing included: nobody can extend it later, and a document shows it. A
 * document that breaks a rule has been measured by then, so the refusal can not be undone by asking for another one: the
 * enclave does not start. The parent may come up later than its enclave, so it is asked again for a while.
 *
 * @module
 */
import {
  CONFIGURATION_MAX,
  CONFIGURATION_METHOD,
  CONFIGURATION_PCR,
  configurationDigest,
  parseConfiguration,
} from "../../shared/configuration/document.ts";
import { EnclaveError, isTransportError } from "../../shared/errors/index.ts";
import type { NsmDevice } from "../../shared/nsm/device.ts";
import { addressOf, formatAddress, type Peer } from "../../shared/transport/address.ts";
import { openChannel } from "../../shared/transport/channel.ts";
import { isJsonObject, type Json } from "../../shared/transport/json.ts";
import { CONFIG_PORT } from "../../shared/transport/ports.ts";
import type { Transport } from "../../shared/transport/transport.ts";

export interface ConfigurationOptions {
  readonly transport: Transport;
  readonly parent: Peer;
  readonly nsm: Pick<NsmDevice, "extendPcr" | "lockPcr">;
  /** How long a parent that is not there yet is waited for, in milliseconds. Default 15 000. */
  readonly patienceMs?: number;
  /** A clock that only goes forward, in milliseconds. Default `performance.now`. */
  readonly monotonicMs?: () => number;
  /** Waits so many milliseconds. Default: a timer. */
  readonly rest?: (ms: number) => Promise<void>;
}

const FRAME_BYTES_MAX = 2 * CONFIGURATION_MAX;
const REQUEST_TIMEOUT_MS = 5_000;
const REST_FIRST_MS = 100;
const REST_LONGEST_MS = 2_000;

/**
 * The document, or `undefined` when the parent says that it has none. PCR16 is locked in both cases.
 *
 * @throws {EnclaveError} `ERR_ENCLAVE_CONFIGURATION`
 * @throws {TransportError} the parent was not reached
 * @throws {NsmError} PCR16 is locked already
 */
export async function measuredConfiguration(options: ConfigurationOptions): Promise<Json | undefined> {
  const { nsm } = options;
  const document = readAnswer(await persistently(options));
  if (document !== undefined) await nsm.extendPcr(CONFIGURATION_PCR, await configurationDigest(document));
  await nsm.lockPcr(CONFIGURATION_PCR);
  return document === undefined ? undefined : parseConfiguration(document);
}

async function persistently(options: ConfigurationOptions): Promise<Json> {
  const { patienceMs = 15_000, monotonicMs = () => performance.now() } = options;
  const { rest = (ms) => new Promise((resolve) => setTimeout(resolve, ms)) } = options;
  const started = monotonicMs();
  for (let pause = REST_FIRST_MS; ; pause = Math.min(2 * pause, REST_LONGEST_MS)) {
    try {
      return await ask(options);
    } catch (error) {
      const isAway = isTransportError(error) && error.kind === "unreachable";
      if (!isAway || monotonicMs() - started + pause >= patienceMs) throw error;
      await rest(pause);
    }
  }
}

async function ask({ transport, parent }: ConfigurationOptions): Promise<Json> {
  const address = addressOf(parent, CONFIG_PORT);
  const socket = await transport.connect(address, { timeoutMs: REQUEST_TIMEOUT_MS });
  const channel = openChannel(socket, { peer: formatAddress(address), maxFrameBytes: FRAME_BYTES_MAX });
  try {
    return await channel.request(CONFIGURATION_METHOD, {}, { timeoutMs: REQUEST_TIMEOUT_MS });
  } finally {
    void channel.close();
  }
}

function readAnswer(answer: Json): Uint8Array | undefined {
  const document = isJsonObject(answer) ? answer["document"] : undefined;
  if (document === null) return undefined;
  const bytes = typeof document === "string" ? Buffer.from(document, "base64") : undefined;
  // One text for each byte string: what decodes leniently is not what was measured elsewhere.
  if (bytes === undefined || bytes.toString("base64") !== document) {
    throw new EnclaveError("ERR_ENCLAVE_CONFIGURATION", { rule: "the answer holds base64, or null" });
  }
  if (bytes.length > CONFIGURATION_MAX) {
    throw new EnclaveError("ERR_ENCLAVE_CONFIGURATION", { rule: `at most ${CONFIGURATION_MAX} bytes` });
  }
  return new Uint8Array(bytes);
}
