/**
 * Prepares the two real data sets of the demo on their owners' side, before they are sealed.
 *
 *   strikes   10 000 wildlife strikes reported to the US Federal Aviation Administration, 1990 to 2002
 *   flights   60 000 US departures of January 2001, US Bureau of Transportation Statistics
 *
 * Both come from the npm package `vega-datasets` 3.2.1 (package BSD-3-Clause; the data are US government works, see its
 * `datapackage.json`), which is a development dependency and not part of the published package.
 *
 * @module
 */
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { utf8 } from "../../shared/bytes.ts";
import { ConfigError } from "../../shared/errors/index.ts";
import { quote, readCsv } from "./csv.ts";
import { STATE_NAMES } from "./states.ts";
import { FLIGHTS_HEADER, STRIKES_HEADER } from "./tables.ts";

const FLIGHT_ROWS = 60_000;
const BIRDSTRIKES_HEADER = [
  "Airport Name",
  "Aircraft Make Model",
  "Effect Amount of damage",
  "Flight Date",
  "Aircraft Airline Operator",
  "Origin State",
  "Phase of flight",
  "Wildlife Size",
  "Wildlife Species",
  "Time of day",
  "Cost Other",
  "Cost Repair",
  "Cost Total $",
  "Speed IAS in knots",
];
const AIRPORTS_HEADER = ["iata", "name", "city", "state", "country", "latitude", "longitude"];

export interface OwnersData {
  readonly flights: Uint8Array;
  readonly strikes: Uint8Array;
}

/** @throws {ConfigError} `ERR_CONFIG_FILE` when the data packages are not installed */
export async function prepareOwnersData(): Promise<OwnersData> {
  return { flights: await prepareFlights(), strikes: await prepareStrikes() };
}

/** @throws {ConfigError} `ERR_CONFIG_FILE` when the data packages are not installed */
export async function requireDataPackages(): Promise<void> {
  await dataFile("airports.csv");
}

async function dataFile(name: string): Promise<{ path: string; bytes: Uint8Array }> {
  try {
    // The package exports its entry only; the tables lie beside it.
    const entry = createRequire(import.meta.url).resolve("vega-datasets");
    const path = join(dirname(entry), "..", "data", name);
    return { path, bytes: new Uint8Array(await readFile(path)) };
  } catch (cause) {
    const reason = "the published data comes with a clone, after npm ci; give your own with --flights and --strikes";
    throw new ConfigError("ERR_CONFIG_FILE", { path: `vega-datasets/data/${name}`, reason }, { cause });
  }
}

function table(header: readonly string[], rows: readonly (readonly string[])[]): Uint8Array {
  return utf8(`${[header, ...rows].map((row) => row.map(quote).join(",")).join("\n")}\n`);
}

async function prepareStrikes(): Promise<Uint8Array> {
  const { bytes } = await dataFile("birdstrikes.csv");
  const rows = Array.from(readCsv(bytes, { dataset: "birdstrikes.csv", header: BIRDSTRIKES_HEADER }), ({ fields }) => {
    const [airport = "", , damage = "", date = "", operator = "", state = "", , , species = "", , , , cost = ""] =
      fields;
    return [date, airport, state, operator, species, damage, cost];
  });
  return table(STRIKES_HEADER, rows);
}

interface DepartureRow {
  readonly date: Date;
  readonly origin: string;
  readonly destination: string;
  readonly distance: bigint;
  readonly delay: bigint;
}

async function prepareFlights(): Promise<Uint8Array> {
  const { bytes } = await dataFile("airports.csv");
  const airports = readCsv(bytes, { dataset: "airports.csv", header: AIRPORTS_HEADER });
  const stateOf = new Map(Array.from(airports, ({ fields }) => [fields[0] ?? "", STATE_NAMES[fields[3] ?? ""]]));
  const rows = (await readDepartures()).map(({ date, origin, destination, distance, delay }) => [
    date.toISOString().slice(0, 10),
    origin,
    stateOf.get(origin) ?? "Elsewhere",
    destination,
    String(distance),
    String(delay),
  ]);
  return table(FLIGHTS_HEADER, rows);
}

async function readDepartures(): Promise<DepartureRow[]> {
  const { path } = await dataFile("flights-3m.parquet");
  const { asyncBufferFromFile, parquetReadObjects } = await import("hyparquet");
  const { compressors } = await import("hyparquet-compressors");
  const file = await asyncBufferFromFile(path);
  const rows = await parquetReadObjects({ file, compressors, rowStart: 0, rowEnd: FLIGHT_ROWS });
  return rows as unknown as DepartureRow[];
}
