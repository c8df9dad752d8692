import { describe, expect, test } from "vitest";
import { startConfiguration } from "../../../parent/configuration/configuration.ts";
import type { ParentEvent } from "../../../parent/observability/observe.ts";
import { addressOf } from "../../../shared/transport/address.ts";
import { openChannel } from "../../../shared/transport/channel.ts";
import { CONFIG_PORT } from "../../../shared/transport/ports.ts";
import { codeOf } from "../../transport/streams.ts";
import { cleanups, freshPeer, transport, until } from "../fixture.ts";

const bytes = (text: string): Uint8Array => new Uint8Array(Buffer.from(text));

async function start(document: Uint8Array | "none", events: ParentEvent[] = []) {
  const address = addressOf(freshPeer(), CONFIG_PORT);
  const log = (event: ParentEvent): void => void events.push(event);
  const service = await startConfiguration({ transport, address, document, log });
  cleanups.push(() => service.close());
  const ask = async (method = "configuration"): Promise<unknown> => {
    const channel = openChannel(await transport.connect(address), { peer: "parent" });
    cleanups.push(() => channel.close());
    return channel.request(method, {});
  };
  return { service, ask };
}

describe("the parent's configuration service", () => {
  test("gives the document's bytes, white space and all", async () => {
    const text = '{ "limit": 7 }\n';
    const { ask } = await start(bytes(text));
    expect(await ask()).toEqual({ document: Buffer.from(text).toString("base64") });
  });

  test("says that there is none", async () => {
    expect(await (await start("none")).ask()).toEqual({ document: null });
  });

  test("gives what was checked, whatever becomes of the caller's bytes", async () => {
    const document = bytes('{"limit":7}');
    const { ask } = await start(document);
    document.fill(0x20);
    expect(await ask()).toEqual({ document: Buffer.from('{"limit":7}').toString("base64") });
  });

  test.each<[string, string]>([
    ["no JSON", "limit: 7"],
    ["a key twice", '{"a":1,"a":1}'],
    ["64 KiB and a byte", `"${"x".repeat(65_535)}"`],
  ])("does not start with %s, and does not quote it", async (_, text) => {
    const refused = await start(bytes(text)).catch((error: unknown) => error);
    expect(refused).toMatchObject({ code: "ERR_CONFIG_FIELD_INVALID" });
    expect(String(refused)).not.toContain(text.slice(0, 8));
  });

  test("over vsock does not start without naming whom it serves", async () => {
    const address = { kind: "vsock", cid: 3, port: CONFIG_PORT } as const;
    const starting = startConfiguration({ transport, address, document: "none", log: () => {} });
    expect(await codeOf(starting)).toBe("ERR_CONFIG_FIELD_MISSING");
  });

  test("knows no other request, counts, and tells of each connection", async () => {
    const events: ParentEvent[] = [];
    const { service, ask } = await start(bytes("1"), events);
    await expect(ask("credentials")).rejects.toMatchObject({ code: "ERR_TRANSPORT_REQUEST_REFUSED" });
    await ask();
    await until(() => service.stats().accepted === 2);
    expect(service.stats().bytesToEnclave).toBeGreaterThan(0);
    expect(events.filter(({ event }) => event === "connected").length).toBe(1);
    expect(new Set(events.map((event) => event.service))).toEqual(new Set(["configuration"]));
  });
});
