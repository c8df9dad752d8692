import { inspect } from "node:util";
import { describe, expect, test, vi } from "vitest";
import type { ContainerCredentials, ProvideCredentials } from "../../../parent/credentials/container-credentials.ts";
import { type RefreshingOptions, refreshing } from "../../../parent/credentials/refreshing.ts";
import { codeOf } from "../../transport/streams.ts";
import { turns } from "../fixture.ts";

const START = Date.parse("2026-05-01T12:00:00Z");
const HOUR = 3_600_000;
const MINUTE = 60_000;

/** A source whose credentials live an hour, and a provider over it, on a clock that the test moves. */
class Bed {
  wall = START;
  monotonic = 0;
  asked = 0;
  answer: () => unknown = () => this.#fresh(HOUR);
  readonly provide: ProvideCredentials;

  constructor(options: RefreshingOptions = {}) {
    const source = async (): Promise<ContainerCredentials> => {
      this.asked++;
      return (await this.answer()) as ContainerCredentials;
    };
    const clocks = { now: () => new Date(this.wall), monotonicMs: () => this.monotonic, random: () => 0 };
    this.provide = refreshing(source, { ...clocks, ...options });
  }

  #fresh(lifeMs: number): object {
    return credentials(`token-${this.asked}`, this.wall + lifeMs);
  }

  pass(ms: number): void {
    this.wall += ms;
    this.monotonic += ms;
  }

  async token(): Promise<string> {
    const { Token } = await this.provide();
    await turns(5); // a question behind the answer comes to its end
    return Token;
  }
}

function credentials(token: string, endsAt: number): ContainerCredentials {
  const Expiration = new Date(endsAt).toISOString();
  return { AccessKeyId: "ASIACANARYACCESSKEYI", SecretAccessKey: "canary-secret-0123456789", Token: token, Expiration };
}

const fail = (): never => {
  throw Object.assign(new Error("source is away"), { code: "EAWAY" });
};

describe("credentials that are refreshed", () => {
  test("one question for many callers, and none while the end is far", async () => {
    const bed = new Bed();
    const tokens = await Promise.all(Array.from({ length: 50 }, async () => (await bed.provide()).Token));
    expect(new Set(tokens)).toEqual(new Set(["token-1"]));
    bed.pass(HOUR - 10 * MINUTE - 1);
    expect(await bed.token()).toBe("token-1");
    expect(bed.asked).toBe(1);
  });

  test("ten minutes before the end a question is put behind the answer; the next caller has the new ones", async () => {
    const bed = new Bed();
    await bed.token();
    bed.pass(HOUR - 10 * MINUTE);
    expect([await bed.token(), await bed.token()]).toEqual(["token-1", "token-2"]);
    expect(bed.asked).toBe(2);
  });

  test("in the last half minute the new ones are waited for", async () => {
    const bed = new Bed();
    await bed.token();
    bed.pass(HOUR - 30_000);
    expect(await bed.token()).toBe("token-2");
  });

  test("the old ones serve to the last second when the source fails, and not a second longer", async () => {
    const bed = new Bed();
    await bed.token();
    bed.answer = fail;
    bed.pass(HOUR - 20_000);
    expect(await bed.token()).toBe("token-1");
    bed.pass(19_999);
    expect(await bed.token()).toBe("token-1");
    bed.pass(1);
    expect(await codeOf(bed.token())).toBe("EAWAY");
  });

  test("after failures the source rests, longer each time and at most five seconds; then it is asked again", async () => {
    const bed = new Bed();
    bed.answer = fail;
    const gaps: number[] = [];
    for (let failures = 1, since = 0; failures <= 8; since += 25) {
      await codeOf(bed.token());
      if (bed.asked === failures) {
        gaps.push(since);
        failures++;
        since = 0;
      }
      bed.pass(25);
    }
    expect(gaps).toEqual([0, 125, 250, 500, 1_000, 2_000, 2_500, 2_500]);
    bed.answer = () => credentials("back", bed.wall + HOUR);
    bed.pass(2_500);
    expect(await bed.token()).toBe("back");
  });

  test("a source that has no newer ones yet is not asked for every call", async () => {
    const bed = new Bed();
    const same = credentials("same", START + HOUR);
    bed.answer = () => same;
    await bed.token();
    bed.pass(HOUR - 9 * MINUTE);
    for (let i = 0; i < 20; i++) expect(await bed.token()).toBe("same");
    expect(bed.asked).toBe(2);
    bed.pass(2_500);
    await bed.token();
    expect(bed.asked).toBe(3);
  });

  test("a rest does not outlast the credentials: when they have ended the source is asked", async () => {
    const bed = new Bed();
    bed.answer = () => credentials("short", bed.wall + 2_000);
    expect(await bed.token()).toBe("short");
    bed.pass(1_999);
    expect(await bed.token()).toBe("short");
    expect(bed.asked).toBe(1);
    bed.pass(1);
    bed.answer = () => credentials("next", bed.wall + HOUR);
    expect(await bed.token()).toBe("next");
  });

  test("what the source gives must have an end ahead; otherwise the old ones stay", async () => {
    const bed = new Bed();
    bed.answer = () => credentials("over", bed.wall);
    expect(await codeOf(bed.token())).toBe("ERR_TRANSPORT_CREDENTIALS_INVALID");
    bed.pass(MINUTE);
    bed.answer = () => credentials("good", bed.wall + HOUR);
    await bed.token();
    bed.answer = () => ({ ...credentials("bad", bed.wall + HOUR), Expiration: "tomorrow" });
    bed.pass(HOUR - 1);
    expect(await bed.token()).toBe("good");
  });

  test("a source that does not answer holds nobody for longer than ten seconds", async () => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    const bed = new Bed();
    bed.answer = () => new Promise(() => {});
    const waiting = [codeOf(bed.token()), codeOf(bed.token())];
    await vi.advanceTimersByTimeAsync(10_000);
    expect(await Promise.all(waiting)).toEqual(["ERR_TRANSPORT_TIMEOUT", "ERR_TRANSPORT_TIMEOUT"]);
    expect(bed.asked).toBe(1);
  });

  test.each([
    ["forwards: new ones are asked for", 86_400_000, 0, 2],
    ["back: they end when they end", -86_400_000, HOUR, 2],
    ["back, and little time passes: they are kept", -86_400_000, MINUTE, 1],
  ])("R31: the wall clock jumps a day %s", async (_, jump, passes, asked) => {
    const bed = new Bed();
    await bed.token();
    bed.wall += jump;
    bed.monotonic += passes;
    await bed.token();
    expect(bed.asked).toBe(asked);
  });

  test("G07: printed, inspected or as JSON they show nothing but their end; G11: toJSON throws", async () => {
    const given = await new Bed().provide();
    for (const shown of [
      inspect(given, { showHidden: true, depth: null }),
      String(given),
      inspect({ deep: [given] }),
    ]) {
      expect(shown).toContain("credentials until 2026-05-01T13:00:00.000Z");
      expect(shown).not.toMatch(/canary|token-1/i);
    }
    expect(() => JSON.stringify({ given })).toThrow(TypeError);
    expect({ ...given }).not.toHaveProperty("SecretAccessKey");
  });

  test("a time ahead that is shorter than the margin is a mistake", () => {
    expect(() => refreshing(fail, { aheadMs: 29_999 })).toThrow(RangeError);
  });
});
