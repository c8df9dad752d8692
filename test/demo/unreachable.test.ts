/**
 * The world of the demo, built as the demo builds it, with something missing.
 */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type * as Cast from "../../cli/demo/cast.ts";
import type * as Owners from "../../cli/demo/owners.ts";
import type * as Worlds from "../../cli/demo/world.ts";
import type * as Enclave from "../../client/enclave.ts";

const dist = new URL("../../dist/", import.meta.url);
const APP = new URL("examples/joint-analysis/enclave.bundle.mjs", dist);
const load = async <Module>(path: string): Promise<Module> => (await import(new URL(path, dist).href)) as Module;
const TABLE = Buffer.from("date,origin,state,destination,distance_miles,delay_minutes\n2001-01-01,A,Texas,B,1,1\n");

let sealed: Uint8Array;
let world: Worlds.World;
let client: Enclave.EnclaveClient;

async function codeOf(attempt: Promise<unknown>): Promise<unknown> {
  const error = await attempt.then(
    () => ({ code: "answered", kind: "none" }),
    (refusal: unknown) => refusal as { code: string; kind: string },
  );
  return { code: error.code, kind: error.kind };
}

beforeAll(async () => {
  const { World } = await load<typeof Worlds>("cli/demo/world.js");
  const { createEnclaveClient } = await load<typeof Enclave>("client/enclave.js");
  const { createKey, gateKey, sealTable } = await load<typeof Owners>("cli/demo/owners.js");
  const { CARRIER } = await load<typeof Cast>("cli/demo/cast.js");
  world = await World.start();
  const keyArn = await createKey(world, CARRIER);
  const dataset = { keyArn, context: CARRIER.context };
  const image = await world.build("app", APP, { datasets: { flights: dataset, strikes: dataset } });
  await gateKey(world, CARRIER, keyArn, image.path);
  sealed = (await sealTable(world, CARRIER, keyArn, TABLE)).message;
  await world.run(image.path);
  client = createEnclaveClient({ address: world.ingress });
}, 60_000);

afterAll(async () => {
  await world[Symbol.asyncDispose]();
});

describe("an enclave that runs", () => {
  test("refuses a query before its data came", async () => {
    expect(await codeOf(client.ask("/queries/strike-cost-by-state"))).toEqual({
      code: "ERR_DATA_MISSING",
      kind: "usage",
    });
  });

  test("refuses a data set it does not know", async () => {
    expect(await codeOf(client.load("salaries", Uint8Array.of(1)))).toEqual({
      code: "ERR_CONFIG_FIELD_UNKNOWN",
      kind: "usage",
    });
  });

  test("refuses data that is no sealed message", async () => {
    const refusal = { code: "ERR_DATA_NOT_OPENED", kind: "not authentic" };
    expect(await codeOf(client.load("flights", Uint8Array.of(1, 2, 3)))).toEqual(refusal);
    expect(await codeOf(client.load("flights", new Uint8Array(0)))).toEqual(refusal);
  });

  test("refuses 65 MiB without reading them all", async () => {
    const big = new Uint8Array(65 * 1024 * 1024);
    expect(await codeOf(client.load("flights", big))).not.toMatchObject({ code: "answered" });
    expect(await codeOf(client.ask("/status"))).toEqual({ code: "answered", kind: "none" });
  });

  test("says so by name when KMS has gone, and the name stays free for a later try", { timeout: 60_000 }, async () => {
    await world.aws.close();
    expect(await codeOf(client.load("flights", sealed))).toMatchObject({ kind: "unreachable" });
    expect(await codeOf(client.load("flights", sealed))).toMatchObject({ kind: "unreachable" });
  });
});
