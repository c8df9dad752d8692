/**
 * What the parent hands in: parsed as data, measured before it is read, refused when it has two meanings.
 */
import { describe, expect, test } from "vitest";
import { measuredConfiguration } from "../../../enclave/config/configuration.ts";
import { decodeAttestationUnverified } from "../../../shared/attestation/inspect.ts";
import { isAllZero } from "../../../shared/bytes.ts";
import { configurationPcr } from "../../../shared/configuration/document.ts";
import { addressOf } from "../../../shared/transport/address.ts";
import { CONFIG_PORT } from "../../../shared/transport/ports.ts";
import { serveChannel } from "../../../shared/transport/serve-channel.ts";
import { codeOf } from "../../transport/streams.ts";
import { cleanup, freshPeer, makeWorld, transport, type World } from "../app/world.ts";

const utf8 = (text: string): Uint8Array => new Uint8Array(Buffer.from(text));

/** A parent that answers as it likes. */
async function hostile(answer: unknown): Promise<World> {
  const world = await makeWorld();
  const listener = await transport.listen(addressOf(world.platform.parent, CONFIG_PORT), (socket) => {
    serveChannel(socket, { requests: { configuration: () => answer as never } }, { maxFrameBytes: 1_000_000 });
  });
  cleanup(() => listener.close());
  return world;
}

const get = ({ platform: { nsm, parent } }: World, more: object = {}) =>
  measuredConfiguration({ transport, parent, nsm, ...more });
const pcr16 = async ({ platform: { nsm } }: World): Promise<Uint8Array | undefined> =>
  decodeAttestationUnverified(await nsm.attest({})).pcrs.get(16);
const base64 = (text: string): { document: string } => ({ document: Buffer.from(text).toString("base64") });

describe("a configuration from the parent", () => {
  test("is data, and PCR16 of every document says which bytes it was", async () => {
    const text = '{ "limit": 7, "names": ["a"] }\n';
    const world = await makeWorld({ configuration: text });
    expect(await get(world)).toEqual({ limit: 7, names: ["a"] });
    expect(await pcr16(world)).toEqual(await configurationPcr(utf8(text)));
    expect(await configurationPcr(utf8(text))).not.toEqual(await configurationPcr(utf8(text.trim())));
    expect(await codeOf(world.platform.nsm.extendPcr(16, utf8("more")))).toBe("ERR_NSM_REFUSED");
  });

  test("that does not exist leaves PCR16 zero, and locked", async () => {
    const world = await makeWorld({ configuration: "none" });
    expect(await get(world)).toBeUndefined();
    expect(isAllZero((await pcr16(world)) ?? Uint8Array.of(1))).toBe(true);
    expect(await codeOf(world.platform.nsm.extendPcr(16, utf8("later")))).toBe("ERR_NSM_REFUSED");
  });

  test("A6: becomes no environment, no argument and no prototype", async () => {
    const before = JSON.stringify([process.env, process.argv, process.execArgv]);
    const text = '{"NODE_OPTIONS":"--require=x","LD_PRELOAD":"/x.so","constructor":{"prototype":{"admin":true}}}';
    const world = await makeWorld({ configuration: text });
    await get(world);
    expect(JSON.stringify([process.env, process.argv, process.execArgv])).toBe(before);
    expect(({} as { admin?: unknown }).admin).toBeUndefined();
  });

  test.each<[string, string]>([
    ["a key twice", '{"a":1,"a":2}'],
    ["__proto__", '{"__proto__":{"admin":true}}'],
    ["33 levels", "[".repeat(33) + "]".repeat(33)],
    ["a number beyond a double", "[1e999]"],
    ["a byte order mark", "\ufeff{}"],
    ["no JSON", "limit: 7"],
    ["nothing", ""],
    ["64 KiB and a byte", `"${"x".repeat(65_535)}"`],
  ])("%s is refused, and was measured before", async (_, text) => {
    const world = await hostile(base64(text));
    const refused = await get(world).catch((error: unknown) => error);
    expect(refused).toMatchObject({ code: "ERR_ENCLAVE_CONFIGURATION" });
    if (text.length <= 65_536) expect(await pcr16(world)).toEqual(await configurationPcr(utf8(text)));
  });

  test("of exactly 64 KiB, and 32 levels, is taken", async () => {
    const large = JSON.stringify("x".repeat(65_534));
    expect(await get(await makeWorld({ configuration: large }))).toHaveLength(65_534);
    expect(await get(await hostile(base64("[".repeat(32) + "]".repeat(32))))).toHaveLength(1);
  });

  test.each<[string, unknown]>([
    ["no field", {}],
    ["a document that is an object", { document: {} }],
    ["base64 without its end", { document: "MQ" }],
    ["base64 that another text stands for too", { document: "MR==" }],
    ["base64 with white space", { document: "MQ==\n" }],
    ["no object", "e30="],
  ])("an answer of another form is refused: %s", async (_, answer) => {
    expect(await codeOf(get(await hostile(answer)))).toBe("ERR_ENCLAVE_CONFIGURATION");
  });

  test("G02: a refusal does not quote the text", async () => {
    const world = await hostile(base64('{"token":"canary-51f0", oops}'));
    const refused = (await get(world).catch((error: unknown) => error)) as Error;
    expect(JSON.stringify(refused) + String(refused.stack) + String(refused.cause)).not.toContain("canary-51f0");
  });

  test("a parent that is not there yet is asked again, and after a while no more", async () => {
    const world = await makeWorld();
    const rests: number[] = [];
    let clock = 0;
    const rest = async (ms: number): Promise<void> => {
      rests.push(ms);
      clock += ms;
    };
    const away = get(world, { rest, monotonicMs: () => clock, patienceMs: 1_000 });
    expect(await codeOf(away)).toBe("ERR_TRANSPORT_UNREACHABLE");
    expect(rests).toEqual([100, 200, 400]);
    const peer = freshPeer();
    const late = async (): Promise<void> => {
      const listener = await transport.listen(addressOf(peer, CONFIG_PORT), (socket) => {
        serveChannel(socket, { requests: { configuration: () => base64("1") } });
      });
      cleanup(() => listener.close());
    };
    const platform = { ...world.platform, parent: peer };
    expect(await get({ ...world, platform }, { rest: late })).toBe(1);
  });

  test("an application reads it before it starts, and a reader that throws keeps it down", async () => {
    const world = await makeWorld({ configuration: '{"limit":7}' });
    const read = (json: unknown) => (json as { limit: number }).limit;
    await world.launch({ tls: "off", parentConfig: { read }, fetch: (_, env) => Response.json(env.parentConfig) });
    expect((await world.ask("/")).text).toBe("7");
    const other = await makeWorld({ configuration: "none" });
    const demanding = { read: (json: unknown) => (json as { limit: number }).limit };
    await expect(other.launch({ tls: "off", parentConfig: demanding, fetch: () => new Response() })).rejects.toThrow(
      TypeError,
    );
  });

  test("an application that takes none can lock PCR16, and one that says nothing leaves it", async () => {
    const locked = await makeWorld();
    await locked.launch({ tls: "off", parentConfig: "locked", fetch: () => new Response() });
    expect(isAllZero((await pcr16(locked)) ?? Uint8Array.of(1))).toBe(true);
    const own = await makeWorld();
    await own.launch({ tls: "off", fetch: () => new Response() });
    expect(await pcr16(own)).toBeUndefined();
  });
});
