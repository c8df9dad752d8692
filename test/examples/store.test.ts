/**
 * The enclave's data sets: each is loaded once, and a failure leaves its name free.
 */
import { createHash } from "node:crypto";
import { describe, expect, test } from "vitest";
import { TableStore } from "../../examples/joint-analysis/store.ts";
import { utf8 } from "../../shared/bytes.ts";
import { type KmsCalls, open, seal } from "../../shared/envelope/sealed.ts";

const KEY = "arn:aws:kms:eu-central-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab";
const context = { dataset: "x" };
const FLIGHTS = "date,origin,state,destination,distance_miles,delay_minutes\n2001-01-01,A,Texas,B,1,2\n";

/** A KMS with one data key, which it gives to everybody: what is tested here is the store. */
const kms: KmsCalls = {
  generateDataKey: async () => ({
    $metadata: {},
    KeyId: KEY,
    Plaintext: new Uint8Array(32),
    CiphertextBlob: utf8("blob"),
  }),
  encrypt: () => Promise.reject(new Error("not called")),
  decrypt: async () => ({ $metadata: {}, KeyId: KEY, Plaintext: new Uint8Array(32) }),
};
const dataset = { keyArn: KEY, context };
const env: Parameters<TableStore["load"]>[2] = {
  config: { datasets: { flights: dataset, strikes: dataset } },
  open: (message, options) => open(message, { ...options, kms }),
};
/** A store as the enclave's environment uses it. */
function makeStore() {
  const store = new TableStore();
  const load = (name: string, message: Uint8Array) => store.load(name, message, env);
  return {
    load,
    get inputs() {
      return store.inputs;
    },
    get tables() {
      return store.tables;
    },
  };
}
const sealed = (text: string) => seal(utf8(text), { kms, keyArn: KEY, context });

describe("a table store", () => {
  test("opens a message once and names it by its digest", async () => {
    const store = makeStore();
    const message = await sealed(FLIGHTS);
    await store.load("flights", message);
    expect(store.inputs).toEqual({ flights: createHash("sha384").update(message).digest("hex") });
    await expect(store.load("flights", message)).rejects.toMatchObject({ code: "ERR_DATA_LOADED" });
    await expect(store.load("flights", await sealed(FLIGHTS))).rejects.toMatchObject({ code: "ERR_DATA_LOADED" });
  });

  test("of two at once one wins", async () => {
    const store = makeStore();
    const message = await sealed(FLIGHTS);
    const loads = await Promise.allSettled([store.load("flights", message), store.load("flights", message)]);
    expect(loads.map(({ status }) => status).sort()).toEqual(["fulfilled", "rejected"]);
  });

  test("a failure leaves the name free and nothing behind", async () => {
    const store = makeStore();
    await expect(store.load("flights", await sealed("no header\n"))).rejects.toMatchObject({ code: "ERR_DATA_HEADER" });
    expect(store.inputs).toEqual({});
    await store.load("flights", await sealed(FLIGHTS));
    expect(() => store.tables).toThrow(expect.objectContaining({ code: "ERR_DATA_MISSING" }));
  });

  test("a broken row is refused by place, and its value is not told", async () => {
    const broken = makeStore().load("flights", await sealed(FLIGHTS.replace(",1,2\n", ",1,two\n")));
    const error = await broken.catch((refusal: unknown) => refusal);
    expect(error).toMatchObject({ code: "ERR_DATA_ROW", details: { line: 2, column: "delay_minutes" } });
    expect(JSON.stringify(error)).not.toContain("two");
  });

  test("knows no other names", async () => {
    for (const name of ["salaries", "__proto__", ""]) {
      await expect(makeStore().load(name, await sealed(FLIGHTS))).rejects.toMatchObject({
        code: "ERR_CONFIG_FIELD_UNKNOWN",
      });
    }
  });
});
