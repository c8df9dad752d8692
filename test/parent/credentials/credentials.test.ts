import { once } from "node:events";
import { inspect } from "node:util";
import { describe, expect, test, vi } from "vitest";
import { parentCredentials } from "../../../enclave/egress/credentials.ts";
import { type ContainerCredentials, startCredentials } from "../../../parent/credentials/credentials.ts";
import { startCredentialsHttp } from "../../../parent/credentials/http-form.ts";
import type { ParentEvent } from "../../../parent/observability/observe.ts";
import { addressOf, type Peer } from "../../../shared/transport/address.ts";
import { openChannel } from "../../../shared/transport/channel.ts";
import { CREDENTIALS_PORT } from "../../../shared/transport/ports.ts";
import type { Transport } from "../../../shared/transport/transport.ts";
import { codeOf } from "../../transport/streams.ts";
import { cleanups, freshPeer, transport, turns, until } from "../fixture.ts";

const NOW = new Date("2026-05-01T12:00:00Z");
const GOOD: ContainerCredentials = {
  AccessKeyId: "ASIACANARYACCESSKEYI",
  SecretAccessKey: "canary-secret-access-key-0123456789abcd",
  Token: "canary-session-token",
  Expiration: "2026-05-01T13:00:00Z",
};

describe("credentials", () => {
  async function vend(provide: () => unknown): Promise<{ parent: Peer; events: ParentEvent[]; seen: Buffer[] }> {
    const parent = freshPeer();
    const events: ParentEvent[] = [];
    const seen: Buffer[] = [];
    const service = await startCredentials({
      transport,
      address: addressOf(parent, CREDENTIALS_PORT),
      provide: provide as () => ContainerCredentials,
      log: (event) => void events.push(event),
      tap: (_, direction, bytes) =>
        void seen.push(Buffer.from(`${direction} ${Buffer.from(bytes).toString("latin1")}`)),
    });
    cleanups.push(() => service.close());
    return { parent, events, seen };
  }

  test("reach the AWS SDK's form, cross the tap, and stay out of the parent's log", async () => {
    const { parent, events, seen } = await vend(() => ({ ...GOOD, Internal: "canary-internal" }));
    expect(await parentCredentials({ transport, parent, now: () => NOW })()).toEqual({
      accessKeyId: GOOD.AccessKeyId,
      secretAccessKey: GOOD.SecretAccessKey,
      sessionToken: GOOD.Token,
      expiration: new Date(GOOD.Expiration),
    });
    expect(inspect(events, { depth: null })).not.toMatch(/canary/i);
    const crossed = Buffer.concat(seen).toString();
    expect(crossed).toMatch(/from-enclave .*credentials/s);
    expect(crossed).toContain(GOOD.Token);
    expect(crossed).not.toContain("canary-internal");
  });

  test("callers share one question; it is asked again from five minutes before the end, without waiting", async () => {
    let asked = 0;
    let now = NOW.getTime();
    const { parent } = await vend(() => ({
      ...GOOD,
      Token: `token-${++asked}`,
      Expiration: new Date(now + 3_600_000).toISOString(),
    }));
    const provide = parentCredentials({ transport, parent, now: () => new Date(now), monotonicMs: () => now });
    const tokens = await Promise.all(Array.from({ length: 20 }, async () => (await provide()).sessionToken));
    expect(new Set(tokens)).toEqual(new Set(["token-1"]));
    now += 3_300_000 - 1;
    expect((await provide()).sessionToken).toBe("token-1");
    expect(asked).toBe(1);
    now += 1;
    expect((await provide()).sessionToken).toBe("token-1");
    await until(() => asked === 2);
    await turns(50);
    expect((await provide()).sessionToken).toBe("token-2");
  });

  test("a failed refresh goes unnoticed to the last second, and is told when the old ones have ended", async () => {
    let now = NOW.getTime();
    let asked = 0;
    let broken = false;
    const { parent, events } = await vend(() => {
      asked++;
      if (broken) throw new Error("canary: no role");
      return { ...GOOD, Expiration: new Date(now + 600_000).toISOString() };
    });
    const clocks = { now: () => new Date(now), monotonicMs: () => now };
    const provide = parentCredentials({ transport, parent, ...clocks, patienceMs: 0 });
    const first = await provide();
    broken = true;
    now += 600_000 - 30_001;
    expect(await provide()).toBe(first);
    // The refresh fails behind it, and nobody hears of an unhandled rejection.
    await turns(50);
    // It is not asked again for every call.
    expect(await provide()).toBe(first);
    await turns(50);
    expect(asked).toBe(2);
    now += 30_000;
    expect(await provide()).toBe(first);
    expect(asked).toBe(3);
    now += 1;
    await expect(provide()).rejects.toMatchObject({
      code: "ERR_TRANSPORT_REQUEST_REFUSED",
      details: { method: "credentials", refusal: "ERR_INTERNAL" },
    });
    await until(() => events.filter(({ event }) => event === "failed").length === 3);
    expect(inspect(events, { depth: null })).not.toContain("canary");
    broken = false;
    expect((await provide()).accessKeyId).toBe(GOOD.AccessKeyId);
  });

  test("without any at hand the question is put again, with rests that grow, until patience ends", async () => {
    const rests: number[] = [];
    let now = NOW.getTime();
    let broken = 5;
    const { parent } = await vend(() => {
      if (broken-- > 0) throw new Error("not yet");
      return GOOD;
    });
    const clocks = { now: () => new Date(now), monotonicMs: () => now };
    const rest = async (ms: number): Promise<void> => {
      rests.push(ms);
      now += ms;
    };
    const provide = (): Promise<unknown> =>
      parentCredentials({ transport, parent, ...clocks, rest, patienceMs: 5_000 })();
    expect(await provide()).toMatchObject({ accessKeyId: GOOD.AccessKeyId });
    expect(rests).toEqual([100, 200, 400, 800, 1_600]);
    broken = Number.POSITIVE_INFINITY;
    rests.length = 0;
    await expect(provide()).rejects.toMatchObject({ code: "ERR_TRANSPORT_REQUEST_REFUSED" });
    expect(rests).toEqual([100, 200, 400, 800, 1_600]);
  });

  test("credentials that have ended are asked for again; an answer of the wrong form is not", async () => {
    let asked = 0;
    const answers = [{ ...GOOD, Expiration: "2026-05-01T11:00:00Z" }, GOOD];
    const { parent } = await vend(() => answers[asked++] ?? { ...GOOD, AccessKeyId: "short" });
    const rest = async (): Promise<void> => {};
    const ask = (): Promise<unknown> => parentCredentials({ transport, parent, now: () => NOW, rest })();
    expect(await ask()).toMatchObject({ accessKeyId: GOOD.AccessKeyId });
    expect(await codeOf(ask())).toBe("ERR_TRANSPORT_CREDENTIALS_INVALID");
    expect(asked).toBe(3);
  });

  test("R31: a wall clock that is put back does not lengthen the life of credentials", async () => {
    let now = NOW.getTime();
    let monotonic = 0;
    let asked = 0;
    const { parent } = await vend(() => {
      asked++;
      return { ...GOOD, Expiration: new Date(NOW.getTime() + 3_600_000).toISOString() };
    });
    const provide = parentCredentials({ transport, parent, now: () => new Date(now), monotonicMs: () => monotonic });
    await provide();
    now -= 86_400_000;
    monotonic += 3_600_000 - 300_001;
    await provide();
    expect(asked).toBe(1);
    monotonic += 300_001;
    await provide();
    expect(asked).toBe(2);
  });

  test.each<[string, unknown, string]>([
    ["no access key", { ...GOOD, AccessKeyId: "" }, "AccessKeyId"],
    ["an access key with a line end", { ...GOOD, AccessKeyId: `${GOOD.AccessKeyId}\n` }, "AccessKeyId"],
    ["a secret that is a number", { ...GOOD, SecretAccessKey: 1 }, "SecretAccessKey"],
    ["a token with CR LF", { ...GOOD, Token: "a\r\nX-Header: b" }, "Token"],
    ["a token of 16 385 characters", { ...GOOD, Token: "t".repeat(16_385) }, "Token"],
    ["no expiration", { ...GOOD, Expiration: "never" }, "Expiration"],
    ["an expiration of today, local time", { ...GOOD, Expiration: "2026-05-01T13:00:00" }, "Expiration"],
    ["an expiration that has been", { ...GOOD, Expiration: "2026-05-01T12:00:00Z" }, "Expiration"],
    ["a day that is none", { ...GOOD, Expiration: "2026-13-41T12:00:00Z" }, "Expiration"],
  ])("G03: %s is refused, and the error holds no value", async (_, answer, field) => {
    const { parent } = await vend(() => answer);
    const error = await parentCredentials({ transport, parent, now: () => NOW, patienceMs: 0 })().catch(
      (e: unknown) => e,
    );
    expect(error).toMatchObject({ code: "ERR_TRANSPORT_CREDENTIALS_INVALID", details: { field } });
    expect(inspect(error, { depth: null, showHidden: true })).not.toMatch(/canary/i);
  });

  test("nobody vends", async () => {
    const provide = parentCredentials({ transport, parent: freshPeer(), patienceMs: 0 });
    expect(await codeOf(provide())).toBe("ERR_TRANSPORT_UNREACHABLE");
  });

  test("the service answers one method, and lives through a peer that breaks the rules", async () => {
    const { parent } = await vend(() => ({ ...GOOD, Expiration: "2999-01-01T00:00:00Z" }));
    const socket = await transport.connect(addressOf(parent, CREDENTIALS_PORT));
    socket.write(Buffer.from("ffffffff00", "hex"));
    await once(socket.resume(), "end");
    socket.destroy();
    const other = openChannel(await transport.connect(addressOf(parent, CREDENTIALS_PORT)), { peer: "parent" });
    expect(await codeOf(other.request("roles", {}))).toBe("ERR_TRANSPORT_REQUEST_REFUSED");
    await other.close();
    expect((await parentCredentials({ transport, parent })()).accessKeyId).toBe(GOOD.AccessKeyId);
  });

  test("R24: over vsock peers must be named, whatever the transport takes; those and no others are given to it", async () => {
    const asked: unknown[] = [];
    const recording: Transport = {
      connect: transport.connect,
      listen: (_, onConnection, options) => {
        asked.push(options?.allowedCids);
        return transport.listen({ kind: "tcp", host: "127.0.0.1", port: 0 }, onConnection);
      },
    };
    const given = { transport: recording, address: { kind: "vsock", cid: 3, port: 8_002 } as const, log: () => {} };
    for (const start of [startCredentials, startCredentialsHttp]) {
      for (const allowedCids of [undefined, [], "any" as unknown as number[]]) {
        expect(await codeOf(start({ ...given, provide: () => GOOD, allowedCids }))).toBe("ERR_CONFIG_FIELD_MISSING");
      }
      await (await start({ ...given, provide: () => GOOD, allowedCids: [16] })).close();
    }
    expect(asked).toEqual([[16], [16]]);
  });

  test("a connection that says nothing for a minute is closed", async () => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    const { parent, events } = await vend(() => GOOD);
    const socket = await transport.connect(addressOf(parent, CREDENTIALS_PORT));
    await until(() => events.length > 0);
    vi.advanceTimersByTime(59_999);
    await turns(20);
    expect(events.map(({ event }) => event)).toEqual(["accepted"]);
    vi.advanceTimersByTime(1);
    await once(socket.resume(), "end");
    socket.destroy();
    await until(() => events.some(({ event }) => event === "closed"));
  });
});
