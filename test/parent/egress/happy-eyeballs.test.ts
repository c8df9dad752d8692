import type { Duplex } from "node:stream";
import { describe, expect, test, vi } from "vitest";
import { readAllowlist } from "../../../parent/egress/allowlist.ts";
import { dial } from "../../../parent/egress/dial.ts";
import { connectFirst, interleave } from "../../../parent/egress/happy-eyeballs.ts";
import { parseTarget } from "../../../shared/transport/target.ts";
import { createMemoryPair } from "../../../transport/memory.ts";
import { codeOf } from "../../transport/streams.ts";
import "../fixture.ts";

interface Attempt {
  readonly address: string;
  readonly signal: AbortSignal;
  readonly succeed: () => Duplex;
  readonly fail: (code: string) => void;
}

/** Records the attempts; each ends when the test says so, or when it is given up. */
function attempts(): { list: Attempt[]; connect: (address: string, signal: AbortSignal) => Promise<Duplex> } {
  const list: Attempt[] = [];
  const connect = (address: string, signal: AbortSignal): Promise<Duplex> =>
    new Promise((resolve, reject) => {
      signal.addEventListener("abort", () => reject(signal.reason), { once: true });
      list.push({
        address,
        signal,
        succeed: () => {
          const [socket] = createMemoryPair();
          resolve(socket);
          return socket;
        },
        fail: (code) => reject(Object.assign(new Error("failed"), { code })),
      });
    });
  return { list, connect };
}

const SIX = ["2600:1f18::1", "2600:1f18::2"];
const FOUR = ["52.94.5.10", "52.94.5.11", "52.94.5.12"];
const forever = new AbortController().signal;

describe("the order of addresses", () => {
  test.each<[string, readonly string[], readonly string[]]>([
    ["families in turn, IPv6 first", [...FOUR, ...SIX], [SIX[0], FOUR[0], SIX[1], FOUR[1], FOUR[2]] as string[]],
    ["IPv4 alone", FOUR, FOUR],
    ["IPv6 alone", SIX, SIX],
    ["none", [], []],
  ])("%s", (_, given, wanted) => {
    expect(interleave(given)).toEqual(wanted);
  });
});

describe("the first that answers", () => {
  test("R18: the second address is tried after 250 ms, not before, and both go on", async () => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    const { list, connect } = attempts();
    const connecting = connectFirst([...SIX, ...FOUR], connect, forever);
    await vi.advanceTimersByTimeAsync(249);
    expect(list.map(({ address }) => address)).toEqual([SIX[0]]);
    await vi.advanceTimersByTimeAsync(1);
    expect(list.map(({ address }) => address)).toEqual([SIX[0], FOUR[0]]);
    const socket = list[1]?.succeed();
    expect(await connecting).toBe(socket);
    expect([list[0]?.signal.aborted, socket?.destroyed]).toEqual([true, false]);
    await vi.advanceTimersByTimeAsync(10_000);
    expect([list.length, vi.getTimerCount()]).toEqual([2, 0]);
  });

  test("R18: a refusal starts the next at once; the last refusal is the answer", async () => {
    const { list, connect } = attempts();
    const connecting = codeOf(connectFirst(FOUR, connect, forever));
    for (const code of ["ECONNREFUSED", "EHOSTUNREACH", "ENETUNREACH"]) {
      list.at(-1)?.fail(code);
      await new Promise(setImmediate);
    }
    expect(await connecting).toBe("ENETUNREACH");
    expect(list.map(({ address }) => address)).toEqual(FOUR);
  });

  test("a connection that comes after the winner is destroyed", async () => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    const { list, connect } = attempts();
    const connecting = connectFirst(FOUR, connect, forever);
    await vi.advanceTimersByTimeAsync(250);
    const [first, second] = [list[0]?.succeed(), list[1]?.succeed()];
    expect(await connecting).toBe(first);
    await new Promise(setImmediate);
    expect([first?.destroyed, second?.destroyed]).toEqual([false, true]);
  });

  test("given up, every attempt is given up, and no other is started", async () => {
    const { list, connect } = attempts();
    const end = new AbortController();
    const connecting = connectFirst(FOUR, connect, end.signal);
    end.abort(Object.assign(new Error("enough"), { code: "ENOUGH" }));
    expect(await codeOf(connecting)).toBe("ENOUGH");
    expect(list.map(({ signal }) => signal.aborted)).toEqual([true]);
  });
});

describe("a dial", () => {
  const counts = (): { resolutions: number; resolutionFailures: number; connectFailures: number } => {
    return { resolutions: 0, resolutionFailures: 0, connectFailures: 0 };
  };
  const target = readAllowlist(["a.test:443"]).find(parseTarget("a.test:443"));
  if (!target) throw new Error("not allowed");

  test("R08: only addresses that were checked are dialled, on the target's port", async () => {
    const dialled: string[] = [];
    const connect = async (address: string, port: number): Promise<Duplex> => {
      dialled.push(`${address} ${port}`);
      throw Object.assign(new Error("refused"), { code: "ECONNREFUSED" });
    };
    const resolve = async (): Promise<string[]> => [
      "169.254.169.254",
      "10.0.0.1",
      FOUR[0] ?? "",
      "fe80::1",
      SIX[0] ?? "",
    ];
    const tally = counts();
    expect(await codeOf(dial(target, { resolve, timeoutMs: 1_000, counts: tally, connect }))).toBe(
      "ERR_TRANSPORT_UNREACHABLE",
    );
    expect(dialled).toEqual([`${SIX[0]} 443`, `${FOUR[0]} 443`]);
    expect(tally).toEqual({ resolutions: 1, resolutionFailures: 0, connectFailures: 1 });
  });

  test("R18: a target that swallows every packet costs the whole time limit and no more", async () => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    const { list, connect } = attempts();
    const dialling = dial(target, {
      resolve: async () => FOUR,
      timeoutMs: 5_000,
      counts: counts(),
      connect: (address, _, signal) => connect(address, signal),
    }).catch((error: unknown) => error);
    await vi.advanceTimersByTimeAsync(4_999);
    expect(list.map(({ signal }) => signal.aborted)).toEqual([false, false, false]);
    await vi.advanceTimersByTimeAsync(1);
    expect(await dialling).toMatchObject({ code: "ERR_TRANSPORT_UNREACHABLE", details: { reason: "ETIMEDOUT" } });
    expect([list.map(({ signal }) => signal.aborted), vi.getTimerCount()]).toEqual([[true, true, true], 0]);
  });

  test("R26: nobody waits for it any more: resolving and connecting end at once", async () => {
    const gone = new AbortController();
    const { list, connect } = attempts();
    const options = { timeoutMs: 5_000, counts: counts(), signal: gone.signal };
    const resolving = dial(target, { ...options, resolve: () => new Promise(() => {}) }).catch((e: unknown) => e);
    const connecting = dial(target, {
      ...options,
      resolve: async () => FOUR,
      connect: (address, _, signal) => connect(address, signal),
    }).catch((error: unknown) => error);
    await vi.waitFor(() => expect(list.length).toBe(1));
    gone.abort();
    for (const outcome of [await resolving, await connecting]) {
      expect(outcome).toMatchObject({ details: { reason: "ECONNABORTED" } });
    }
    expect(list[0]?.signal.aborted).toBe(true);
  });
});
