/**
 * Row K39: what is tried again, how often, with which document and within which time.
 */
import { createHash } from "node:crypto";
import type { Socket } from "node:net";
import { describe, expect, test } from "vitest";
import { readUserData } from "../../../shared/attestation/user-data.ts";
import {
  type Asked,
  attestedClient,
  countingNsm,
  decrypt,
  honest,
  KEY,
  type Reply,
  refusal,
  restless,
  SECRET,
  startDouble,
  verdict,
} from "./double.ts";

const reset = (socket: Socket): void => void socket.resetAndDestroy();

describe("K39: a KMS that is busy, broken or out of reach for a moment", () => {
  const FAULTS: readonly (readonly [string, Reply])[] = [
    ["500", refusal(500, "KMSInternalException")],
    ["502 and no JSON", { status: 502, body: "<html>bad gateway</html>" }],
    ["503", refusal(503, "ServiceUnavailable")],
    ["504", refusal(504, "DependencyTimeoutException")],
    ["ThrottlingException", refusal(400, "ThrottlingException")],
    ["429", refusal(429, "TooManyRequestsException")],
    ["RST", reset],
    ["FIN", (socket) => void socket.destroy()],
  ];

  test.each(FAULTS)("K39: %s three times is waited out", async (_, fault) => {
    await using double = await startDouble((asked, index) => (index < 3 ? fault : honest(asked)));
    expect(await verdict(decrypt(attestedClient(double)))).toBe(SECRET);
    expect(double.asked.length).toBe(4);
  });

  test.each(FAULTS)("K39: %s four times is what the caller sees, and how often is told", async (name, fault) => {
    await using double = await startDouble(() => fault);
    const error: unknown = await decrypt(attestedClient(double)).catch((refused: unknown) => refused);
    expect(double.asked.length).toBe(4);
    const wanted = /RST|FIN|no JSON/.test(name) ? "ERR_KMS_UNREACHABLE" : "ERR_KMS_REFUSED";
    expect(await verdict(Promise.reject(error))).toBe(wanted);
    if (wanted === "ERR_KMS_REFUSED") expect(error).toMatchObject({ $metadata: { attempts: 4 } });
  });

  test.each([
    ["AccessDeniedException", "ERR_KMS_ACCESS_DENIED"],
    ["DisabledException", "ERR_KMS_REFUSED"],
    ["InvalidCiphertextException", "ERR_KMS_REFUSED"],
    ["LimitExceededException", "ERR_KMS_REFUSED"],
  ])("K39: %s is an answer", async (name, wanted) => {
    await using double = await startDouble(() => refusal(400, name));
    expect([await verdict(decrypt(attestedClient(double))), double.asked.length]).toEqual([wanted, 1]);
  });

  test("K39: the connection reset after each byte of the answer: the next attempt answers", async () => {
    let whole: Uint8Array = new Uint8Array(0);
    let at = 0;
    await using double = await startDouble((asked, index) => {
      if (index % 2 === 1) return honest(asked);
      whole = httpBytes(honest(asked));
      return (socket) => socket.write(whole.subarray(0, at), () => reset(socket));
    });
    const kms = attestedClient(double, { circuit: { failures: 2 } });
    const step = process.env["SLOW"] === "1" ? 1 : 7;
    for (at = 0; at === 0 || at < whole.length; at += step)
      expect(await verdict(decrypt(kms)), `byte ${at}`).toBe(SECRET);
    expect(double.asked.length).toBe(2 * Math.ceil(whole.length / step));
  });

  test("K39: rests are jittered over the whole of a bound that doubles up to its cap", async () => {
    await using double = await startDouble(() => refusal(500, "KMSInternalException"));
    const retry = { attempts: 6, baseMs: 100, capMs: 700 };
    for (const random of [0, 0.5, 1]) {
      const timing = { ...restless(), random: () => random };
      await verdict(decrypt(attestedClient(double, { timing, retry, circuit: { failures: 100 } })));
      expect(timing.rests).toEqual([100, 200, 400, 700, 700].map((boundMs) => boundMs * random));
    }
  });
});

/** An answer as it stands on the wire. */
function httpBytes(reply: Reply): Uint8Array {
  if (typeof reply === "function") throw new TypeError("no bytes");
  const head = ["HTTP/1.1 200 OK", "content-type: application/x-amz-json-1.1", `content-length: ${reply.body.length}`];
  return Buffer.from(`${head.join("\r\n")}\r\n\r\n${reply.body}`);
}

describe("K39: documents", () => {
  const serials = (asked: readonly Asked[]): (number | undefined)[] => asked.map(({ document }) => document?.serial);

  test("K39: one serves calls until its age limit, and none beyond", async () => {
    await using double = await startDouble((asked) => honest(asked));
    let nowMs = 0;
    const timing = { ...restless(), monotonicMs: () => nowMs };
    const kms = attestedClient(double, { timing, documents: { maxAgeMs: 60_000 } });
    for (const atMs of [0, 1, 59_999, 60_000, 119_999, 120_000]) {
      nowMs = atMs;
      await decrypt(kms);
    }
    expect(serials(double.asked)).toEqual([0, 0, 0, 1, 1, 2]);
  });

  test("K39: with an age limit of 0 each attempt has its own", async () => {
    await using double = await startDouble((asked, index) =>
      index === 1 ? refusal(400, "ThrottlingException") : honest(asked),
    );
    const kms = attestedClient(double, { documents: { maxAgeMs: 0 } });
    for (let i = 0; i < 2; i++) await decrypt(kms);
    expect(serials(double.asked)).toEqual([0, 1, 2]);
  });

  test("K39: the attempt after a failed one has a newer document; after a throttled one it need not", async () => {
    const replies = [refusal(500, "KMSInternalException"), reset, refusal(400, "ThrottlingException")];
    await using double = await startDouble((asked, index) => replies[index] ?? honest(asked));
    expect(await decrypt(attestedClient(double))).toBe(SECRET);
    expect(serials(double.asked)).toEqual([0, 1, 2, 2]);
  });

  test("K39: one that KMS no longer takes is made anew, once; a new one that it does not take is refused", async () => {
    let isStale = (asked: Asked): boolean => asked.document?.serial === 0;
    let calls = 0;
    await using double = await startDouble((asked) =>
      calls > 1 && isStale(asked) ? refusal(400, "ValidationException") : honest(asked),
    );
    const kms = attestedClient(double);
    const call = async (): Promise<string> => {
      calls++;
      return verdict(decrypt(kms));
    };
    expect([await call(), await call()]).toEqual([SECRET, SECRET]);
    expect(serials(double.asked)).toEqual([0, 0, 1]);
    isStale = () => true;
    expect(await call()).toBe("ERR_KMS_REFUSED");
    expect(serials(double.asked)).toEqual([0, 0, 1, 1, 2]);
    const fresh = attestedClient(double);
    expect(await verdict(decrypt(fresh)), "the first call of a client").toBe("ERR_KMS_REFUSED");
    expect(double.asked.length).toBe(6);
  });

  test("calls that fail together share the newer document", async () => {
    await using double = await startDouble((asked) =>
      asked.document?.serial === 0 ? refusal(500, "KMSInternalException") : honest(asked),
    );
    const nsm = countingNsm();
    const kms = attestedClient(double, { nsm, circuit: { failures: 100 } });
    await Promise.all(Array.from({ length: 20 }, () => decrypt(kms)));
    expect(nsm.made).toBe(2);
  });

  test("say what they are for: KMS, and the very key", async () => {
    await using double = await startDouble((asked) => honest(asked));
    await decrypt(attestedClient(double));
    const { publicKey = "", userData = "" } = double.asked[0]?.document ?? {};
    const { purpose, digest } = readUserData(Buffer.from(userData)) ?? {};
    expect(purpose).toBe("kms");
    expect(Buffer.from(digest ?? [])).toEqual(createHash("sha384").update(Buffer.from(publicKey, "base64")).digest());
  });

  test.each([-1, 240_001, Number.NaN])("an age limit of %d is a mistake", (maxAgeMs) => {
    expect(() => attestedClient({ port: 1 }, { documents: { maxAgeMs } })).toThrow(RangeError);
  });

  test("an NSM that fails is the caller's to see, and is asked again by the next call", async () => {
    await using double = await startDouble((asked) => honest(asked));
    const { attest } = countingNsm();
    let isBroken = true;
    const nsm = { attest: (request: object) => (isBroken ? Promise.reject(new Error("no NSM")) : attest(request)) };
    const kms = attestedClient(double, { nsm });
    await expect(decrypt(kms)).rejects.toThrow("no NSM");
    isBroken = false;
    expect(await decrypt(kms)).toBe(SECRET);
  });
});

describe("K39: the total deadline, and giving up", () => {
  const silent = (): void => undefined;

  test("K39: a KMS that never answers ends by the deadline, by name", async () => {
    await using double = await startDouble(() => silent);
    const timing = { ...restless(), wait: async (ms: number) => (ms === 5_000 ? sent : undefined) };
    const kms = attestedClient(double, { timing, deadlineMs: 5_000 });
    let onSent = (): void => undefined;
    const sent = new Promise<void>((resolve) => {
      onSent = resolve;
    });
    const call = decrypt(kms).catch((refused: unknown) => refused);
    while (double.asked.length === 0) await new Promise((resolve) => setImmediate(resolve));
    onSent();
    const details = { operation: "Decrypt", deadlineMs: 5_000, attempts: 1 };
    expect(await call).toMatchObject({ code: "ERR_KMS_DEADLINE", details, kind: "unreachable" });
  });

  test("the caller's signal ends a call under way, and one that waits", async () => {
    await using double = await startDouble(() => silent);
    const kms = attestedClient(double, { maxInFlight: 1 });
    const [first, second] = [new AbortController(), new AbortController()];
    const calls = [first, second].map(({ signal }) => decrypt(kms, signal).catch((error: Error) => error.name));
    while (double.asked.length === 0) await new Promise((resolve) => setImmediate(resolve));
    second.abort();
    expect(await calls[1]).toBe("AbortError");
    first.abort();
    expect(await calls[0]).toBe("AbortError");
    expect(double.asked.length).toBe(1);
  });

  test("the client's signal ends all, and is not asked for more", async () => {
    await using double = await startDouble(() => silent);
    const end = new AbortController();
    const kms = attestedClient(double, { signal: end.signal });
    const calls = [decrypt(kms), decrypt(kms)].map((call) => call.catch((error: unknown) => error));
    while (double.asked.length < 2) await new Promise((resolve) => setImmediate(resolve));
    end.abort(new Error("the enclave ends"));
    for (const ended of await Promise.all(calls)) expect(ended).toMatchObject({ message: "the enclave ends" });
    await expect(decrypt(kms)).rejects.toThrow("the enclave ends");
    expect(double.asked.length).toBe(2);
  });

  test("what comes after the end is not opened", async () => {
    let answer = (): void => undefined;
    await using double = await startDouble((asked) => (socket) => {
      answer = () => void socket.write(httpBytes(honest(asked)));
    });
    const end = new AbortController();
    const kms = attestedClient(double, { signal: end.signal });
    let opened = 0;
    kms.middlewareStack.add(
      (next) => async (args) => {
        const result = await next(args);
        const output = result.output as { CiphertextForRecipient?: Uint8Array };
        const bytes = output.CiphertextForRecipient;
        Object.defineProperty(output, "CiphertextForRecipient", {
          get: () => {
            opened++;
            return bytes;
          },
        });
        return result;
      },
      { step: "initialize", priority: "low", name: "watch" },
    );
    const call = decrypt(kms).catch((error: Error) => error.name);
    while (double.asked.length === 0) await new Promise((resolve) => setImmediate(resolve));
    end.abort();
    expect(await call).toBe("AbortError");
    answer();
    for (let i = 0; i < 20; i++) await new Promise((resolve) => setImmediate(resolve));
    expect(opened).toBe(0);
  });
});

test("operations that return no secret are tried again too, without a document", async () => {
  await using double = await startDouble((_, index) =>
    index === 0
      ? refusal(500, "KMSInternalException")
      : { status: 200, body: JSON.stringify({ KeyMetadata: { KeyId: "k", Arn: KEY } }) },
  );
  const { KeyMetadata, $metadata } = await attestedClient(double).describeKey({ KeyId: KEY });
  expect([KeyMetadata?.Arn, $metadata.attempts]).toEqual([KEY, 2]);
  expect(double.asked.map(({ document }) => document)).toEqual([undefined, undefined]);
});
