/**
 * When a client stops asking, and how it finds out that it may again.
 */
import { describe, expect, test } from "vitest";
import { Circuit } from "../../../enclave/kms/circuit.ts";
import {
  attestedClient,
  decrypt,
  honest,
  type Reply,
  refusal,
  restless,
  SECRET,
  startDouble,
  verdict,
} from "./double.ts";

describe("a circuit", () => {
  function make() {
    let nowMs = 0;
    const circuit = new Circuit({ failures: 3, restMs: 1_000 }, () => nowMs);
    const enter = (): string => {
      try {
        circuit.enter("Decrypt")("neither");
        return "passes";
      } catch (error) {
        return `in ${(error as { details: { retryInMs: number } }).details.retryInMs} ms`;
      }
    };
    return { circuit, enter, at: (ms: number) => (nowMs = ms) };
  }
  const fail = (circuit: Circuit, times: number): void => {
    for (let i = 0; i < times; i++) circuit.enter("Decrypt")("failed");
  };

  test("opens after so many failures in a row, and one answer starts the count again", () => {
    const { circuit, enter } = make();
    fail(circuit, 2);
    circuit.enter("Decrypt")("answered");
    fail(circuit, 2);
    expect(enter()).toBe("passes");
    fail(circuit, 1);
    expect(enter()).toBe("in 1000 ms");
  });

  test("lets one find out after its rest: an answer closes it, a failure opens it again", () => {
    const { circuit, enter, at } = make();
    fail(circuit, 3);
    at(999);
    expect(enter()).toBe("in 1 ms");
    at(1_000);
    const probe = circuit.enter("Decrypt");
    expect(enter(), "one at a time").toBe("in 0 ms");
    probe("failed");
    expect(enter()).toBe("in 1000 ms");
    at(2_000);
    circuit.enter("Decrypt")("answered");
    expect(enter()).toBe("passes");
    fail(circuit, 2);
    expect(enter()).toBe("passes");
  });

  test("one that was given up says nothing, and lets the next find out", () => {
    const { circuit, enter, at } = make();
    fail(circuit, 3);
    at(1_000);
    circuit.enter("Decrypt")("neither");
    expect(enter()).toBe("passes");
    fail(circuit, 1);
    expect(enter()).toBe("in 1000 ms");
  });

  test.each([{ failures: 0 }, { failures: 1.5 }, { restMs: 0 }, { restMs: Number.NaN }])(
    "%o is a mistake",
    (options) => {
      expect(() => new Circuit(options, () => 0)).toThrow(RangeError);
    },
  );
});

describe("a client with a circuit", () => {
  test("asks no more while KMS is away, says so by name, and asks again", async () => {
    let isAway = true;
    const away: Reply = (socket) => void socket.resetAndDestroy();
    await using double = await startDouble((asked) => (isAway ? away : honest(asked)));
    let nowMs = 0;
    const timing = { ...restless(), monotonicMs: () => nowMs };
    const kms = attestedClient(double, { timing, circuit: { failures: 6, restMs: 1_000 } });
    expect(await verdict(decrypt(kms))).toBe("ERR_KMS_UNREACHABLE");
    expect(await verdict(decrypt(kms)), "the last failure says more than the circuit").toBe("ERR_KMS_UNREACHABLE");
    expect(double.asked.length).toBe(6);
    expect(await verdict(decrypt(kms))).toBe("ERR_KMS_CIRCUIT_OPEN");
    expect(double.asked.length).toBe(6);
    [isAway, nowMs] = [false, 1_000];
    expect(await verdict(decrypt(kms))).toBe(SECRET);
  });

  test.each([
    ["being throttled", refusal(400, "ThrottlingException")],
    ["being denied", refusal(400, "AccessDeniedException")],
  ])("%s is an answer", async (_, reply) => {
    await using double = await startDouble(() => reply);
    const kms = attestedClient(double, { circuit: { failures: 1 }, retry: { attempts: 2 } });
    for (let i = 0; i < 3; i++) expect(await verdict(decrypt(kms))).toMatch(/^ERR_KMS_(REFUSED|ACCESS_DENIED)$/);
  });
});
