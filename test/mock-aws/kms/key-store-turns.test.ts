/** Requests about one custom key store that come together: each finds what those before it left. */
import { randomBytes } from "node:crypto";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { JsonObject } from "../../../mock/aws/json.ts";
import { Turns } from "../../../mock/aws/kms/turns.ts";
import { CREDENTIAL, HOST, PATH, startXksDouble, type XksDouble } from "../stores/xks-double.ts";
import { type BareKms, openBareKms, outcome, present } from "./bed.ts";

const Credential = { AccessKeyId: CREDENTIAL.accessKeyId, RawSecretAccessKey: CREDENTIAL.rawSecretAccessKey };
const named = (CustomKeyStoreName: string, XksProxyUriEndpoint = `https://${HOST}`) => ({
  ...{ CustomKeyStoreName, CustomKeyStoreType: "EXTERNAL_KEY_STORE", XksProxyConnectivity: "PUBLIC_ENDPOINT" },
  ...{ XksProxyUriEndpoint, XksProxyUriPath: PATH, XksProxyAuthenticationCredential: Credential },
});

let proxy: XksDouble;
let bed: BareKms;
beforeEach(async () => {
  proxy = await startXksDouble();
  proxy.keys.set("external-1", {
    ...{ material: randomBytes(32), spec: "AES_256", usage: ["ENCRYPT", "DECRYPT"], status: "ENABLED" },
  });
  const xksAddresses = { [`https://${HOST}`]: { host: "127.0.0.1", port: proxy.port } };
  bed = openBareKms({ keyStores: { xksCertificateAuthorities: [proxy.caCertificatePem], xksAddresses } });
});
afterEach(async () => {
  await bed[Symbol.asyncDispose]();
  await proxy[Symbol.asyncDispose]();
});
const call = (operation: string, input: JsonObject) => bed.call(bed.caller("admin"), operation, input);
const outcomes = (...calls: readonly (readonly [string, JsonObject])[]) =>
  Promise.all(calls.map(([operation, input]) => outcome(call(operation, input))));
const newStore = async () =>
  (await call("CreateCustomKeyStore", named("one"))) as { readonly CustomKeyStoreId: string };
const stateOf = async (store: JsonObject) => {
  const { CustomKeyStores } = await call("DescribeCustomKeyStores", store);
  return (CustomKeyStores as JsonObject[])[0]?.["ConnectionState"];
};
const keyIn = (store: JsonObject) => ({ ...store, Origin: "EXTERNAL_KEY_STORE", XksKeyId: "external-1" });

describe("together", () => {
  test("two stores of one name: the second is refused", async () => {
    const create = ["CreateCustomKeyStore", named("one")] as const;
    expect(await outcomes(create, create)).toEqual(["ok", "CustomKeyStoreNameInUseException"]);
    expect(bed.state.keyStoreTurns.size).toBe(0);
  });

  test("the tenth store and the eleventh: the second is refused", async () => {
    const store = await newStore();
    const { keyStores } = bed.state.keys.tables;
    const { xks: _, ...row } = present(keyStores.get(store.CustomKeyStoreId));
    await call("DeleteCustomKeyStore", store);
    for (let i = 0; i < 9; i++) keyStores.set(`cks-${i}`, { ...row, id: `cks-${i}`, name: `${i}` });
    const create = (name: string) => ["CreateCustomKeyStore", named(name)] as const;
    expect(await outcomes(create("tenth"), create("eleventh"))).toEqual(["ok", "LimitExceededException"]);
  });

  test("two keys over one external key: the second is refused", async () => {
    const store = await newStore();
    await call("ConnectCustomKeyStore", store);
    const create = ["CreateKey", keyIn(store)] as const;
    expect(await outcomes(create, create)).toEqual(["ok", "XksKeyAlreadyInUseException"]);
  });

  test("an update, then a disconnect: the store is disconnected", async () => {
    const store = await newStore();
    await call("ConnectCustomKeyStore", store);
    const update = { ...store, XksProxyAuthenticationCredential: Credential };
    const both = await outcomes(["UpdateCustomKeyStore", update], ["DisconnectCustomKeyStore", store]);
    expect([...both, await stateOf(store)]).toEqual(["ok", "ok", "DISCONNECTED"]);
  });

  test("a connect, then a delete: the delete is refused; the other way about, the connect", async () => {
    const store = await newStore();
    const connect = ["ConnectCustomKeyStore", store] as const;
    const remove = ["DeleteCustomKeyStore", store] as const;
    expect(await outcomes(connect, remove)).toEqual(["ok", "CustomKeyStoreInvalidStateException"]);
    expect(await stateOf(store)).toBe("CONNECTED");
    await call("DisconnectCustomKeyStore", store);
    expect(await outcomes(remove, connect)).toEqual(["ok", "CustomKeyStoreNotFoundException"]);
  });

  test("a key, then a disconnect and a delete: the store stays with its key", async () => {
    const store = await newStore();
    await call("ConnectCustomKeyStore", store);
    expect(
      await outcomes(["CreateKey", keyIn(store)], ["DisconnectCustomKeyStore", store], ["DeleteCustomKeyStore", store]),
    ).toEqual(["ok", "ok", "CustomKeyStoreHasCMKsException"]);
  });
});

describe("a store that is connected, after a restart", () => {
  /** Backends that were opened and those that are still open. */
  function watchBackends(): { opened: number; open: number } {
    const seen = { opened: 0, open: 0 };
    const { keyStores } = bed.state;
    const openFor = keyStores.openFor.bind(keyStores);
    keyStores.openFor = (row) => {
      const backend = openFor(row);
      const dispose = backend[Symbol.asyncDispose].bind(backend);
      seen.opened++;
      seen.open++;
      backend[Symbol.asyncDispose] = () => {
        seen.open--;
        return dispose();
      };
      return backend;
    };
    return seen;
  }
  async function restarted(): Promise<readonly [string, JsonObject]> {
    const store = await newStore();
    await call("ConnectCustomKeyStore", store);
    const { KeyMetadata } = (await call("CreateKey", keyIn(store))) as { KeyMetadata: { KeyId: string } };
    await bed.state.keyStores.disconnect(store.CustomKeyStoreId);
    return ["Encrypt", { KeyId: KeyMetadata.KeyId, Plaintext: "AAAA" }];
  }

  test("first uses that come together share one backend, which closing closes", async () => {
    const encrypt = await restarted();
    const backends = watchBackends();
    expect(await outcomes(encrypt, encrypt, encrypt)).toEqual(["ok", "ok", "ok"]);
    expect(backends).toEqual({ opened: 1, open: 1 });
    await bed.state.keyStores[Symbol.asyncDispose]();
    expect(backends.open).toBe(0);
  });

  test("a backend that is still being dialled is closed too", async () => {
    const encrypt = await restarted();
    const backends = watchBackends();
    const asked = outcomes(encrypt);
    while (backends.opened === 0) await new Promise(setImmediate);
    await bed.state.keyStores[Symbol.asyncDispose]();
    expect(backends).toEqual({ opened: 1, open: 0 });
    await asked;
  });

  test("what did not open is tried again", async () => {
    const encrypt = await restarted();
    const backends = watchBackends();
    proxy.misbehave = { kind: "error", status: 401, name: "AuthenticationFailedException" };
    expect(await outcomes(encrypt)).not.toEqual(["ok"]);
    proxy.misbehave = undefined;
    expect(await outcomes(encrypt)).toEqual(["ok"]);
    expect(backends).toEqual({ opened: 2, open: 1 });
  });
});

test.each(["https://1.2.3.4.5", "https://..", "https://xn--a"])("%s is a proxy nobody can reach", async (endpoint) => {
  expect(await outcome(call("CreateCustomKeyStore", named("one", endpoint)))).toBe("XksProxyUriUnreachableException");
});

describe("turns", () => {
  test("one at a time in the order they came, also after one that failed; other keys do not wait", async () => {
    const turns = new Turns();
    const seen: string[] = [];
    const work = (name: string, end: Promise<void>) => async () => {
      seen.push(`${name} starts`);
      await end;
      seen.push(`${name} ends`);
    };
    let endFirst: (error: Error) => void = () => undefined;
    const first = turns.take("a", work("first", new Promise((_, reject) => (endFirst = reject))));
    const second = turns.take("a", work("second", Promise.resolve()));
    await turns.take("b", work("other", Promise.resolve()));
    expect(seen).toEqual(["first starts", "other starts", "other ends"]);
    endFirst(new Error("failed"));
    await expect(first).rejects.toThrow("failed");
    await second;
    expect(seen.slice(3)).toEqual(["second starts", "second ends"]);
    expect(turns.size).toBe(0);
  });
});
