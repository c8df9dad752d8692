/**
 * The data sets that the enclave holds: each opened once, and remembered with the digest of what it was opened from.
 *
 * @module
 */
import { createHash } from "node:crypto";
import { kmsFailure } from "../../enclave/kms/client.ts";
import { type EncryptionContext, type KmsCalls, open } from "../../shared/envelope/sealed.ts";
import { ConfigError, DataError } from "../../shared/errors/index.ts";
import type { Tables } from "./queries.ts";
import { readFlights, readStrikes } from "./tables.ts";

type TableName = keyof Tables;

/** Which key opens a data set. Part of the image, and measured with it. */
export interface DatasetConfig {
  /** Full ARN of the owner's KMS key. */
  readonly keyArn: string;
  /** The encryption context that the message must carry. */
  readonly context: EncryptionContext;
}

export interface TableStoreOptions {
  readonly datasets: Readonly<Record<TableName, DatasetConfig>>;
  /** An attested KMS client for the region of a key. */
  readonly kmsFor: (region: string) => KmsCalls;
}

const READERS = { flights: readFlights, strikes: readStrikes } as const;

export class TableStore {
  readonly #options: TableStoreOptions;
  /** Names that are loaded or being loaded. */
  readonly #taken = new Set<TableName>();
  readonly #tables: { -readonly [Name in TableName]?: Tables[Name] } = {};
  readonly #digests = new Map<TableName, string>();

  constructor(options: TableStoreOptions) {
    this.#options = options;
  }

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
  async load(name: string, message: Uint8Array): Promise<void> {
    if (name !== "flights" && name !== "strikes") {
      const known = Object.keys(READERS);
      throw new ConfigError("ERR_CONFIG_FIELD_UNKNOWN", { field: "dataset", known });
    }
    if (this.#taken.has(name)) throw new DataError("ERR_DATA_LOADED", { dataset: name });
    this.#taken.add(name);
    try {
      const rows = await this.#open(name, message);
      Object.assign(this.#tables, { [name]: rows });
      this.#digests.set(name, createHash("sha384").update(message).digest("hex"));
    } catch (error) {
      this.#taken.delete(name);
      throw error;
    }
  }

  async #open(name: TableName, message: Uint8Array): Promise<Tables[TableName]> {
    const { keyArn, context } = this.#options.datasets[name];
    const kms = this.#options.kmsFor(keyArn.split(":")[3] ?? "");
    const plaintext = await open(message, { kms, keyArn, context, dataset: name }).catch((error: unknown) => {
      throw kmsFailure("Decrypt", error);
    });
    try {
      return READERS[name](plaintext);
    } finally {
      plaintext.fill(0);
    }
  }
}
