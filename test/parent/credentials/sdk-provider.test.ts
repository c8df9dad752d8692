import { inspect } from "node:util";
import { describe, expect, test } from "vitest";
import { fromProvider, type SdkCredentials } from "../../../parent/credentials/sdk-provider.ts";

const GOOD: SdkCredentials = {
  accessKeyId: "ASIACANARYACCESSKEYI",
  secretAccessKey: "canary-secret-access-key-0123456789abcd",
  sessionToken: "canary-session-token",
  expiration: new Date("2026-05-01T13:00:00Z"),
};

const outcome = async (answer: unknown): Promise<unknown> => {
  const provide = fromProvider(async () => answer as SdkCredentials);
  return Promise.resolve(provide()).catch((error: unknown) => error);
};

describe("an SDK's provider", () => {
  test("gives short-lived credentials in the container's form", async () => {
    const { AccessKeyId, SecretAccessKey, Token, Expiration } = await fromProvider(async () => GOOD)();
    expect([AccessKeyId, SecretAccessKey, Token]).toEqual([GOOD.accessKeyId, GOOD.secretAccessKey, GOOD.sessionToken]);
    expect(Expiration).toBe("2026-05-01T13:00:00.000Z");
  });

  test.each<[string, object, string]>([
    ["a key for good", { sessionToken: undefined }, "sessionToken"],
    ["no end", { expiration: undefined }, "expiration"],
    ["an end that is no time", { expiration: new Date(Number.NaN) }, "expiration"],
    ["an end as text", { expiration: "2026-05-01T13:00:00Z" }, "expiration"],
    ["an access key of another form", { accessKeyId: "canary key" }, "AccessKeyId"],
    ["a secret with a line end", { secretAccessKey: `${GOOD.secretAccessKey}\n` }, "SecretAccessKey"],
    ["an empty token", { sessionToken: "" }, "Token"],
  ])("%s does not go into an enclave; the error holds no value", async (_, change, field) => {
    const error = await outcome({ ...GOOD, ...change });
    expect(error).toMatchObject({ code: "ERR_TRANSPORT_CREDENTIALS_INVALID", details: { field } });
    expect(inspect(error, { showHidden: true, depth: null })).not.toMatch(/canary/i);
  });

  test("G06: of its failure the name is told; neither message, nor cause, nor request", async () => {
    const failure = Object.assign(new Error("canary in the message"), {
      name: "CredentialsProviderError",
      $response: { headers: { authorization: "canary" } },
      cause: new Error("canary in the cause"),
    });
    const error = await Promise.resolve(fromProvider(() => Promise.reject(failure))()).catch((e: unknown) => e);
    const details = { source: "the SDK's provider", reason: "CredentialsProviderError" };
    expect(error).toMatchObject({ code: "ERR_TRANSPORT_CREDENTIALS_UNAVAILABLE", details });
    for (const shown of [inspect(error, { showHidden: true, depth: null }), JSON.stringify(error), String(error)]) {
      expect(shown).not.toContain("canary");
    }
  });

  test.each([new Error("x"), "canary", undefined, Object.assign(new Error("x"), { name: "canary with spaces" })])(
    "whatever it throws becomes that error: %#",
    async (thrown) => {
      const error = await Promise.resolve(fromProvider(() => Promise.reject(thrown))()).catch((e: unknown) => e);
      expect(error).toMatchObject({ code: "ERR_TRANSPORT_CREDENTIALS_UNAVAILABLE" });
      expect(inspect(error)).not.toContain("canary");
    },
  );
});
