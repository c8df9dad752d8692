/**
 * The data sets that the enclave holds: each opened once, and remembered with the digest of what it was opened from.
 *
 * @module
 */
import { createHash } from "node:crypto";
import type { EnclaveEnv } from "../../enclave/app/env.ts";
import { ConfigError, DataError } from "../../shared/errors/index.ts";
import type { Tables } from "./queries.ts";
import { readFlights, readStrikes } from "./tables.ts";

type TableName = keyof Tables;

/** Part of the image, and measured with it. */
export interface JointAnalysisConfig {
  /** Which key opens a data set, by its full ARN, and the encryption context that the message must carry. */
  readonly datasets: Readonly<Record<TableName, { readonly keyArn: string; readonly context: Record<string, string> }>>;
}

/** What is needed of the enclave's environment. */
type Env = Pick<EnclaveEnv<JointAnalysisConfig>, "config" | "open">;

const READERS = { flights: readFlights, strikes: readStrikes } as const;

export class TableStore {
  /** Names that are loaded or being loaded. */
  readonly #taken = new Set<TableName>();
  readonly #tables: { -readonly [Name in TableName]?: Tables[Name] } = {};
  readonly #digests = new Map<TableName, string>();

  /** SHA-384 of each sealed message that was opened, hex: what an answer was computed from. */
  get inputs(): Readonly<Record<string, string>> {
    return Object.fromEntries(this.#digests);
  }

  /** @throws {DataError} `ERR_DATA_MISSING` */
  get tables(): Tables {
    const { flights, strikes } = this.#tables;
    if (!flights) throw new DataError("ERR_DATA_MISSING", { dataset: "flights" });
    if (!strikes) throw new DataError("ERR_DATA_MISSING", { dataset: "strikes" });
    return { flights, strikes };
  }

  /**
   * Opens a sealed message, once for each name; a failure leaves the name free.
   *
   * @throws {DataError} `ERR_DATA_LOADED`, `ERR_DATA_NOT_OPENED`, `ERR_DATA_HEADER`, `ERR_DATA_ROW`
   * @throws {KmsError} KMS did not release the key
   * @throws {ConfigError} not a data set of this enclave
   */
  async load(name: string, message: Uint8Array, env: Env): Promise<void> {
    if (name !== "flights" && name !== "strikes") {
      const known = Object.keys(READERS);
      throw new ConfigError("ERR_CONFIG_FIELD_UNKNOWN", { field: "dataset", known });
    }
    if (this.#taken.has(name)) throw new DataError("ERR_DATA_LOADED", { dataset: name });
    this.#taken.add(name);
    try {
      const plaintext = await env.open(message, { ...env.config.datasets[name], dataset: name });
      try {
        Object.assign(this.#tables, { [name]: READERS[name](plaintext) });
      } finally {
        plaintext.fill(0);
      }
      this.#digests.set(name, createHash("sha384").update(message).digest("hex"));
    } catch (error) {
      this.#taken.delete(name);
      throw error;
    }
  }
}
